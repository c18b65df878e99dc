"""The contexts of one token compiled with numba, for `cpu.py` and the decisions of the sticky quantiser.

Features of the rows t - 2, t - 1 and t lie in planes with a border of zeros, so that neighbours are plain rows of D
values; the score that most codes need, after a zero, is summed row by row, which the compiler turns into vector code.
"""

from __future__ import annotations

import numba
import numpy as np

from embdc_cli.codec.transform.time_context.model import (
    ABSENT_AT,
    ACTIVE_ROW,
    CHANGE_STEPS,
    ESCAPE,
    FIRST,
    LEVEL_STEPS,
    RELATIVE_FROM,
    SCORE_BITS,
    TOKEN_CLASSES,
)

_MAP = numba.types.Array(numba.int16, 1, "C", readonly=True)
_NUMBERS = numba.types.Array(numba.int32, 2, "C", readonly=True)
_CODES = numba.types.Array(numba.int32, 3, "C", readonly=True)


@numba.njit(numba.int64(numba.int64, numba.int64), inline="always")
def class_of_changes(changed: int | np.integer, channels: int | np.integer) -> int:
    share = 256 * changed // channels
    found = 1 if changed > 0 else 0
    while share > 0 and found < TOKEN_CLASSES - 1:
        share >>= 1
        found += 1
    return found


@numba.njit(inline="always")
def symbol_after(magnitude: int | np.integer, before: int | np.integer) -> int:
    if before < RELATIVE_FROM:
        return int(min(magnitude, ESCAPE))
    moved = magnitude - before
    if magnitude == 0:
        return 0
    return 8 + moved if -7 <= moved <= 6 else ESCAPE


@numba.njit(numba.void(numba.int32[::1], numba.int32, numba.int16[::1]), nogil=True, cache=True)
def _add(scores: np.ndarray, weight: int, features: np.ndarray) -> None:
    for c in range(scores.size):
        scores[c] += weight * np.int32(features[c])


@numba.njit(numba.void(numba.int32[::1], numba.int32, numba.int32[::1]), nogil=True, cache=True)
def _add_wide(scores: np.ndarray, weight: int, features: np.ndarray) -> None:
    for c in range(scores.size):
        scores[c] += weight * features[c]


@numba.njit(
    numba.void(
        numba.int64, numba.int64, numba.int64, numba.int64, _NUMBERS, _NUMBERS,
        numba.int16[:, :, ::1], numba.int32[:, ::1], numba.int32[:, ::1], numba.int64[::1], numba.int32[::1],
    ),
    nogil=True, cache=True,
)  # fmt: skip
def quiet_scores(
    t: int,
    n: int,
    width: int,
    token_class: int,
    weights: np.ndarray,
    biases: np.ndarray,
    planes: np.ndarray,
    change: np.ndarray,
    level: np.ndarray,
    places: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Fills `places` with the rows of the planes that hold features 1..13, and `scores` as after a zero, or first."""
    y, x = n // width, n % width
    side = width + 2
    own = (y + 1) * side + x + 1
    i = 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if dy != 0 or dx != 0:
                places[i] = own + dy * side + dx
                i += 1
    left, above = own - 1, own - side
    places[8], places[9], places[10], places[11], places[12] = left, above, above - 1, above + 1, own
    channels = scores.size
    now, before, older = planes[t % 3], planes[(t + 2) % 3], planes[(t + 1) % 3]
    if t == 0:
        if x == 0:
            places[8] = above
        if y == 0:
            places[9] = left
        nearest = above if y > 0 else left
        if y == 0 or x == 0:
            places[10] = nearest
        if y == 0 or x + 1 == width:
            places[11] = nearest
        for c in range(channels):
            scores[c] = biases[FIRST, 0]
        for i in range(8, 12):
            _add(scores, weights[FIRST, 1 + i], now[places[i]])
        return
    for c in range(channels):
        scores[c] = biases[0, token_class]
    _add(scores, weights[0, 0], older[own] if t > 1 else before[own])
    for i in range(8):
        _add(scores, weights[0, 1 + i], before[places[i]])
    for i in range(8, 12):
        _add(scores, weights[0, 1 + i], now[places[i]])
    _add_wide(scores, weights[0, 14], change[n])
    _add_wide(scores, weights[0, 15], level[n])


@numba.njit(inline="always")
def active_row(
    bucket: int,
    t: int,
    n: int,
    c: int,
    token_class: int,
    change_weights: np.ndarray,
    change_biases: np.ndarray,
    level_weights: np.ndarray,
    level_biases: np.ndarray,
    planes: np.ndarray,
    change: np.ndarray,
    level: np.ndarray,
    places: np.ndarray,
) -> int:
    a = np.int64(change_biases[bucket, token_class])
    b = np.int64(level_biases[bucket, token_class])
    now, before = t % 3, (t + 2) % 3
    own = planes[before, places[12], c]
    older = planes[(t + 1) % 3, places[12], c] if t > 1 else own
    a += change_weights[bucket, 0] * older + change_weights[bucket, 13] * own
    b += level_weights[bucket, 0] * older + level_weights[bucket, 13] * own
    a += change_weights[bucket, 14] * change[n, c] + change_weights[bucket, 15] * level[n, c]
    b += level_weights[bucket, 14] * change[n, c] + level_weights[bucket, 15] * level[n, c]
    for i in range(8):
        feature = planes[before, places[i], c]
        a += change_weights[bucket, 1 + i] * feature
        b += level_weights[bucket, 1 + i] * feature
    for i in range(8, 12):
        feature = planes[now, places[i], c]
        a += change_weights[bucket, 1 + i] * feature
        b += level_weights[bucket, 1 + i] * feature
    first = min(max(a >> SCORE_BITS, 0), CHANGE_STEPS - 1)
    second = min(max(b >> SCORE_BITS, 0), LEVEL_STEPS - 1)
    return int(ACTIVE_ROW + ((bucket - 1) * CHANGE_STEPS + first) * LEVEL_STEPS + second)


@numba.njit(
    numba.void(
        numba.int64, numba.int64, numba.int64, _CODES, _MAP, numba.int16[:, :, ::1],
        numba.int32[:, ::1], numba.int32[:, ::1],
    ),
    nogil=True, cache=True,
)  # fmt: skip
def put(
    t: int,
    n: int,
    own: int,
    magnitudes: np.ndarray,
    feature_of: np.ndarray,
    planes: np.ndarray,
    change: np.ndarray,
    level: np.ndarray,
) -> None:
    mapped = planes[t % 3, own]
    for c in range(magnitudes.shape[2]):
        mapped[c] = feature_of[min(magnitudes[t, n, c], ABSENT_AT - 1)]
        wide = 4 * np.int32(mapped[c])
        if t == 0:
            level[n, c] = wide
        else:
            moved = np.int32(256) if magnitudes[t, n, c] != magnitudes[t - 1, n, c] else np.int32(0)
            change[n, c] += (moved - change[n, c]) >> 2
            level[n, c] += (wide - level[n, c]) >> 2
