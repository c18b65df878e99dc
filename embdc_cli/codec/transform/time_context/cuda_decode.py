"""The Triton kernel that decodes chunks of codes under time contexts, one program for each; `cuda.py` launches it."""

from __future__ import annotations

import triton
import triton.language as tl

from embdc_cli.codec.transform.time_context import cuda_fields as fields
from embdc_cli.codec.transform.time_context import model
from embdc_cli.codec.transform.time_context.cuda_contexts import class_of_changes, class_row, put, table_rows
from embdc_cli.codec.transform.time_context.cuda_tables import quarters, read_states, renew, take
from embdc_cli.entropy.rans import layout

_RENEW_AFTER = tl.constexpr(model.RENEW_AFTER)
_SYMBOLS = tl.constexpr(model.SYMBOLS)
_TOKEN_CLASSES = tl.constexpr(model.TOKEN_CLASSES)
_LOW = tl.constexpr(layout.STATE_LOW)
_LANES = tl.constexpr(layout.MAX_LANES)


@triton.jit
def decode_chunks(
    data: tl.tensor,
    table: tl.tensor,
    escapes: tl.tensor,
    numbers: tl.tensor,
    maps: tl.tensor,
    starts: tl.tensor,
    hits: tl.tensor,
    cums: tl.tensor,
    change_traces: tl.tensor,
    level_traces: tl.tensor,
    features: tl.tensor,
    rows: tl.tensor,
    symbols: tl.tensor,
    classes: tl.tensor,
    codes: tl.tensor,
    faults: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Memory written by one thread and read by another is parted by barriers."""
    field = fields.row_of_chunk(table)
    frames, tokens, channels, padded, width = fields.shape_of(field)
    lanes = fields.number(field, fields.LANES)
    word_count = fields.number(field, fields.WORDS)
    escape_count = fields.number(field, fields.ESCAPES)
    sign_bytes = fields.number(field, fields.SIGN_BYTES)
    words = data + tl.load(field + fields.WORDS_AT)
    signs = data + tl.load(field + fields.SIGNS_AT)
    escapes += tl.load(field + fields.ESCAPES_AT)
    codes += tl.load(field + fields.CODES_AT)
    classes += tl.load(field + fields.TOKENS_BEFORE)
    rows, symbols = fields.channels_of(field, rows, symbols)
    change_traces, level_traces, features = fields.maps_of(field, change_traces, level_traces, features)
    hits, cums = fields.counts_of(hits, cums)

    lane = tl.arange(0, _LANES)
    state = read_states(data + tl.load(field + fields.STATES_AT), lanes)
    fault = tl.sum((state < _LOW).to(tl.int32))
    index = 0
    phase = 0  # the lane whose turn it is
    at = 0
    used = 0
    nonzero = 0
    negatives = 0
    passed = 0
    left = 0
    while (index < frames * tokens) & (fault == 0):
        t = index // tokens
        n = index - t * tokens
        tl.debug_barrier()  # what the token before left is there
        token_class = 0
        if t > 0:
            row = class_row(classes, n, width, left)
            every = tl.zeros([_LANES], tl.int32) + row
            four, eight, twelve = quarters(cums, every)
            state, at, symbol = take(words, word_count, cums, state, at, lane == phase, every, four, eight, twelve)
            token_class = tl.sum(tl.where(lane == phase, symbol, 0))
            phase = (phase + 1) % lanes
            passed += 1
            tl.atomic_add(hits + row * _SYMBOLS + token_class, 1, sem="relaxed", scope="cta")
            fault = (token_class >= _TOKEN_CLASSES).to(tl.int32)
        sent = ((t == 0) | (token_class > 0)) & (fault == 0)
        if sent:
            table_rows(
                t, n, width, tokens, channels, padded, token_class,
                numbers, maps, codes, features, change_traces, level_traces, rows, BLOCK,
            )  # fmt: skip
            tl.debug_barrier()
            channel = lane - phase
            end = tl.where(lane < lanes, channels, 0)
            valid = (channel >= 0) & (channel < end)
            row_of = tl.load(rows + channel, mask=valid, other=0).to(tl.int32)
            row_next = tl.load(rows + channel + lanes, mask=channel + lanes < end, other=0).to(tl.int32)
            four, eight, twelve = quarters(cums, row_of)
            for _ in range((channels + phase + lanes - 1) // lanes):
                # the next step's quarters and the row after that are on their way while symbols are looked for
                later = channel + 2 * lanes
                row_later = tl.load(rows + later, mask=later < end, other=0).to(tl.int32)
                next_four, next_eight, next_twelve = quarters(cums, row_next)
                state, at, symbol = take(words, word_count, cums, state, at, valid, row_of, four, eight, twelve)
                tl.store(symbols + channel, symbol.to(tl.int16), mask=valid)
                channel += lanes
                valid = channel < end
                row_of, four, eight, twelve = row_next, next_four, next_eight, next_twelve
                row_next = row_later
            phase = (phase + channels) % lanes
            passed += channels
        tl.debug_barrier()
        used, nonzero, negative, changes, wrongs = put(
            t, n, tokens, channels, padded, sent, escape_count, sign_bytes, used, nonzero,
            maps, escapes, signs, codes, features, change_traces, level_traces, rows, symbols, hits, BLOCK,
        )  # fmt: skip
        negatives += negative
        fault += wrongs + tl.where((at > word_count) | (used > escape_count), 1, 0)
        fault += tl.where((t > 0) & (class_of_changes(changes, channels) != token_class), 1, 0)
        tl.store(classes + n, token_class)
        left = token_class
        index += 1
        if (n + 1 == tokens) & (passed >= _RENEW_AFTER):
            passed = 0
            tl.debug_barrier()
            renew(starts, hits, cums)
    fault += tl.where((at != word_count) | (used != escape_count), 1, 0)
    fault += tl.sum((state != _LOW).to(tl.int32))
    if sign_bytes >= 0:
        last = tl.load(signs + sign_bytes - 1, mask=(sign_bytes > 0) & (nonzero % 8 > 0), other=0).to(tl.int32)
        padding = last >> (nonzero % 8)
        fault += padding + tl.where(((nonzero + 7) // 8 != sign_bytes) | (negatives == 0), 1, 0)
    tl.store(faults + tl.program_id(0), (fault != 0).to(tl.int32))
