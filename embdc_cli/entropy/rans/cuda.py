"""Interleaved rANS on a CUDA device, in Triton: the same bytes as `reference.py`, many payloads in one launch.

One warp per payload, thread l being lane l; where a payload has fewer lanes the other threads idle. A program has four
payloads and goes on until the longest ends. The lanes that need a word find their place by one ballot: a warp-wide sum
of one bit per lane, whose bits below the own one are counted. So a step of up to 32 symbols takes, per lane,
    decode   reads of a class, its slot and its frequency, one multiplication, the ballot, and a word in 16/bits steps
    encode   reads of a symbol, its class and its frequency, one division, the ballot, and a word in 16/bits steps
Steps follow one another, payloads do not: a device is full with 64 payloads on each of its multiprocessors, 8448 on an
H100, and a batch of fewer takes as long as its longest. Classes and symbols are read and written side by side.
Tables lie in global memory, slot to symbol in bytes (128 KiB for 32 rows) and symbol to frequency apart (2 KiB), so
that both stay in an L1 cache of 256 KiB; one 32-bit entry per slot would save a read and take 512 KiB.

Bytes may be anything. What is read and written for a payload lies within its own ranges: a word is read only where the
payload has it, a class beyond the tables counts as the last one, and either sets the payload's flag, as does all that
`layout` and `Reader.end` refuse. What exactly is wrong the CPU can say.
Payloads whose classes follow from symbols before them (`Reader`) cannot be given to `decode`; `decode_step` is for the
kernels of those coders. Nothing waits for the device. Importing this imports Triton, see `entropy.cuda`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
import triton
import triton.language as tl

from embdc_cli.entropy.rans.layout import BYTES_PER_LANE, MAX_LANES, STATE_LOW, WORD_BITS
from embdc_cli.entropy.tables import COST_UNIT, IMPOSSIBLE, PROBABILITY_BITS, TOTAL, Tables

_HEAD: Final = 1 + 4 * MAX_LANES  # bytes of the longest head of a payload
_WIDE: Final = 256  # symbols whose cost is looked up at once
_TOGETHER: Final = 4  # payloads of one program: one alone would leave half the warps of a multiprocessor unused

LAUNCH: Final = {"enable_fp_fusion": False}
"""For every kernel: there are no floats to fuse, but from Triton 3.9 on it warns where this is not said."""

_LANES = tl.constexpr(MAX_LANES)
_LOW = tl.constexpr(STATE_LOW)
_WORD = tl.constexpr(WORD_BITS)
_HALF = tl.constexpr((1 << WORD_BITS) - 1)
_BITS = tl.constexpr(PROBABILITY_BITS)
_SLOTS = tl.constexpr(TOTAL)
_FULL_SHIFT = tl.constexpr(32 - PROBABILITY_BITS)
_IMPOSSIBLE = tl.constexpr(IMPOSSIBLE)
_LANE_COST = tl.constexpr(BYTES_PER_LANE * 8 * COST_UNIT)
_LANE_BITS = tl.constexpr(MAX_LANES.bit_length() - 1)


@dataclass(frozen=True, eq=False)
class DeviceTables:
    """slots: (rows, 4096) uint8; packed: (rows, symbols) int32, frequency << 16 | cumulative; cost: as in `Tables`."""

    slots: torch.Tensor
    packed: torch.Tensor
    cost: torch.Tensor


@lru_cache(maxsize=16)
def tables_on(tables: Tables, device: torch.device) -> DeviceTables:
    """The tables on a device; the same tensors for the tables that were asked for last.

    They are complete when this returns, on whatever stream they are used. Where that is another than the one that was
    current when they were made, record them on it: they are dropped when others have been asked for.
    """
    packed = tables.freq.astype(np.int32) << WORD_BITS | tables.cum[:, :-1]
    slots, frequencies, cost = (torch.from_numpy(one).to(device) for one in (tables.slots, packed, tables.cost))
    return DeviceTables(slots, frequencies, cost)


def decode(
    data: torch.Tensor, payloads: torch.Tensor, classes: torch.Tensor, spans: torch.Tensor, tables: DeviceTables
) -> tuple[torch.Tensor, torch.Tensor]:
    """The symbols (n,) uint8 of all payloads, and a flag (p,) int32 for each, 1 where it is corrupt.

    data: (bytes,) uint8; payloads: (p, 2) int64, where in `data` each begins and ends; classes: (n,) uint8, rows of the
    tables; spans: (p, 2) int64, where in `classes`, and so among the symbols, each has its own, fewer than 2^31.
    Symbols outside the spans are 0, those of corrupt payloads are anything.
    """
    check(payloads, spans, data=data, classes=classes)
    symbols = torch.zeros_like(classes)
    errors = torch.zeros(len(payloads), dtype=torch.int32, device=data.device)
    if not len(payloads):
        return symbols, errors
    table_rows, table_symbols = tables.packed.shape
    with device_of(data):
        _decode[(-(-len(payloads) // _TOGETHER),)](
            *(data, payloads, classes, spans, tables.slots, tables.packed, symbols, errors, len(payloads)),
            TABLE_ROWS=table_rows,
            TABLE_SYMBOLS=table_symbols,
            TOGETHER=_TOGETHER,
            num_warps=_TOGETHER,
            **LAUNCH,
        )
    return symbols, errors


def lane_counts(
    symbols: torch.Tensor, classes: torch.Tensor, spans: torch.Tensor, tables: DeviceTables
) -> torch.Tensor:
    """The lanes (p,) int32 for each payload as `layout.choose_lanes` has it; 0 where a symbol has no code in its row.

    Arguments as for `encode`.
    """
    check(spans, symbols=symbols, classes=classes)
    lanes = torch.zeros(len(spans), dtype=torch.int32, device=symbols.device)
    if not len(spans):
        return lanes
    table_rows, table_symbols = tables.cost.shape
    with device_of(symbols):
        _lane_counts[(len(spans),)](
            *(symbols, classes, spans, tables.cost, lanes),
            TABLE_ROWS=table_rows,
            TABLE_SYMBOLS=table_symbols,
            WIDE=_WIDE,
            **LAUNCH,
        )
    return lanes


def encode(
    symbols: torch.Tensor, classes: torch.Tensor, spans: torch.Tensor, lanes: torch.Tensor, tables: DeviceTables
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bytes (m,) uint8 that hold all payloads, where each begins and ends there (p, 2) int64, and a flag each.

    symbols, classes: (n,) uint8; spans: (p, 2) int64, where in these each payload has its own, no two the same; lanes:
    (p,) int32, a power of two up to 32, as of `lane_counts`. The flag (p,) int32 is 1 where lanes are not that or a
    symbol has no code in its row; such a payload is empty, as is one of no symbols. Between payloads there is a gap:
    each is written from its end, in room for a word per symbol.
    """
    check(spans, symbols=symbols, classes=classes)
    data = torch.empty(2 * len(symbols) + _HEAD * len(spans), dtype=torch.uint8, device=symbols.device)
    payloads = torch.cumsum(2 * (spans[:, 1] - spans[:, 0]) + _HEAD, 0)[:, None].repeat(1, 2)
    errors = torch.zeros(len(spans), dtype=torch.int32, device=symbols.device)
    if not len(spans):
        return data, payloads, errors
    table_rows, table_symbols = tables.packed.shape
    with device_of(symbols):
        _encode[(-(-len(spans) // _TOGETHER),)](
            *(symbols, classes, spans, lanes, tables.packed, data, payloads, errors, len(spans)),
            TABLE_ROWS=table_rows,
            TABLE_SYMBOLS=table_symbols,
            TOGETHER=_TOGETHER,
            num_warps=_TOGETHER,
            **LAUNCH,
        )
    return data, payloads, errors


def device_of(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """A context in which kernels run where the tensor is: they take the current device, whichever it is."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def check(*ranges: torch.Tensor, **arrays: torch.Tensor) -> None:
    """Raises ValueError for ranges (p, 2) and arrays (n,) that are not that; values are not looked at."""
    for one in ranges:
        if one.dtype != torch.int64 or one.ndim != 2 or one.shape != (len(ranges[0]), 2) or not one.is_contiguous():
            raise ValueError(f"rans: expected (p, 2) int64 ranges, as many of each, found {one.shape} {one.dtype}")
    for name, one in arrays.items():
        if one.dtype != torch.uint8 or one.ndim != 1 or not one.is_contiguous():
            raise ValueError(f"rans: {name}, expected (n,) uint8, found {one.shape} {one.dtype}")


@triton.jit
def bit_counts(bits: tl.tensor) -> tl.tensor:
    """How many bits are set in each of `bits` uint32: int32. A pattern that compilers know as one instruction."""
    pairs = bits - ((bits >> 1) & 0x55555555)
    fours = (pairs & 0x33333333) + ((pairs >> 2) & 0x33333333)
    return ((((fours + (fours >> 4)) & 0x0F0F0F0F) * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def places(wanted: tl.tensor, lane: tl.tensor) -> tl.tensor:
    """How many lanes before each have `wanted` (P, 32) set: (P, 32) int32; how many have it at all: (P, 1) int32."""
    bit = tl.full((1, _LANES), 1, tl.uint32) << lane.to(tl.uint32)
    ballot = tl.sum(tl.where(wanted, bit, 0), 1)[:, None]
    return bit_counts(ballot & (bit - 1)), bit_counts(ballot)


@triton.jit
def payload_head(data: tl.tensor, begin: tl.tensor, end: tl.tensor, count: tl.tensor, lane: tl.tensor) -> tl.tensor:
    """(lanes, states (P, 32) uint32, where words begin, words, whether all that is as it should be) of payloads.

    begin, end: (P, 1) int64, where their bytes are; count: (P, 1) int32, of their symbols; lane: (1, 32), 0..31; what
    is returned is (P, 1) but for the states. A payload that is not well has no lanes and no words.
    """
    size = end - begin
    lanes = tl.load(data + begin, mask=size > 0, other=0).to(tl.int32)
    head = 1 + 4 * lanes.to(tl.int64)
    words = (size - head) >> 1
    well = (lanes > 0) & (lanes <= _LANES) & ((lanes & (lanes - 1)) == 0)
    well = well & (size >= head) & (((size - head) & 1) == 0) & (words <= count)  # no symbol takes two
    held = well & (lane < lanes)
    at = data + begin + 1 + 4 * lane
    states = tl.load(at, mask=held, other=0).to(tl.uint32)
    for byte in tl.static_range(1, 4):
        states |= tl.load(at + byte, mask=held, other=0).to(tl.uint32) << (8 * byte)
    well = well & (tl.sum((held & (states < _LOW)).to(tl.int32), 1)[:, None] == 0)
    states = tl.where(held, states, _LOW)
    return tl.where(well, lanes, 0), states, begin + head, tl.where(well, words, 0).to(tl.int32), well


@triton.jit
def decode_step(
    x: tl.tensor,
    row: tl.tensor,
    active: tl.tensor,
    taken: tl.tensor,
    lane: tl.tensor,
    data: tl.tensor,
    first_word: tl.tensor,
    words: tl.tensor,
    slots: tl.tensor,
    packed: tl.tensor,
    TABLE_SYMBOLS: tl.constexpr,
) -> tl.tensor:
    """One symbol in every `active` lane: (symbols (P, 32) int32, states x, words taken).

    row: (P, 32) int32, below the rows of the tables; taken: (P, 1) int32; others as of `payload_head`. Words that are
    not there count as taken, so that too few of them show in the end.
    """
    slot = (x & (_SLOTS - 1)).to(tl.int32)
    symbol = tl.load(slots + row * _SLOTS + slot, mask=active, other=0).to(tl.int32)
    entry = tl.load(packed + row * TABLE_SYMBOLS + symbol, mask=active, other=0).to(tl.uint32)
    fresh = (entry >> _WORD) * (x >> _BITS) + slot.to(tl.uint32) - (entry & _HALF)
    empty = active & (fresh < _LOW)
    place, total = places(empty, lane)
    word_number = taken + place
    there = empty & (word_number < words)
    at = data + first_word + 2 * word_number.to(tl.int64)
    word = tl.load(at, mask=there, other=0).to(tl.uint32) | tl.load(at + 1, mask=there, other=0).to(tl.uint32) << 8
    refilled = tl.where(empty, fresh << _WORD | word, fresh)
    return symbol, tl.where(active, refilled, x), taken + total


def kernel(function: Callable) -> Any:
    """The function compiled by Triton, once: for any sizes, and however tensors lie in memory."""
    parameters = inspect.signature(function).parameters.values()
    arguments = [one.name for one in parameters if "constexpr" not in str(one.annotation)]
    return triton.jit(function, do_not_specialize=arguments)


@kernel
def _decode(
    data: tl.tensor,
    payloads: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    slots: tl.tensor,
    packed: tl.tensor,
    symbols: tl.tensor,
    errors: tl.tensor,
    payload_count: tl.tensor,
    TABLE_ROWS: tl.constexpr,
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
    beyond = tl.zeros((TOGETHER, _LANES), tl.int32)
    at = lane + tl.zeros((TOGETHER, 1), tl.int32)
    stop = tl.where(well & (lane < lanes), count, 0)  # of each lane: those beyond the payload's do nothing
    # classes are read two steps ahead, so that no step waits for them
    row = tl.load(classes + start + at, mask=at < stop, other=0).to(tl.int32)
    later = tl.load(classes + start + at + lanes, mask=at + lanes < stop, other=0).to(tl.int32)
    steps = tl.max(tl.where(well, (count + lanes - 1) // tl.maximum(lanes, 1), 0))
    while steps > 0:
        steps -= 1
        active = at < stop
        latest = tl.load(classes + start + at + 2 * lanes, mask=at + 2 * lanes < stop, other=0).to(tl.int32)
        beyond = tl.maximum(beyond, row)
        row = tl.minimum(row, TABLE_ROWS - 1)
        symbol, x, taken = decode_step(
            x, row, active, taken, lane, data, first_word, words, slots, packed, TABLE_SYMBOLS
        )
        tl.store(symbols + start + at, symbol.to(tl.uint8), mask=active)
        row = later
        later = latest
        at += lanes
    uneven = tl.max(((x != _LOW) | (beyond >= TABLE_ROWS)).to(tl.int32), 1)[:, None]
    nothing = (count == 0) & (begin == end)
    even = well & (count > 0) & (taken == words) & (uneven == 0)
    tl.store(errors + payload, 1, mask=here & ((even | nothing) == 0))


@kernel
def _lane_counts(
    symbols: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    cost: tl.tensor,
    lanes: tl.tensor,
    TABLE_ROWS: tl.constexpr,
    TABLE_SYMBOLS: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    payload = tl.program_id(0)
    start, stop = tl.load(spans + 2 * payload), tl.load(spans + 2 * payload + 1)
    total = tl.zeros((WIDE,), tl.int64)
    dearest = tl.zeros((WIDE,), tl.int32)
    at = start + tl.arange(0, WIDE)
    while start < stop:
        active = at < stop
        row = tl.load(classes + at, mask=active, other=0).to(tl.int32)
        symbol = tl.load(symbols + at, mask=active, other=0).to(tl.int32)
        known = active & (row < TABLE_ROWS) & (symbol < TABLE_SYMBOLS)
        one = tl.load(cost + row * TABLE_SYMBOLS + symbol, mask=known, other=0)
        one = tl.where(active & (known == 0), _IMPOSSIBLE, one)
        total += one.to(tl.int64)
        dearest = tl.maximum(dearest, one)
        at += WIDE
        start += WIDE
    all_of_it = tl.sum(total, 0)
    chosen = 1
    for bits in tl.static_range(1, _LANE_BITS + 1):
        chosen = tl.where(all_of_it >= (_LANE_COST << bits), 1 << bits, chosen)
    tl.store(lanes + payload, tl.where(tl.max(dearest, 0) < _IMPOSSIBLE, chosen, 0))


@kernel
def _encode(
    symbols: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    lane_counts: tl.tensor,
    packed: tl.tensor,
    data: tl.tensor,
    payloads: tl.tensor,
    errors: tl.tensor,
    payload_count: tl.tensor,
    TABLE_ROWS: tl.constexpr,
    TABLE_SYMBOLS: tl.constexpr,
    TOGETHER: tl.constexpr,
) -> None:
    payload = (tl.program_id(0) * TOGETHER + tl.arange(0, TOGETHER))[:, None]
    here = payload < payload_count
    start = tl.load(spans + 2 * payload, mask=here, other=0)
    count = (tl.load(spans + 2 * payload + 1, mask=here, other=0) - start).to(tl.int32)
    end = tl.load(payloads + 2 * payload + 1, mask=here, other=0)
    lanes = tl.load(lane_counts + payload, mask=here, other=0)
    well = (lanes > 0) & (lanes <= _LANES) & ((lanes & (lanes - 1)) == 0)
    lanes = tl.where(well, lanes, 1)
    count = tl.where(well, count, 0)
    lane = tl.arange(0, _LANES)[None, :]
    own_steps = (count + lanes - 1) // lanes
    steps = tl.max(own_steps)
    at = (own_steps - 1) * lanes + lane
    stop = tl.where(lane < lanes, count, 0)  # of each lane
    x = tl.full((TOGETHER, _LANES), _LOW, tl.uint32)
    written = tl.zeros((TOGETHER, 1), tl.int32)
    missing = tl.zeros((TOGETHER, _LANES), tl.int32)
    while steps > 0:
        steps -= 1
        active = (at >= 0) & (at < stop)
        row = tl.load(classes + start + at, mask=active, other=0).to(tl.int32)
        symbol = tl.load(symbols + start + at, mask=active, other=0).to(tl.int32)
        known = active & (row < TABLE_ROWS) & (symbol < TABLE_SYMBOLS)
        entry = tl.load(packed + row * TABLE_SYMBOLS + symbol, mask=known, other=0).to(tl.uint32)
        f = entry >> _WORD
        missing |= (active & (f == 0)).to(tl.int32)
        f = tl.maximum(f, 1)
        full = active & ((x >> _FULL_SHIFT) >= f)  # x >= f 2^20 without overflow at f = 4096
        place, total = places(full, lane)
        to = data + end - 2 * (written + total - place).to(tl.int64)
        tl.store(to, (x & 0xFF).to(tl.uint8), mask=full)
        tl.store(to + 1, ((x >> 8) & 0xFF).to(tl.uint8), mask=full)
        written += total
        x = tl.where(full, x >> _WORD, x)
        quotient = x // f
        x = tl.where(active, (quotient << _BITS) + (x - quotient * f) + (entry & _HALF), x)
        at -= lanes
    well = well & (tl.max(missing, 1)[:, None] == 0)
    some = here & well & (count > 0)
    begin = end - 2 * written.to(tl.int64) - (1 + 4 * lanes)
    held = some & (lane < lanes)
    for byte in tl.static_range(4):
        tl.store(data + begin + 1 + 4 * lane + byte, ((x >> (8 * byte)) & 0xFF).to(tl.uint8), mask=held)
    tl.store(data + begin, lanes.to(tl.uint8), mask=some)
    tl.store(payloads + 2 * payload, tl.where(some, begin, end), mask=here)
    tl.store(errors + payload, 1, mask=here & (well == 0))
