"""The kernels of `reference.py` compiled with numba: the same symbols, words and codes, some nanoseconds per code.

All loops release the GIL. The word pointer and the escape pointer are checked before every read.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.transform.time_context.cpu_contexts import (
    active_row,
    class_of_changes,
    put,
    quiet_scores,
    symbol_after,
)
from embdc_cli.codec.transform.time_context.model import (
    ABSENT_AT,
    BUCKET,
    CLASS_ROW,
    COUNT,
    ESCAPE,
    FEATURE,
    FIRST_ROW,
    PROBABILITY_BITS,
    QUIET_ROWS,
    RELATIVE_FROM,
    RENEW_AFTER,
    ROWS,
    SCORE_BITS,
    SYMBOLS,
    TOKEN_CLASSES,
    TOTAL,
    ContextModel,
)
from embdc_cli.codec.transform.time_context.reference import Symbols
from embdc_cli.entropy.rans.layout import STATE_LOW, WORD_BITS

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_LOW = np.uint32(STATE_LOW)
_MASK = np.uint32(TOTAL - 1)
_BITS = np.uint32(PROBABILITY_BITS)
_WORD = np.uint32(WORD_BITS)
_HALF = np.uint32(0xFFFF)
_LARGEST = np.int64(np.iinfo(np.int32).max)

_MAP = numba.types.Array(numba.int16, 1, "C", readonly=True)
_BUCKETS = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_NUMBERS = numba.types.Array(numba.int32, 2, "C", readonly=True)
_CODES = numba.types.Array(numba.int32, 3, "C", readonly=True)
_LIST = numba.types.Array(numba.int32, 1, "C", readonly=True)
_WORDS = numba.types.Array(numba.uint16, 1, "C", readonly=True)
_INTERVALS = numba.types.Array(numba.uint16, 1, "C", readonly=True)
_SYMBOLS = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_ENDS = numba.types.Array(numba.int64, 1, "C", readonly=True)
_WEIGHTS = (_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS)


def symbols_of(magnitudes: np.ndarray, width: int, model: ContextModel) -> Symbols:
    """As in `reference.py`."""
    rows, tokens, channels = magnitudes.shape
    most = rows * tokens * (channels + 1)
    symbols, table_rows = np.empty(most, np.uint8), np.empty(most, np.uint16)
    escapes, ends = np.empty(magnitudes.size, np.int32), np.zeros(rows, np.int64)
    used = _symbols_of(
        np.ascontiguousarray(magnitudes),
        min(width, max(tokens, 1)),
        *_numbers(model),
        symbols,
        table_rows,
        escapes,
        ends,
    )
    sent = int(ends[-1]) if rows else 0
    return Symbols(symbols[:sent].copy(), table_rows[:sent].copy(), escapes[:used].copy(), ends)


def intervals_of(sent: Symbols, model: ContextModel) -> tuple[np.ndarray, np.ndarray]:
    """As in `reference.py`."""
    freq, cum = np.empty(sent.rows.size, np.uint16), np.empty(sent.rows.size, np.uint16)
    _intervals(sent.symbols, sent.rows, sent.ends, model.counts.astype(np.int64), model.freq.copy(), freq, cum)
    return freq, cum


def encode(freq: np.ndarray, cum: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """As in `reference.py`."""
    words = np.empty(freq.size, np.uint16)  # at most one word per symbol
    states = np.full(lanes, STATE_LOW, np.uint32)
    first = _encode(freq, cum, states, words)
    return states, words[first:]


def decode(
    states: np.ndarray,
    words: np.ndarray,
    escapes: np.ndarray,
    shape: tuple[int, int, int],
    width: int,
    model: ContextModel,
) -> tuple[np.ndarray, bool]:
    """As in `reference.py`."""
    magnitudes = np.zeros(shape, np.int32)
    whole = _decode(
        states.copy(),
        words,
        escapes,
        min(width, max(shape[1], 1)),
        *_numbers(model),
        model.counts.astype(np.int64),
        model.freq.copy(),
        magnitudes,
    )
    return magnitudes, bool(whole)


_Numbers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _numbers(model: ContextModel) -> _Numbers:
    return FEATURE, BUCKET, model.change_weights, model.change_biases, model.level_weights, model.level_biases


@numba.njit(numba.void(numba.int64[:, ::1], numba.int32[:, ::1]), nogil=True, cache=True)
def _renew(counts: np.ndarray, freq: np.ndarray) -> None:
    for row in range(ROWS):
        total = np.int64(0)
        for s in range(SYMBOLS):
            total += counts[row, s]
        left = TOTAL
        largest = 0
        for s in range(SYMBOLS):
            f = 1 + counts[row, s] * (TOTAL - SYMBOLS) // total
            freq[row, s] = f
            left -= f
            if f > freq[row, largest]:
                largest = s
        freq[row, largest] += left


@numba.njit(
    numba.int64(
        _CODES, numba.int64, _MAP, _BUCKETS, *_WEIGHTS,
        numba.uint8[::1], numba.uint16[::1], numba.int32[::1], numba.int64[::1],
    ),
    nogil=True, cache=True,
)  # fmt: skip
def _symbols_of(
    magnitudes: np.ndarray,
    width: int,
    feature_of: np.ndarray,
    bucket_of: np.ndarray,
    change_weights: np.ndarray,
    change_biases: np.ndarray,
    level_weights: np.ndarray,
    level_biases: np.ndarray,
    symbols: np.ndarray,
    rows: np.ndarray,
    escapes: np.ndarray,
    ends: np.ndarray,
) -> int:
    frames, tokens, channels = magnitudes.shape
    planes = np.zeros((3, ((tokens + width - 1) // width + 2) * (width + 2), channels), np.int16)
    change, level = np.zeros((tokens, channels), np.int32), np.zeros((tokens, channels), np.int32)
    classes = np.zeros((2, tokens), np.int64)
    places, scores = np.zeros(13, np.int64), np.zeros(channels, np.int32)
    at = 0
    used = 0
    for t in range(frames):
        for n in range(tokens):
            token_class = 0
            if t > 0:
                changed = np.int64(0)
                for c in range(channels):
                    changed += magnitudes[t, n, c] != magnitudes[t - 1, n, c]
                token_class = class_of_changes(changed, channels)
                before = classes[(t - 1) & 1, n]
                left = classes[t & 1, n - 1] if n % width > 0 else before
                symbols[at] = token_class
                rows[at] = CLASS_ROW + TOKEN_CLASSES * before + left
                at += 1
            classes[t & 1, n] = token_class
            own = (n // width + 1) * (width + 2) + n % width + 1
            if t == 0 or token_class > 0:
                quiet_scores(
                    t, n, width, token_class, change_weights, change_biases, planes, change, level, places, scores
                )
                for c in range(channels):
                    magnitude = magnitudes[t, n, c]
                    p = magnitudes[t - 1, n, c] if t > 0 else np.int32(0)
                    if p == 0:
                        row = min(max(scores[c] >> SCORE_BITS, 0), QUIET_ROWS - 1) + (FIRST_ROW if t == 0 else 0)
                    else:
                        row = active_row(
                            bucket_of[min(p, ABSENT_AT - 1)], t, n, c, token_class, change_weights, change_biases,
                            level_weights, level_biases, planes, change, level, places,
                        )  # fmt: skip
                    symbol = symbol_after(magnitude, p)
                    if symbol == ESCAPE:
                        escapes[used] = magnitude - ESCAPE if p < RELATIVE_FROM else magnitude
                        used += 1
                    symbols[at] = symbol
                    rows[at] = row
                    at += 1
            put(t, n, own, magnitudes, feature_of, planes, change, level)
        ends[t] = at
    return used


@numba.njit(numba.void(numba.int32[:, ::1], numba.uint16[:, ::1]), nogil=True, cache=True)
def _accumulate(freq: np.ndarray, cum: np.ndarray) -> None:
    for row in range(ROWS):
        total = 0
        for s in range(SYMBOLS):
            cum[row, s] = total
            total += freq[row, s]


@numba.njit(
    numba.void(_SYMBOLS, _WORDS, _ENDS, numba.int64[:, ::1], numba.int32[:, ::1], numba.uint16[::1], numba.uint16[::1]),
    nogil=True,
    cache=True,
)
def _intervals(
    symbols: np.ndarray,
    rows: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    freq: np.ndarray,
    found_freq: np.ndarray,
    found_cum: np.ndarray,
) -> None:
    cum = np.zeros((ROWS, SYMBOLS), np.uint16)
    _accumulate(freq, cum)
    passed = 0
    start = 0
    for end in ends:
        for i in range(start, end):
            row, symbol = rows[i], symbols[i]
            found_freq[i] = freq[row, symbol]
            found_cum[i] = cum[row, symbol]
            counts[row, symbol] += COUNT
        passed += end - start
        start = end
        if passed >= RENEW_AFTER:
            passed = 0
            _renew(counts, freq)
            _accumulate(freq, cum)


@numba.njit(numba.int64(_INTERVALS, _INTERVALS, numba.uint32[::1], numba.uint16[::1]), nogil=True, cache=True)
def _encode(freq: np.ndarray, cum: np.ndarray, states: np.ndarray, words: np.ndarray) -> int:
    lanes = states.size
    position = words.size
    i = freq.size
    lane = i % lanes
    while i > 0:
        i -= 1
        lane = lane - 1 if lane > 0 else lanes - 1
        f = np.uint32(freq[i])
        x = states[lane]
        if np.uint64(x) >= np.uint64(f) << np.uint64(32 - PROBABILITY_BITS):
            position -= 1
            words[position] = np.uint16(x & _HALF)
            x >>= _WORD
        quotient = x // f
        states[lane] = (quotient << _BITS) + (x - quotient * f) + np.uint32(cum[i])
    return position


@numba.njit(inline="always")
def _symbol_of(row: int, slot: int, cum: np.ndarray) -> int:
    if slot < cum[row, 1]:
        return 0
    symbol = 8 if slot >= cum[row, 8] else 0
    if slot >= cum[row, symbol + 4]:
        symbol += 4
    if slot >= cum[row, symbol + 2]:
        symbol += 2
    if slot >= cum[row, symbol + 1]:
        symbol += 1
    return symbol


@numba.njit(
    numba.boolean(
        numba.uint32[::1], _WORDS, _LIST, numba.int64, _MAP, _BUCKETS, *_WEIGHTS,
        numba.int64[:, ::1], numba.int32[:, ::1], numba.int32[:, :, ::1],
    ),
    nogil=True, cache=True,
)  # fmt: skip
def _decode(
    states: np.ndarray,
    words: np.ndarray,
    escapes: np.ndarray,
    width: int,
    feature_of: np.ndarray,
    bucket_of: np.ndarray,
    change_weights: np.ndarray,
    change_biases: np.ndarray,
    level_weights: np.ndarray,
    level_biases: np.ndarray,
    counts: np.ndarray,
    freq: np.ndarray,
    magnitudes: np.ndarray,
) -> bool:
    frames, tokens, channels = magnitudes.shape
    planes = np.zeros((3, ((tokens + width - 1) // width + 2) * (width + 2), channels), np.int16)
    change, level = np.zeros((tokens, channels), np.int32), np.zeros((tokens, channels), np.int32)
    classes = np.zeros((2, tokens), np.int64)
    places, scores = np.zeros(13, np.int64), np.zeros(channels, np.int32)
    cum = np.zeros((ROWS, SYMBOLS), np.uint16)
    _accumulate(freq, cum)
    lanes = states.size
    lane = 0
    at = 0
    used = 0
    passed = 0
    for t in range(frames):
        for n in range(tokens):
            token_class = 0
            if t > 0:
                before = classes[(t - 1) & 1, n]
                left = classes[t & 1, n - 1] if n % width > 0 else before
                row = CLASS_ROW + TOKEN_CLASSES * before + left
                x = states[lane]
                slot = x & _MASK
                token_class = _symbol_of(row, slot, cum)
                x = np.uint32(freq[row, token_class]) * (x >> _BITS) + slot - np.uint32(cum[row, token_class])
                if x < _LOW:
                    if at >= words.size:
                        return False
                    x = x << _WORD | np.uint32(words[at])
                    at += 1
                states[lane] = x
                lane = lane + 1 if lane + 1 < lanes else 0
                counts[row, token_class] += COUNT
                passed += 1
                if token_class >= TOKEN_CLASSES:
                    return False
            classes[t & 1, n] = token_class
            own = (n // width + 1) * (width + 2) + n % width + 1
            if t == 0 or token_class > 0:
                quiet_scores(
                    t, n, width, token_class, change_weights, change_biases, planes, change, level, places, scores
                )
                changed = 0
                for c in range(channels):
                    p = magnitudes[t - 1, n, c] if t > 0 else np.int32(0)
                    if p == 0:
                        row = min(max(scores[c] >> SCORE_BITS, 0), QUIET_ROWS - 1) + (FIRST_ROW if t == 0 else 0)
                    else:
                        row = active_row(
                            bucket_of[min(p, ABSENT_AT - 1)], t, n, c, token_class, change_weights, change_biases,
                            level_weights, level_biases, planes, change, level, places,
                        )  # fmt: skip
                    x = states[lane]
                    slot = x & _MASK
                    symbol = _symbol_of(row, slot, cum)
                    x = np.uint32(freq[row, symbol]) * (x >> _BITS) + slot - np.uint32(cum[row, symbol])
                    if x < _LOW:
                        if at >= words.size:
                            return False
                        x = x << _WORD | np.uint32(words[at])
                        at += 1
                    states[lane] = x
                    lane = lane + 1 if lane + 1 < lanes else 0
                    counts[row, symbol] += COUNT
                    found = np.int64(symbol)
                    if symbol == ESCAPE:
                        if used >= escapes.size:
                            return False
                        found = np.int64(escapes[used]) + (ESCAPE if p < RELATIVE_FROM else 0)
                        used += 1
                    elif p >= RELATIVE_FROM and symbol > 0:
                        found = np.int64(p) + symbol - 8
                    if found < 0 or found > _LARGEST or symbol_after(found, p) != symbol:
                        return False
                    magnitudes[t, n, c] = found
                    changed += found != p
                passed += channels
                if t > 0 and class_of_changes(changed, channels) != token_class:
                    return False
            else:
                magnitudes[t, n] = magnitudes[t - 1, n]
            put(t, n, own, magnitudes, feature_of, planes, change, level)
        if passed >= RENEW_AFTER:
            passed = 0
            _renew(counts, freq)
            _accumulate(freq, cum)
    for lane in range(lanes):
        if states[lane] != _LOW:
            return False
    return bool(at == words.size and used == escapes.size)
