"""Levels of dependent quantisation of many chunks from bytes to integers on a CUDA device, in Triton.

All but the symbols is as in `levels.cuda`. First every coded level finds its block by bisection, and so its plane and
its track; then a warp takes the symbols of a chunk, as many in a step as lanes go round in one plane, as two of one
plane never are of the same track. The state of a track is a byte in global memory, which stays in an L1 cache. Beside
what a step of `rans.cuda` takes it reads plane, track and state and writes the state. Planes of fewer tracks than there
are lanes leave lanes idle, most so where the tracks are one, as of means and basis entries: those are for the CPU.
Each program has one chunk, as others would wait for it plane by plane.

Bytes may be anything, see `levels.cuda`. Blocks may be, too: tracks found by wrong ones are still those of the chunk.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
import triton
import triton.language as tl

from embdc_cli.entropy.dependent.states import NEXT
from embdc_cli.entropy.dependent.tables import direct_magnitudes
from embdc_cli.entropy.levels import LARGEST
from embdc_cli.entropy.levels import cuda as levels_on
from embdc_cli.entropy.levels.cuda_kernels import block_of, ranks
from embdc_cli.entropy.rans.cuda import LAUNCH, decode_step, device_of, kernel, payload_head
from embdc_cli.entropy.rans.layout import MAX_LANES, STATE_LOW
from embdc_cli.entropy.tables import ESCAPE, ROWS, SYMBOLS, Tables

_TOGETHER: Final = 1  # chunks of a program

_LANES = tl.constexpr(MAX_LANES)
_LOW = tl.constexpr(STATE_LOW)
_ROWS = tl.constexpr(ROWS)
_NEXT = tl.constexpr(sum(state << 3 * number for number, state in enumerate(NEXT.ravel().tolist())))
_AFTER = tl.constexpr(2**31 - 1)  # any plane


@lru_cache(maxsize=16)
def tables_on(tables: Tables, device: torch.device) -> levels_on.LevelTables:
    """The tables, 64 x 16, on a device; the same tensors for those that were asked for last."""
    if tables.freq.shape != (2 * ROWS, SYMBOLS) or not tables.freq[:, [0, ESCAPE]].all():
        raise ValueError(f"expected {2 * ROWS} x {SYMBOLS} tables that can code 0 and escape, found {tables}")
    return levels_on.LevelTables.of(tables, direct_magnitudes(tables), device)


def decode(
    data: torch.Tensor,
    chunks: torch.Tensor,
    classes: torch.Tensor,
    spans: torch.Tensor,
    longest: int,
    blocks: torch.Tensor,
    block_spans: torch.Tensor,
    tables: levels_on.LevelTables,
    largest: int = LARGEST,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The levels (n,) int32 of all chunks, the quantisers (n,) uint8 of all, and a flag (p,) int32 for each chunk.

    blocks: (b, 2) int64, planes and tracks of the blocks of all chunks; block_spans: (p, 2) int64, which of them each
    chunk has; a chunk whose blocks do not hold as many levels as its span is flagged. Others as for
    `levels.cuda.decode_levels`. Takes another 16 bytes for each level while it runs.
    """
    with device_of(data):
        parts = levels_on.parts_of(data, chunks, classes, spans, longest, tables)
        symbols, chosen = _symbols(data, classes, spans, blocks, block_spans, parts, tables)
        return levels_on.levels_of(symbols, data, chunks, classes, spans, parts, tables, largest), chosen, parts.errors


