"""Levels of many payloads from integers to bytes on a CUDA device, in Triton: what `encode_levels` gives for each.

In order, and but for rANS in blocks of 1024 levels of all payloads side by side: what every part of a block takes, and
what its symbols cost; sums over blocks (torch), so that every bit has its place; zeros where raw bits will be; symbols
and rows without those of class 0, and raw bits, or-ed into words of 32, so that their order is nothing; rANS
(`rans.cuda`).
Read or written are, for each level, twice its 5 bytes with its class; for each coded one 4 bytes of symbol and row,
and what it becomes. Atomic operations on words are one for each negative level, and up to two for each group of low
bits and three for each escape.
Reads and writes for a payload lie within its own ranges. Nothing waits for the device.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import triton
import triton.language as tl

from embdc_cli.entropy.levels import cuda
from embdc_cli.entropy.levels.cuda import LevelTables
from embdc_cli.entropy.levels.cuda_kernels import block_of, ranks
from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.entropy.rans.cuda import LAUNCH, device_of, kernel
from embdc_cli.entropy.rans.layout import BYTES_PER_LANE, MAX_LANES
from embdc_cli.entropy.tables import CLASSES, COST_UNIT, ESCAPE, IMPOSSIBLE, SYMBOLS

_WORDS_PER_LEVEL: Final = 2
"""Raw bits of a level are at most 62, for an escape from shift 0 and order 0, and 64 less its shift and order else."""
_MORE_WORDS: Final = 2
"""Of a payload: its parts begin at bytes."""
_KINDS: Final = 6
_BYTES_PER_LEVEL: Final = 2 + 2 + 4 * _WORDS_PER_LEVEL
"""On the device while levels are encoded, beside them and classes: symbol, row, room for a word and raw bits."""
_BYTES_PER_BLOCK: Final = 2 * 8 * _KINDS
_BYTES_PER_PAYLOAD: Final = 640
"""Room for the head of rANS, and the tables of where what is."""

_CLASSES = tl.constexpr(CLASSES)
_ESCAPE = tl.constexpr(ESCAPE)
_SYMBOLS = tl.constexpr(SYMBOLS)
_IMPOSSIBLE = tl.constexpr(IMPOSSIBLE)
_LEAST = tl.constexpr(-(2**31))


class Encoded(NamedTuple):
    """Payloads on a device, each in two parts, of which the first is to follow its length as a varint.

    data: uint8, with payloads (p, 2) int64, where those of rANS begin and end; raw: uint8, with raw_bits (p, 2) int64,
    the rest; errors: (p,) int32, 1 where `encode_levels` raises ValueError, of which both are empty.
    """

    data: torch.Tensor
    payloads: torch.Tensor
    raw: torch.Tensor
    raw_bits: torch.Tensor
    errors: torch.Tensor


def work_bytes(size: int) -> int:
    """What `encode_levels` has of the device for a payload of so many levels in one of `cuda.launches`."""
    return _BYTES_PER_LEVEL * size + 2 * _BYTES_PER_BLOCK * cuda.blocks_of(size) + _BYTES_PER_PAYLOAD


def encode_levels(
    levels: torch.Tensor, classes: torch.Tensor, spans: torch.Tensor, longest: int, tables: LevelTables
) -> Encoded:
    """The payloads of levels (n,) int32 with classes (n,) uint8.

    spans: (p, 2) int64, where in these each payload has its own, no two the same; longest: no span is longer, fewer
    than 2^31 levels. Takes `work_bytes` of each payload in one of `cuda.launches`.
    """
    rans.check(spans, classes=classes)
    if levels.dtype != torch.int32 or levels.shape != classes.shape or not levels.is_contiguous():
        raise ValueError(f"levels: expected (n,) int32 with (n,) classes, found {levels.shape} {levels.dtype}")
    device, count, blocks = levels.device, len(spans), cuda.blocks_of(longest)
    errors = torch.zeros(count, dtype=torch.int32, device=device)
    words = torch.empty(_WORDS_PER_LEVEL * len(levels) + _MORE_WORDS * count, dtype=torch.int32, device=device)
    symbols, rows = torch.empty((2, len(levels)), dtype=torch.uint8, device=device)
    counts = torch.zeros((_KINDS, count, blocks), dtype=torch.int64, device=device)
    with device_of(levels):
        grid = (count * blocks,)
        known = levels, classes, spans, tables.rows, tables.shifts, tables.orders, tables.direct
        if count:
            _count_parts[grid](*(*known, tables.coder.cost, counts, errors, count, blocks), BLOCK=cuda.BLOCK, **LAUNCH)
        before = torch.cumsum(counts, 2)
        totals = before[..., -1].clone()  # which is no view where there is one block
        before -= counts
        sizes = spans[:, 1] - spans[:, 0]
        room = _WORDS_PER_LEVEL * sizes + _MORE_WORDS
        raw_starts = 4 * (torch.cumsum(room, 0) - room)
        part_bytes = (totals[2:] + 7) >> 3
        ends = torch.cumsum(part_bytes, 0)
        raw_bits = torch.stack([raw_starts, raw_starts + ends[-1].masked_fill(errors != 0, 0)], 1)
        first_bits = 8 * (raw_starts + ends - part_bytes)
        if count:
            _clear[grid](words, raw_bits, blocks, WORDS=_WORDS_PER_LEVEL * cuda.BLOCK, MORE=_MORE_WORDS, **LAUNCH)
            _write_parts[grid](
                *(*known, before, first_bits, words, symbols, rows, errors, count, blocks), BLOCK=cuda.BLOCK, **LAUNCH
            )
        coded = torch.stack([spans[:, 0], spans[:, 0] + totals[0]], 1)
        data, payloads, faults = rans.encode(symbols, rows, coded, _lanes(totals[1], errors), tables.coder)
    return Encoded(data, payloads, words.view(torch.uint8), raw_bits, errors | faults)


def _lanes(cost: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    """(p,) int32 as of `layout.choose_lanes`; 0 where there is an error. cost: (p,) int64, in 1/256 bit."""
    lanes = torch.ones_like(errors)
    for bits in range(1, MAX_LANES.bit_length()):
        lanes += (cost >= BYTES_PER_LANE * 8 * COST_UNIT << bits).int() << (bits - 1)
    return lanes.masked_fill_(errors != 0, 0)


@triton.jit
def _bit_length(value: tl.tensor) -> tl.tensor:
    """Of each int64 below 2^32: int32."""
    found = tl.zeros_like(value).to(tl.int32)
    for bits in tl.static_range(5):
        wide = (value >> (16 >> bits)) > 0
        found += tl.where(wide, 16 >> bits, 0)
        value = tl.where(wide, value >> (16 >> bits), value)
    return found + value.to(tl.int32)


@triton.jit
def _parts(
    levels: tl.tensor,
    classes: tl.tensor,
    row_of: tl.tensor,
    shift_of: tl.tensor,
    order_of: tl.tensor,
    direct_of: tl.tensor,
    start: tl.tensor,
    at: tl.tensor,
    count: tl.tensor,
) -> tl.tensor:
    """Of each level: (level, class, magnitude int64, row, shift, symbol; of escapes the excess over all shorter codes,
    the bits of the prefix, and those of the remainder, 0 of others). The first two are as they were given.
    """
    level = tl.load(levels + start + at, mask=at < count, other=0)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    known = tl.minimum(cls, _CLASSES - 1)
    magnitude = tl.abs(level.to(tl.int64))
    row = tl.load(row_of + known).to(tl.int32)
    shift = tl.load(shift_of + known).to(tl.int32)
    high = magnitude >> shift
    direct = tl.load(direct_of + row).to(tl.int64)
    escaped = (cls > 0) & (high >= direct)
    symbol = tl.where(escaped, _ESCAPE, high).to(tl.int32)
    order = tl.load(order_of + row).to(tl.int32)
    biased = tl.where(escaped, high - direct, 0) + (tl.zeros_like(magnitude) + 1 << order)
    width = tl.where(escaped, _bit_length(biased) - 1, 0)
    prefix = tl.where(escaped, width - order + 1, 0)
    remainder = tl.where(escaped, biased - (tl.zeros_like(magnitude) + 1 << width), 0)
    return level, cls, magnitude, row, shift, symbol, remainder, prefix, width


@kernel
def _count_parts(
    levels: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    row_of: tl.tensor,
    shift_of: tl.tensor,
    order_of: tl.tensor,
    direct_of: tl.tensor,
    costs: tl.tensor,
    counts: tl.tensor,
    errors: tl.tensor,
    payload_count: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """counts: (6, payloads, blocks), coded levels, their cost in 1/256 bit, low bits, signs, prefixes, remainders."""
    program = tl.program_id(0)
    payload, start, count, first = block_of(spans, blocks, BLOCK)
    if first >= count:
        return
    at = first + tl.arange(0, BLOCK)
    level, cls, magnitude, row, shift, symbol, _, prefix, width = _parts(
        levels, classes, row_of, shift_of, order_of, direct_of, start, at, count
    )
    coded = cls > 0
    cost = tl.load(costs + row * _SYMBOLS + symbol, mask=coded & (cls < _CLASSES), other=0)
    kinds = counts.dtype.element_ty
    stride = payload_count.to(tl.int64) * blocks
    counts += program
    tl.store(counts, tl.sum(coded.to(tl.int32), 0).to(kinds))
    tl.store(counts + stride, tl.sum(cost.to(tl.int64), 0))
    tl.store(counts + 2 * stride, tl.sum(tl.where(coded, shift, 0), 0).to(kinds))
    tl.store(counts + 3 * stride, tl.sum((coded & (magnitude > 0)).to(tl.int32), 0).to(kinds))
    tl.store(counts + 4 * stride, tl.sum(prefix, 0).to(kinds))
    tl.store(counts + 5 * stride, tl.sum(width, 0).to(kinds))
    wrong = (cls >= _CLASSES) | ((cls == 0) & (level != 0)) | (level == _LEAST) | (cost >= _IMPOSSIBLE)
    tl.store(errors + payload, 1, mask=tl.max(wrong.to(tl.int32), 0) > 0)


@kernel
def _clear(words: tl.tensor, raw_bits: tl.tensor, blocks: tl.tensor, WORDS: tl.constexpr, MORE: tl.constexpr) -> None:
    """Zeros for the raw bits of a payload, WORDS of them and MORE, which the next program clears as well."""
    payload = tl.program_id(0) // blocks
    begin, end = tl.load(raw_bits + 2 * payload) >> 2, (tl.load(raw_bits + 2 * payload + 1) + 3) >> 2
    begin += (tl.program_id(0) % blocks).to(tl.int64) * WORDS
    at = begin + tl.arange(0, WORDS)
    tl.store(words + at, tl.zeros_like(at).to(tl.int32), mask=at < end)
    at = begin + WORDS + tl.arange(0, MORE)
    tl.store(words + at, tl.zeros_like(at).to(tl.int32), mask=at < end)


@triton.jit
def _put(words: tl.tensor, bit: tl.tensor, value: tl.tensor, active: tl.tensor) -> None:
    """Or `value`, int64 below 2^31, into words of zeros from bit number `bit` on."""
    shifted = value << (bit & 31)
    low, high = shifted & 0xFFFFFFFF, shifted >> 32
    at = words + (bit >> 5)
    tl.atomic_or(at, low.to(tl.uint32).to(tl.int32, bitcast=True), mask=active & (low != 0), sem="relaxed")
    tl.atomic_or(at + 1, high.to(tl.int32), mask=active & (high != 0), sem="relaxed")


@kernel
def _write_parts(
    levels: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    row_of: tl.tensor,
    shift_of: tl.tensor,
    order_of: tl.tensor,
    direct_of: tl.tensor,
    before: tl.tensor,
    first_bits: tl.tensor,
    words: tl.tensor,
    symbols: tl.tensor,
    rows: tl.tensor,
    errors: tl.tensor,
    payload_count: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """first_bits: (4, payloads), where low bits, signs, prefixes and remainders begin among the bits of all words."""
    program = tl.program_id(0)
    payload, start, count, first = block_of(spans, blocks, BLOCK)
    if (first >= count) | (tl.load(errors + payload) > 0):
        return
    at = first + tl.arange(0, BLOCK)
    level, cls, magnitude, row, shift, symbol, remainder, prefix, width = _parts(
        levels, classes, row_of, shift_of, order_of, direct_of, start, at, count
    )
    coded = cls > 0
    stride = payload_count.to(tl.int64) * blocks
    before += program
    place = start + ranks(coded, tl.load(before))
    tl.store(symbols + place, symbol.to(tl.uint8), mask=coded)
    tl.store(rows + place, row.to(tl.uint8), mask=coded)
    shift = tl.where(coded, shift, 0)
    first_bits += payload
    if tl.max(shift, 0) > 0:
        bit = tl.load(first_bits) + tl.load(before + 2 * stride) + (tl.cumsum(shift, 0) - shift)
        _put(words, bit, magnitude & ((tl.zeros_like(magnitude) + 1 << shift) - 1), shift > 0)
    bit = tl.load(first_bits + payload_count) + ranks(magnitude > 0, tl.load(before + 3 * stride))
    one = tl.full((BLOCK,), 1, tl.uint32) << (bit & 31).to(tl.uint32)
    tl.atomic_or(words + (bit >> 5), one.to(tl.int32, bitcast=True), mask=level < 0, sem="relaxed")
    if tl.max(prefix, 0) > 0:
        bit = tl.load(first_bits + 2 * payload_count) + tl.load(before + 4 * stride) + (tl.cumsum(prefix, 0) - 1)
        one = tl.full((BLOCK,), 1, tl.uint32) << (bit & 31).to(tl.uint32)
        tl.atomic_or(words + (bit >> 5), one.to(tl.int32, bitcast=True), mask=prefix > 0, sem="relaxed")
        bit = tl.load(first_bits + 3 * payload_count) + tl.load(before + 5 * stride) + (tl.cumsum(width, 0) - width)
        _put(words, bit, remainder, width > 0)
