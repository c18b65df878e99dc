"""The kernels of `cuda.py`, which says what they are for, in the order in which it launches them.

They take tensors as documented there; `before`, `counts` and `raw` are (2, chunks, blocks) int64, counts of two things
in or before each block, `totals` (2, chunks) int64. A block is a program, and does nothing behind the end of its chunk.
"""

from __future__ import annotations

import triton
import triton.language as tl

from embdc_cli.entropy.rans.cuda import kernel
from embdc_cli.entropy.tables import CLASSES, ESCAPE

_CLASSES = tl.constexpr(CLASSES)
_ESCAPE = tl.constexpr(ESCAPE)


@triton.jit
def bits_at(
    data: tl.tensor, first: tl.tensor, last: tl.tensor, bit: tl.tensor, width: tl.tensor, active: tl.tensor
) -> tl.tensor:
    """Values of `width` 0..31 bits each, int64, from bit number `bit` behind byte `first` on; none from `last` on."""
    at = first + (bit >> 3)
    value = tl.zeros_like(at)
    for byte in tl.static_range(5):
        there = active & (at + byte < last) & (width + (bit & 7) > 8 * byte)
        value |= tl.load(data + at + byte, mask=there, other=0).to(tl.int64) << (8 * byte)
    return (value >> (bit & 7)) & ((tl.zeros_like(at) + 1 << width) - 1)


@triton.jit
def padding(data: tl.tensor, first: tl.tensor, bits: tl.tensor, active: tl.tensor) -> tl.tensor:
    """The bits of the last byte of `bits` bits from byte `first` on that are not among them; 0 is as it should be."""
    byte = tl.load(data + first + (bits >> 3), mask=active & ((bits & 7) > 0), other=0).to(tl.int32)
    return byte >> (bits & 7).to(tl.int32)