def _symbols(
    data: torch.Tensor,
    classes: torch.Tensor,
    spans: torch.Tensor,
    blocks: torch.Tensor,
    block_spans: torch.Tensor,
    parts: levels_on.Parts,
    tables: levels_on.LevelTables,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The symbols (n,) uint8 in the order of `parts.rows` and the quantisers (n,) uint8 of all levels.

    Flags in `parts` are set where they are corrupt.
    """
    device, (count, programs) = classes.device, parts.before.shape[1:]
    symbols, states, under, chosen = torch.zeros((4, len(classes)), dtype=torch.uint8, device=device)
    if not count:
        return symbols, chosen
    ends = torch.zeros(len(blocks) + 1, dtype=torch.int64, device=device)
    torch.cumsum(blocks[:, 0] * blocks[:, 1], 0, out=ends[1:])
    held = ends[block_spans[:, 1]] - ends[block_spans[:, 0]]
    parts.errors.bitwise_or_(held != spans[:, 1] - spans[:, 0])
    planes, tracks = torch.empty((2, len(classes)), dtype=torch.int32, device=device)
    grid = (count * programs,)
    _keep_tracks[grid](
        *(classes, spans, parts.before, blocks, ends, block_spans, planes, tracks, programs),
        len(blocks).bit_length(),
        BLOCK=levels_on.BLOCK,
        **LAUNCH,
    )
    _decode[(-(-count // _TOGETHER),)](
        *(data, parts.payloads, parts.rows, parts.coded, planes, tracks, states),
        *(tables.coder.slots, tables.coder.packed, symbols, under, parts.errors, count),
        TABLE_SYMBOLS=SYMBOLS,
        TOGETHER=_TOGETHER,
        num_warps=_TOGETHER,
        **LAUNCH,
    )
    _spread[grid](classes, spans, parts.before, under, chosen, programs, BLOCK=levels_on.BLOCK, **LAUNCH)
    return symbols, chosen


def points_of(levels: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The points (n,) int32, in half steps, of levels (n,) int32 below 2^30 under quantisers `chosen` (n,) uint8."""
    return 2 * levels - levels.sign() * chosen


@kernel
def _keep_tracks(
    classes: tl.tensor,
    spans: tl.tensor,
    before: tl.tensor,
    blocks: tl.tensor,
    ends: tl.tensor,
    block_spans: tl.tensor,
    planes: tl.tensor,
    tracks: tl.tensor,
    programs: tl.tensor,
    rounds: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Of every coded level the number of the first level of its plane, and of the first of its track, in the chunk."""
    chunk, start, count, first = block_of(spans, programs, BLOCK)
    if first >= count:
        return
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    place = start + ranks(cls > 0, tl.load(before + tl.program_id(0)))
    number = at + tl.load(ends + tl.load(block_spans + 2 * chunk))
    low = tl.zeros((BLOCK,), tl.int64) + tl.load(block_spans + 2 * chunk)
    high = tl.zeros((BLOCK,), tl.int64) + tl.load(block_spans + 2 * chunk + 1)
    last = high
    while rounds > 0:
        rounds -= 1
        middle = (low + high) >> 1
        behind = tl.load(ends + middle + 1, mask=low < high, other=0) <= number
        low, high = tl.where((low < high) & behind, middle + 1, low), tl.where(behind, high, middle)
    found = (cls > 0) & (low < last)
    width = tl.maximum(tl.load(blocks + 2 * low + 1, mask=found, other=1), 1)
    begin = at - (number - tl.load(ends + low, mask=found, other=0))
    track = (at - begin) % width
    tl.store(planes + place, (at - track).to(tl.int32), mask=cls > 0)
    tl.store(tracks + place, tl.minimum(tl.maximum(begin + track, 0), at).to(tl.int32), mask=cls > 0)


@triton.jit
def _window(
    done: tl.tensor, stop: tl.tensor, lanes: tl.tensor, lane: tl.tensor, start: tl.tensor, planes: tl.tensor
) -> tl.tensor:
    """(number of the symbol of each lane, whether it comes next, symbols done then): as many as are of one plane."""
    at = done - (done & (lanes - 1)) + lane
    here = (at >= done) & (at < stop)
    plane = tl.load(planes + start + at, mask=here, other=_AFTER)
    active = here & (plane == tl.min(plane, 1)[:, None])
    return at, active, done + tl.sum(active.to(tl.int32), 1)[:, None]


@kernel
def _decode(
    data: tl.tensor,
    payloads: tl.tensor,
    rows: tl.tensor,
    spans: tl.tensor,
    planes: tl.tensor,
    tracks: tl.tensor,
    states: tl.tensor,
    slots: tl.tensor,
    packed: tl.tensor,
    symbols: tl.tensor,
    chosen: tl.tensor,
    errors: tl.tensor,
    payload_count: tl.tensor,
    TABLE_SYMBOLS: tl.constexpr,
    TOGETHER: tl.constexpr,
) -> None:
    payload = (tl.program_id(0) * TOGETHER + tl.arange(0, TOGETHER))[:, None]
    here = payload < payload_count
    begin = tl.load(payloads + 2 * payload, mask=here, other=0)
    end = tl.load(payloads + 2 * payload + 1, mask=here, other=0)
    start = tl.load(spans + 2 * payload, mask=here, other=0)
    count = (tl.load(spans + 2 * payload + 1, mask=here, other=0) - start).to(tl.int32)
    lane = tl.arange(0, _LANES)[None, :]
    lanes, x, first_word, words, well = payload_head(data, begin, end, count, lane)
    taken = tl.zeros((TOGETHER, 1), tl.int32)
    done = tl.zeros((TOGETHER, 1), tl.int32)
    stop = tl.where(well & (lane < lanes), count, 0)  # of each lane
    at, active, done = _window(done, stop, lanes, lane, start, planes)
    while tl.max(active.to(tl.int32)) > 0:
        # what comes next is known without symbols, so that no step waits for it
        later, active_later, done = _window(done, stop, lanes, lane, start, planes)
        track = tl.load(tracks + start + at, mask=active, other=0)
        state = tl.load(states + start + track, mask=active, other=0).to(tl.int32)
        row = tl.load(rows + start + at, mask=active, other=0).to(tl.int32) + (state & 1) * _ROWS
        symbol, x, taken = decode_step(
            x, row, active, taken, lane, data, first_word, words, slots, packed, TABLE_SYMBOLS
        )
        tl.store(symbols + start + at, symbol.to(tl.uint8), mask=active)
        tl.store(chosen + start + at, (state & 1).to(tl.uint8), mask=active)
        following = (tl.full((1, 1), _NEXT, tl.int64) >> (3 * (2 * state + (symbol & 1)))) & 7
        tl.store(states + start + track, following.to(tl.uint8), mask=active)
        tl.debug_barrier()  # the next plane's threads read these states
        at = later
        active = active_later
    uneven = tl.max((x != _LOW).to(tl.int32), 1)[:, None]
    nothing = (count == 0) & (begin == end)
    even = well & (count > 0) & (taken == words) & (uneven == 0)
    tl.store(errors + payload, 1, mask=here & ((even | nothing) == 0))


@kernel
def _spread(
    classes: tl.tensor,
    spans: tl.tensor,
    before: tl.tensor,
    kept: tl.tensor,
    chosen: tl.tensor,
    programs: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Quantisers of coded levels put where the levels are."""
    _, start, count, first = block_of(spans, programs, BLOCK)
    if first >= count:
        return
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0)
    place = start + ranks(cls > 0, tl.load(before + tl.program_id(0)))
    tl.store(chosen + start + at, tl.load(kept + place, mask=cls > 0, other=0), mask=cls > 0)
