"""What surrounds the codes of one token, and what they leave behind for the tokens after it, in Triton, for `cuda.py`.

Features of the rows t - 2, t - 1 and t of a chunk lie in three planes (N, padded) uint8; traces of changes and levels
in (N, padded) int16. Channels are independent of each other here: all threads of a program share them out.
"""

from __future__ import annotations

import triton
import triton.language as tl

from embdc_cli.codec.transform import parameters
from embdc_cli.codec.transform.time_context import chunk_table, model

_ABSENT_AT = tl.constexpr(model.ABSENT_AT)
_ACTIVE_ROW = tl.constexpr(model.ACTIVE_ROW)
_CLASS_ROW = tl.constexpr(model.CLASS_ROW)
_CHANGE_STEPS = tl.constexpr(model.CHANGE_STEPS)
_ESCAPE = tl.constexpr(model.ESCAPE)
_FEATURES = tl.constexpr(model.FEATURES)
_FIRST = tl.constexpr(model.FIRST)
_FIRST_ROW = tl.constexpr(model.FIRST_ROW)
_LEVEL_STEPS = tl.constexpr(model.LEVEL_STEPS)
_QUIET_ROWS = tl.constexpr(model.QUIET_ROWS)
_RELATIVE_FROM = tl.constexpr(model.RELATIVE_FROM)
_SCORE_BITS = tl.constexpr(model.SCORE_BITS)
_SYMBOLS = tl.constexpr(model.SYMBOLS)
_TOKEN_CLASSES = tl.constexpr(model.TOKEN_CLASSES)
_MAX_LEVEL = tl.constexpr(parameters.MAX_LEVEL)
_PADDED_TO = tl.constexpr(chunk_table.PADDED_TO)
BUCKETS = tl.constexpr(16)  # a row of the packed numbers: of 10 buckets, padded


@triton.jit
def _seen(plane: tl.tensor, token: tl.tensor, inside: tl.tensor, padded: tl.tensor, channel: tl.tensor) -> tl.tensor:
    """(BLOCK,) int32 features of a token, or what else lies in (N, padded); 0 where it is not inside the grid."""
    start = tl.multiple_of(token * padded, _PADDED_TO)
    end = tl.multiple_of(tl.where(inside, padded, 0), _PADDED_TO)
    return tl.load(plane + start + channel, mask=channel < end, other=0).to(tl.int32)


@triton.jit
def _add(change: tl.tensor, level: tl.tensor, number: tl.tensor, feature: tl.tensor) -> tl.tensor:
    """Scores with a feature added under packed weights: of the change in the low half, of the level in the high one."""
    return change + number.to(tl.int16).to(tl.int32) * feature, level + (number >> 16) * feature