@triton.jit
def block_of(spans: tl.tensor, blocks: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """(chunk, where its span begins, levels of the chunk, number there of the first level of this program)."""
    program = tl.program_id(0)
    chunk = program // blocks
    start = tl.load(spans + 2 * chunk)
    return chunk, start, tl.load(spans + 2 * chunk + 1) - start, (program % blocks) * BLOCK


@triton.jit
def ranks(chosen: tl.tensor, before: tl.tensor) -> tl.tensor:
    """How many are chosen before each, int64, `before` of them before this block."""
    ones = chosen.to(tl.int32)
    return before + (tl.cumsum(ones, 0) - ones)


@kernel
def count_coded(
    classes: tl.tensor,
    spans: tl.tensor,
    shifts: tl.tensor,
    counts: tl.tensor,
    errors: tl.tensor,
    chunk_count: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    program = tl.program_id(0)
    chunk, start, count, first = block_of(spans, blocks, BLOCK)
    if first >= count:
        return
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    shift = tl.load(shifts + tl.minimum(cls, _CLASSES - 1)).to(tl.int32)
    tl.store(counts + program, tl.sum((cls > 0).to(tl.int32), 0))
    tl.store(counts + chunk_count * blocks + program, tl.sum(shift, 0))
    tl.store(errors + chunk, 1, mask=tl.max(cls, 0) >= _CLASSES)


@kernel
def find_parts(
    data: tl.tensor,
    chunks: tl.tensor,
    spans: tl.tensor,
    totals: tl.tensor,
    coded: tl.tensor,
    payloads: tl.tensor,
    low_bits: tl.tensor,
    errors: tl.tensor,
    chunk_count: tl.tensor,
    most: tl.tensor,
    CHUNKS: tl.constexpr,
) -> None:
    chunk = tl.program_id(0) * CHUNKS + tl.arange(0, CHUNKS)
    here = chunk < chunk_count
    begin = tl.load(chunks + 2 * chunk, mask=here, other=0)
    end = tl.load(chunks + 2 * chunk + 1, mask=here, other=0)
    start = tl.load(spans + 2 * chunk, mask=here, other=0)
    count = tl.load(spans + 2 * chunk + 1, mask=here, other=0) - start
    size = tl.zeros((CHUNKS,), tl.int64)
    length = tl.zeros((CHUNKS,), tl.int64)
    goes_on = tl.full((CHUNKS,), 1, tl.int32)
    padded = tl.zeros((CHUNKS,), tl.int32)
    for index in tl.static_range(5):  # as in `bits.decode_varint`
        there = here & (goes_on > 0) & (begin + index < end)
        byte = tl.load(data + begin + index, mask=there, other=255).to(tl.int32)
        size |= tl.where(there, byte & 127, 0).to(tl.int64) << (7 * index)
        length += there.to(tl.int64)
        goes_on = (there & (byte > 127)).to(tl.int32) | (goes_on & (there == 0).to(tl.int32))
        padded |= (there & (byte == 0) & (index > 0)).to(tl.int32)
    low_start = begin + length + size
    signs_start = low_start + ((tl.load(totals + chunk_count + chunk, mask=here, other=0) + 7) >> 3)
    well = (goes_on == 0) & (padded == 0) & (signs_start <= end) & (count <= most)
    tl.store(errors + chunk, 1, mask=here & (well == 0))
    tl.store(coded + 2 * chunk, start, mask=here)
    tl.store(coded + 2 * chunk + 1, start + tl.load(totals + chunk, mask=here, other=0), mask=here)
    tl.store(payloads + 2 * chunk, tl.where(well, begin + length, end), mask=here)
    tl.store(payloads + 2 * chunk + 1, tl.where(well, low_start, end), mask=here)
    tl.store(low_bits + 2 * chunk, tl.where(well, low_start, end), mask=here)
    tl.store(low_bits + 2 * chunk + 1, tl.where(well, signs_start, end), mask=here)


@kernel
def keep_coded(
    classes: tl.tensor,
    spans: tl.tensor,
    row_of: tl.tensor,
    before: tl.tensor,
    rows: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    _, start, count, first = block_of(spans, blocks, BLOCK)
    if first >= count:
        return
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    place = start + ranks(cls > 0, tl.load(before + tl.program_id(0)))
    row = tl.load(row_of + tl.minimum(cls, _CLASSES - 1))
    tl.store(rows + place, row, mask=cls > 0)


@triton.jit
def _raw_bits(
    data: tl.tensor,
    before: tl.tensor,
    low_bits: tl.tensor,
    shifts: tl.tensor,
    symbols: tl.tensor,
    chunk: tl.tensor,
    start: tl.tensor,
    cls: tl.tensor,
    chunk_count: tl.tensor,
    blocks: tl.tensor,
) -> tl.tensor:
    """(symbols, shifts, low bits int64) of the levels of this program; 0 where none is coded."""
    program = tl.program_id(0)
    place = start + ranks(cls > 0, tl.load(before + program))
    symbol = tl.load(symbols + place, mask=cls > 0, other=0).to(tl.int32)
    shift = tl.load(shifts + cls, mask=cls > 0, other=0).to(tl.int32)
    bit = tl.load(before + chunk_count * blocks + program) + (tl.cumsum(shift, 0) - shift)
    first, last = tl.load(low_bits + 2 * chunk), tl.load(low_bits + 2 * chunk + 1)
    return symbol, shift, bits_at(data, first, last, bit, shift, shift > 0)


@kernel
def count_raw(
    data: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    before: tl.tensor,
    low_bits: tl.tensor,
    shifts: tl.tensor,
    symbols: tl.tensor,
    counts: tl.tensor,
    errors: tl.tensor,
    chunk_count: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    program = tl.program_id(0)
    chunk, start, count, first = block_of(spans, blocks, BLOCK)
    if (first >= count) | (tl.load(errors + chunk) > 0):
        return
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    symbol, _, low = _raw_bits(data, before, low_bits, shifts, symbols, chunk, start, cls, chunk_count, blocks)
    tl.store(counts + program, tl.sum(((symbol > 0) | (low > 0)).to(tl.int32), 0))
    tl.store(counts + chunk_count * blocks + program, tl.sum((symbol == _ESCAPE).to(tl.int32), 0))


@kernel
def keep_orders(
    classes: tl.tensor,
    spans: tl.tensor,
    before: tl.tensor,
    row_of: tl.tensor,
    order_of: tl.tensor,
    symbols: tl.tensor,
    raw: tl.tensor,
    counts: tl.tensor,
    orders: tl.tensor,
    chunk_count: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    program = tl.program_id(0)
    if tl.load(counts + chunk_count * blocks + program) == 0:
        return
    _, start, count, first = block_of(spans, blocks, BLOCK)
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    place = start + ranks(cls > 0, tl.load(before + program))
    escaped = tl.load(symbols + place, mask=cls > 0, other=0) == _ESCAPE
    order = tl.load(order_of + tl.load(row_of + cls, mask=escaped, other=0), mask=escaped, other=0)
    to = start + ranks(escaped, tl.load(raw + chunk_count * blocks + program))
    tl.store(orders + to, order.to(tl.int32), mask=escaped)


@kernel
def read_escapes(
    data: tl.tensor,
    chunks: tl.tensor,
    spans: tl.tensor,
    coded_totals: tl.tensor,
    low_bits: tl.tensor,
    raw_totals: tl.tensor,
    excess: tl.tensor,
    ends: tl.tensor,
    errors: tl.tensor,
    chunk_count: tl.tensor,
    CODES: tl.constexpr,
) -> None:
    """Excess from where the span begins, in place of orders; `ends` is room for the last bits of prefixes."""
    chunk = tl.program_id(0)
    if tl.load(errors + chunk) > 0:
        return
    end = tl.load(chunks + 2 * chunk + 1)
    start = tl.load(spans + 2 * chunk)
    low_start, signs_start = tl.load(low_bits + 2 * chunk), tl.load(low_bits + 2 * chunk + 1)
    nonzero, escapes = tl.load(raw_totals + chunk), tl.load(raw_totals + chunk_count + chunk)
    first = signs_start + ((nonzero + 7) >> 3)
    bad = first > end
    wrong = padding(data, low_start, tl.load(coded_totals + chunk_count + chunk), signs_start > low_start)
    wrong |= padding(data, signs_start, nonzero, first <= end)
    item = tl.arange(0, CODES)
    # prefixes: each ends with a one, and has at most 31 zeros before it
    bits = tl.where(bad, 0, tl.minimum(8 * (end - first), 32 * escapes))
    bit = tl.zeros_like(escapes)
    found = tl.zeros_like(escapes)
    while (bit < bits) & (found < escapes):
        at = bit + item
        byte = tl.load(data + first + (at >> 3), mask=at < bits, other=0).to(tl.int32)
        ones = (byte >> (at & 7).to(tl.int32)) & 1
        rank = ranks(ones > 0, found)
        tl.store(ends + start + rank, at.to(tl.int32), mask=(ones > 0) & (rank < escapes))
        found += tl.sum(ones, 0)
        bit += CODES
    tl.debug_barrier()  # other threads read what these have written
    bad = bad | (found < escapes)
    used = tl.load(ends + start + escapes - 1, mask=(bad == 0) & (escapes > 0), other=-1).to(tl.int64) + 1
    wrong |= padding(data, first, used, bad == 0)
    first += (used + 7) >> 3
    # remainders, each as many bits as prefix and order say
    code = tl.zeros_like(escapes)
    bit = tl.zeros_like(escapes)
    codes = tl.where(bad, 0, escapes)
    while code < codes:
        at = code + item
        here = at < codes
        order = tl.load(excess + start + at, mask=here, other=0)
        last = tl.load(ends + start + at, mask=here, other=0)
        previous = tl.load(ends + start + at - 1, mask=here & (at > 0), other=-1)
        width = tl.where(here, last - previous - 1 + order, 0)
        width = tl.minimum(width, 31)  # even this many are more than any level has, as `merge` will find
        value = bits_at(data, first, end, bit + (tl.cumsum(width, 0) - width), width, here)
        one = tl.zeros_like(value) + 1
        tl.store(excess + start + at, (value + (one << width) - (one << order)).to(tl.int32), mask=here)
        bit += tl.sum(width, 0)
        code += CODES
    bad = bad | (first + ((bit + 7) >> 3) != end)
    wrong |= padding(data, first, bit, bad == 0)
    tl.store(errors + chunk, 1, mask=bad | (wrong > 0))


@kernel
def merge(
    data: tl.tensor,
    classes: tl.tensor,
    spans: tl.tensor,
    before: tl.tensor,
    low_bits: tl.tensor,
    shifts: tl.tensor,
    symbols: tl.tensor,
    row_of: tl.tensor,
    direct: tl.tensor,
    raw: tl.tensor,
    excess: tl.tensor,
    levels: tl.tensor,
    errors: tl.tensor,
    chunk_count: tl.tensor,
    blocks: tl.tensor,
    largest: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    program = tl.program_id(0)
    chunk, start, count, first = block_of(spans, blocks, BLOCK)
    if (first >= count) | (tl.load(errors + chunk) > 0):
        return
    at = first + tl.arange(0, BLOCK)
    cls = tl.load(classes + start + at, mask=at < count, other=0).to(tl.int32)
    symbol, shift, low = _raw_bits(data, before, low_bits, shifts, symbols, chunk, start, cls, chunk_count, blocks)
    escaped = symbol == _ESCAPE
    rank = ranks(escaped, tl.load(raw + chunk_count * blocks + program))
    beyond = tl.load(excess + start + rank, mask=escaped, other=0).to(tl.uint32).to(tl.int64)
    row = tl.load(row_of + cls, mask=escaped, other=0).to(tl.int32)
    high = tl.where(escaped, beyond + tl.load(direct + row, mask=escaped, other=0), symbol)
    magnitude = (high << shift) | low
    sign = ranks(magnitude > 0, tl.load(raw + program))
    signs = data + tl.load(low_bits + 2 * chunk + 1) + (sign >> 3)
    negative = (tl.load(signs, mask=magnitude > 0, other=0).to(tl.int32) >> (sign & 7).to(tl.int32)) & 1
    level = tl.where(negative > 0, -magnitude, magnitude).to(tl.int32)
    tl.store(levels + start + at, level, mask=at < count)
    tl.store(errors + chunk, 1, mask=tl.max(magnitude, 0) > largest)
