"""The Triton kernels that encode chunks of codes under time contexts; `cuda.py` launches them.

`find_intervals` goes through the tokens of a chunk as the decoder does, but has all symbols of a token at once, and
leaves the interval of each in the tables of its time; `write_words` codes these from the last to the first.
"""

from __future__ import annotations

import triton
import triton.language as tl

from embdc_cli.codec.transform.time_context import cuda_fields as fields
from embdc_cli.codec.transform.time_context import model
from embdc_cli.codec.transform.time_context.cuda_contexts import class_of_changes, class_row, keep, table_rows
from embdc_cli.codec.transform.time_context.cuda_tables import renew
from embdc_cli.entropy.rans import layout
from embdc_cli.entropy.rans.cuda import bit_counts

_BITS = tl.constexpr(model.PROBABILITY_BITS)
_ESCAPE = tl.constexpr(model.ESCAPE)
_RELATIVE_FROM = tl.constexpr(model.RELATIVE_FROM)
_RENEW_AFTER = tl.constexpr(model.RENEW_AFTER)
_SYMBOLS = tl.constexpr(model.SYMBOLS)
_TOTAL = tl.constexpr(model.TOTAL)
_LOW = tl.constexpr(layout.STATE_LOW)
_LANES = tl.constexpr(layout.MAX_LANES)
_LANE_BITS = tl.constexpr(layout.MAX_LANES.bit_length() - 1)
HEAD = tl.constexpr(1 + 4 * layout.MAX_LANES)


@triton.jit
def _interval(cums: tl.tensor, row: tl.tensor, symbol: tl.tensor) -> tl.tensor:
    """int32, frequency << 16 | cumulative frequency."""
    at = cums + row * _SYMBOLS + symbol
    last = symbol == _SYMBOLS - 1
    lower = tl.load(at).to(tl.int32)
    upper = tl.where(last, _TOTAL, tl.load(at + tl.where(last, 0, 1)).to(tl.int32))
    return ((upper - lower) << 16) | lower