@triton.jit
def table_rows(
    t: tl.tensor,
    n: tl.tensor,
    width: tl.tensor,
    tokens: tl.tensor,
    channels: tl.tensor,
    padded: tl.tensor,
    token_class: tl.tensor,
    numbers: tl.tensor,
    maps: tl.tensor,
    codes: tl.tensor,
    features: tl.tensor,
    change_traces: tl.tensor,
    level_traces: tl.tensor,
    rows: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Stores the table rows (D,) int16 of token (t, n).

    numbers: (25, 16) int32, 16 weights then 9 biases by bucket, changes in the low half; maps: (512,) uint8 features,
    then buckets of magnitudes.
    """
    y = n // width
    x = n - y * width
    size = tokens * padded
    now, before, older = features + t % 3 * size, features + (t + 2) % 3 * size, features + (t + 1) % 3 * size
    if t == 1:
        older = before
    nearest = tl.where(y > 0, n - width, n - 1)  # stands for what is missing, in a first row
    for first in range(0, padded, BLOCK):
        channel = first + tl.arange(0, BLOCK)
        known = channel < tl.where(t > 0, channels, 0)
        magnitude = tl.abs(tl.load(codes + ((t - 1) * tokens + n) * channels + channel, mask=known, other=0))
        bucket = tl.load(maps + _ABSENT_AT + tl.minimum(magnitude, _ABSENT_AT - 1)).to(tl.int32)
        bucket += tl.where(t > 0, 0, _FIRST)
        weights = numbers + bucket
        change, level = _add(0, 0, tl.load(weights + (_FEATURES + token_class) * BUCKETS), 1)
        change, level = _add(change, level, tl.load(weights), _seen(older, n, t > 0, padded, channel))
        for i in tl.static_range(8):  # around, a row of the chunk before
            dy = (i + i // 4) // 3 - 1
            dx = (i + i // 4) % 3 - 1
            other = n + dy * width + dx
            inside = (t > 0) & (y + dy >= 0) & (x + dx >= 0) & (x + dx < width) & (other < tokens)
            feature = _seen(before, other, inside, padded, channel)
            change, level = _add(change, level, tl.load(weights + (1 + i) * BUCKETS), feature)
        for i in tl.static_range(4):  # left, above, above left, above right
            dy = (0, 1, 1, 1)[i]
            dx = (-1, 0, -1, 1)[i]
            other = n + dx - dy * width
            inside = (y - dy >= 0) & (x + dx >= 0) & (x + dx < width)
            other = tl.where(inside, other, nearest)
            feature = _seen(now, other, inside | ((t == 0) & (nearest >= 0)), padded, channel)
            change, level = _add(change, level, tl.load(weights + (9 + i) * BUCKETS), feature)
        change, level = _add(change, level, tl.load(weights + 13 * BUCKETS), _seen(before, n, t > 0, padded, channel))
        for i in tl.static_range(2):
            feature = _seen(level_traces if i else change_traces, n, t > 0, padded, channel)
            change, level = _add(change, level, tl.load(weights + (14 + i) * BUCKETS), feature)
        change, level = change >> _SCORE_BITS, level >> _SCORE_BITS
        quiet = tl.minimum(tl.maximum(change, 0), _QUIET_ROWS - 1) + tl.where(t > 0, 0, _FIRST_ROW)
        step = (bucket - 1) * _CHANGE_STEPS + tl.minimum(tl.maximum(change, 0), _CHANGE_STEPS - 1)
        active = _ACTIVE_ROW + step * _LEVEL_STEPS + tl.minimum(tl.maximum(level, 0), _LEVEL_STEPS - 1)
        row = tl.where((bucket > 0) & (bucket < _FIRST), active, quiet)
        tl.store(rows + channel, row.to(tl.int16), mask=channel < padded)


@triton.jit
def keep(
    t: tl.tensor,
    n: tl.tensor,
    tokens: tl.tensor,
    padded: tl.tensor,
    channel: tl.tensor,
    magnitude: tl.tensor,
    changed: tl.tensor,
    maps: tl.tensor,
    features: tl.tensor,
    change_traces: tl.tensor,
    level_traces: tl.tensor,
) -> None:
    """Some channels of token (t, n) are known: their magnitudes, and whether these are others than a row before."""
    feature = tl.load(maps + tl.minimum(magnitude, _ABSENT_AT - 1)).to(tl.int32)
    change = _seen(change_traces, n, t > 0, padded, channel)
    change += (tl.where(changed, 256, 0) - change) >> 2
    level = _seen(level_traces, n, t > 0, padded, channel)
    level = tl.where(t > 0, level + ((4 * feature - level) >> 2), 4 * feature)
    start = tl.multiple_of(n * padded, _PADDED_TO)
    tl.store(features + t % 3 * (tokens * padded) + start + channel, feature.to(tl.uint8), mask=channel < padded)
    tl.store(change_traces + start + channel, tl.where(t > 0, change, 0).to(tl.int16), mask=channel < padded)
    tl.store(level_traces + start + channel, level.to(tl.int16), mask=channel < padded)


@triton.jit
def class_of_changes(changed: tl.tensor, channels: tl.tensor) -> tl.tensor:
    """As `model.class_of_changes`."""
    found = (changed > 0).to(tl.int32)
    for i in tl.static_range(_TOKEN_CLASSES - 2):
        found += (256 * changed.to(tl.int64) >= channels.to(tl.int64) << i).to(tl.int32)
    return found


@triton.jit
def class_row(classes: tl.tensor, n: tl.tensor, width: tl.tensor, left: tl.tensor) -> tl.tensor:
    """The table row of a token's class. classes: of the row before; left: of the token before."""
    own = tl.load(classes + n)
    return _CLASS_ROW + _TOKEN_CLASSES * own + tl.where(n % width > 0, left, own)


@triton.jit
def put(
    t: tl.tensor,
    n: tl.tensor,
    tokens: tl.tensor,
    channels: tl.tensor,
    padded: tl.tensor,
    sent: tl.tensor,
    escape_count: tl.tensor,
    sign_bytes: tl.tensor,
    used: tl.tensor,
    nonzero: tl.tensor,
    maps: tl.tensor,
    escapes: tl.tensor,
    signs: tl.tensor,
    codes: tl.tensor,
    features: tl.tensor,
    change_traces: tl.tensor,
    level_traces: tl.tensor,
    rows: tl.tensor,
    symbols: tl.tensor,
    hits: tl.tensor,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Turns the symbols (D,) int16 of token (t, n) into codes, and these into features and traces; notes the symbols.

    Without `sent` the codes are those of a row before. used, nonzero: escapes and codes but 0 before this token; both
    are given back for after it, then how many codes are negative, how many changed, and how many cannot be.
    """
    negatives = 0
    changes = 0
    wrongs = 0
    for first in range(0, padded, BLOCK):
        channel = first + tl.arange(0, BLOCK)
        inside = channel < channels
        place = (t * tokens + n) * channels + channel
        known = channel < tl.where(t > 0, channels, 0)
        before = tl.abs(tl.load(codes + place - tokens * channels, mask=known, other=0))
        coded = channel < tl.where(sent, channels, 0)
        symbol = tl.load(symbols + channel, mask=coded, other=0).to(tl.int32)
        row = tl.load(rows + channel, mask=coded, other=0).to(tl.int32)
        tl.atomic_add(hits + row * _SYMBOLS + symbol, 1, mask=coded, sem="relaxed", scope="cta")

        relative = before >= _RELATIVE_FROM
        found = tl.where(relative & (symbol > 0), before + symbol - 8, symbol)
        escaped = coded & (symbol == _ESCAPE)
        if tl.sum(escaped.to(tl.int32)) > 0:
            at = used + tl.cumsum(escaped.to(tl.int32), 0) - 1
            value = tl.load(escapes + at, mask=escaped & (at < escape_count), other=0)
            found = tl.where(escaped, tl.where(relative, value, value + _ESCAPE), found)
            used += tl.sum(escaped.to(tl.int32))
        moved = found - before
        doubled = (found == 0) | (escaped & (moved >= -7) & (moved <= 6))  # has another symbol
        wrong = coded & ((found < 0) | (found > _MAX_LEVEL) | (relative & (symbol > 0) & doubled))
        wrongs += tl.sum(wrong.to(tl.int32))
        found = tl.where(coded, tl.where(wrong, 0, found), before)
        changed = inside & (found != before)
        changes += tl.sum(changed.to(tl.int32))

        value = found
        if sign_bytes >= 0:
            signed = (inside & (found != 0)).to(tl.int32)
            at = nonzero + tl.cumsum(signed, 0) - 1
            byte = tl.load(signs + (at >> 3), mask=(signed > 0) & ((at >> 3) < sign_bytes), other=0).to(tl.int32)
            negative = (byte >> (at & 7)) & 1
            value = tl.where(negative > 0, -found, found)
            nonzero += tl.sum(signed)
            negatives += tl.sum(negative)
        tl.store(codes + place, value, mask=inside)

        keep(t, n, tokens, padded, channel, found, changed, maps, features, change_traces, level_traces)
    return used, nonzero, negatives, changes, wrongs