@triton.jit
def find_intervals(
    table: tl.tensor,
    codes: tl.tensor,
    numbers: tl.tensor,
    maps: tl.tensor,
    starts: tl.tensor,
    costs: tl.tensor,
    hits: tl.tensor,
    cums: tl.tensor,
    change_traces: tl.tensor,
    level_traces: tl.tensor,
    features: tl.tensor,
    rows: tl.tensor,
    symbols: tl.tensor,
    classes: tl.tensor,
    intervals: tl.tensor,
    escapes: tl.tensor,
    signs: tl.tensor,
    found: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Of each chunk (found: (chunks, 5) int64): symbols, their cost, escapes, codes but 0, negative codes.

    intervals: room for F N (D + 1) int32 of each chunk; escapes: for F N D; signs: int32, one bit for each code, zeros.
    """
    field = fields.row_of_chunk(table)
    frames, tokens, channels, padded, width = fields.shape_of(field)
    codes_at = tl.load(field + fields.CODES_AT)
    codes += codes_at
    escapes += codes_at
    signs += codes_at // 32 + tl.program_id(0)
    intervals += codes_at + tl.load(field + fields.PLACES_BEFORE)
    classes += tl.load(field + fields.TOKENS_BEFORE)
    rows, symbols = fields.channels_of(field, rows, symbols)
    change_traces, level_traces, features = fields.maps_of(field, change_traces, level_traces, features)
    hits, cums = fields.counts_of(hits, cums)
    cost = tl.zeros([BLOCK], tl.int64)
    at = 0
    used = 0
    nonzero = 0
    negatives = 0
    passed = 0
    left = 0
    for index in range(frames * tokens):
        t = index // tokens
        n = index - t * tokens
        place = index * channels
        tl.debug_barrier()  # what the token before left is there
        changes = 0
        for first in range(0, padded, BLOCK):
            channel = first + tl.arange(0, BLOCK)
            inside = channel < tl.where(t > 0, channels, 0)
            magnitude = tl.abs(tl.load(codes + place + channel, mask=inside, other=0))
            before = tl.abs(tl.load(codes + place + channel - tokens * channels, mask=inside, other=0))
            changes += tl.sum((magnitude != before).to(tl.int32))
        token_class = class_of_changes(changes, channels)
        if t > 0:
            row = class_row(classes, n, width, left)
            one = _interval(cums, row, token_class)
            tl.store(intervals + at, one)
            cost += tl.where(tl.arange(0, BLOCK) == 0, tl.load(costs + (one >> 16)).to(tl.int64), 0)
            tl.atomic_add(hits + row * _SYMBOLS + token_class, 1, sem="relaxed", scope="cta")
            at += 1
            passed += 1
        sent = (t == 0) | (token_class > 0)
        if sent:
            table_rows(
                t, n, width, tokens, channels, padded, token_class,
                numbers, maps, codes, features, change_traces, level_traces, rows, BLOCK,
            )  # fmt: skip
        tl.debug_barrier()
        for first in range(0, padded, BLOCK):
            channel = first + tl.arange(0, BLOCK)
            inside = channel < channels
            code = tl.load(codes + place + channel, mask=inside, other=0)
            magnitude = tl.abs(code)
            known = channel < tl.where(t > 0, channels, 0)
            before = tl.abs(tl.load(codes + place + channel - tokens * channels, mask=known, other=0))
            coded = channel < tl.where(sent, channels, 0)
            moved = magnitude - before
            near = tl.where((moved >= -7) & (moved <= 6), 8 + moved, _ESCAPE)
            relative = before >= _RELATIVE_FROM
            symbol = tl.where(relative, tl.where(magnitude == 0, 0, near), tl.minimum(magnitude, _ESCAPE))
            row = tl.load(rows + channel, mask=coded, other=0).to(tl.int32)
            one = _interval(cums, row, symbol)
            tl.store(intervals + at + channel, one, mask=coded)
            cost += tl.where(coded, tl.load(costs + (one >> 16)), 0).to(tl.int64)
            tl.atomic_add(hits + row * _SYMBOLS + symbol, 1, mask=coded, sem="relaxed", scope="cta")

            escaped = coded & (symbol == _ESCAPE)
            count = tl.sum(escaped.to(tl.int32))
            if count > 0:
                rank = used + tl.cumsum(escaped.to(tl.int32), 0) - 1
                tl.store(escapes + rank, tl.where(relative, magnitude, magnitude - _ESCAPE), mask=escaped)
                used += count
            negative = code < 0
            count = tl.sum(negative.to(tl.int32))
            signed = (magnitude > 0).to(tl.int32)
            if count > 0:
                rank = nonzero + tl.cumsum(signed, 0) - 1
                bit = (tl.full([BLOCK], 1, tl.uint32) << (rank & 31).to(tl.uint32)).to(tl.int32, bitcast=True)
                tl.atomic_or(signs + (rank >> 5), bit, mask=negative, sem="relaxed", scope="cta")
                negatives += count
            nonzero += tl.sum(signed)
            keep(
                t, n, tokens, padded, channel, magnitude, magnitude != before,
                maps, features, change_traces, level_traces,
            )  # fmt: skip
        tl.store(classes + n, token_class)
        left = token_class
        if sent:
            at += channels
            passed += channels
        if (n + 1 == tokens) & (passed >= _RENEW_AFTER):
            passed = 0
            tl.debug_barrier()
            renew(starts, hits, cums)
    found += 5 * tl.program_id(0)
    tl.store(found, at)
    tl.store(found + 1, tl.sum(cost))
    tl.store(found + 2, used)
    tl.store(found + 3, nonzero)
    tl.store(found + 4, negatives)


@triton.jit
def write_words(
    table: tl.tensor,
    intervals: tl.tensor,
    found: tl.tensor,
    data: tl.tensor,
    payloads: tl.tensor,
    LANE_COST: tl.constexpr,
) -> None:
    """Payloads of `entropy.rans.layout` as bytes, each from the end of its room of HEAD + 2 F N (D + 1) bytes.

    payloads: (chunks, 2) int64, where each begins and ends. LANE_COST: what a lane has to code at least, in 1/256 bit.
    """
    field = fields.row_of_chunk(table)
    frames, tokens, channels, _, _ = fields.shape_of(field)
    start = tl.load(field + fields.CODES_AT) + tl.load(field + fields.PLACES_BEFORE)
    intervals += start
    count = tl.load(found + 5 * tl.program_id(0)).to(tl.int32)
    cost = tl.load(found + 5 * tl.program_id(0) + 1)
    lanes = 1
    for bits in tl.static_range(1, _LANE_BITS + 1):
        lanes = tl.where(cost >= LANE_COST << bits, 1 << bits, lanes)
    room = 2 * frames.to(tl.int64) * tokens * (channels + 1)
    end = 2 * start + (tl.program_id(0).to(tl.int64) + 1) * HEAD + room
    lane = tl.arange(0, _LANES)
    bit = tl.full([_LANES], 1, tl.uint32) << lane.to(tl.uint32)
    stop = tl.where(lane < lanes, count, 0)
    state = tl.full([_LANES], _LOW, tl.uint32)
    written = tl.zeros([_LANES], tl.int32)  # the same in every lane
    steps = (count + lanes - 1) // lanes
    at = (steps - 1) * lanes + lane
    one = tl.load(intervals + at, mask=(at >= 0) & (at < stop), other=1 << 16)
    for _ in range(steps):
        active = at < stop
        at -= lanes
        following = tl.load(intervals + at, mask=(at >= 0) & (at < stop), other=1 << 16)
        freq = (one >> 16).to(tl.uint32)
        full = active & ((state >> (32 - _BITS)) >= freq)
        ballot = tl.sum(tl.where(full, bit, 0))
        total = bit_counts(ballot)
        to = data + end - 2 * (written + total - bit_counts(ballot & (bit - 1))).to(tl.int64)
        tl.store(to, (state & 255).to(tl.uint8), mask=full)
        tl.store(to + 1, ((state >> 8) & 255).to(tl.uint8), mask=full)
        written += total
        state = tl.where(full, state >> 16, state)
        quotient = state // freq
        coded = (quotient << _BITS) + (state - quotient * freq) + (one & 0xFFFF).to(tl.uint32)
        state = tl.where(active, coded, state)
        one = following
    begin = end - 2 * tl.max(written).to(tl.int64) - tl.where(count > 0, 1 + 4 * lanes, 0)
    held = lane < tl.where(count > 0, lanes, 0)
    for i in tl.static_range(4):
        tl.store(data + begin + 1 + 4 * lane + i, ((state >> (8 * i)) & 255).to(tl.uint8), mask=held)
    tl.store(data + begin, lanes, mask=count > 0)
    tl.store(payloads + 2 * tl.program_id(0), begin)
    tl.store(payloads + 2 * tl.program_id(0) + 1, end)
