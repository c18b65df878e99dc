"""The kernels of `reference.py` compiled with numba: the same decisions and points, some ten nanoseconds per value."""

from __future__ import annotations

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.transform.sticky.reference import CANDIDATES, LEAST, WAKING_BITS
from embdc_cli.codec.transform.time_context.cpu_contexts import symbol_after
from embdc_cli.codec.transform.time_context.model import (
    ABSENT_AT,
    ACTIVE_ROW,
    BUCKET,
    CHANGE_STEPS,
    FEATURE,
    FIRST,
    FIRST_ROW,
    LEVEL_STEPS,
    QUIET_ROWS,
    SCORE_BITS,
    ContextModel,
)

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_MAP = numba.types.Array(numba.int16, 1, "C", readonly=True)
_BUCKETS = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_NUMBERS = numba.types.Array(numba.int32, 2, "C", readonly=True)
_CODES = numba.types.Array(numba.int32, 3, "C", readonly=True)
_VALUES = numba.types.Array(numba.float32, 3, "C", readonly=True)
_CLASSES = numba.types.Array(numba.int64, 2, "C", readonly=True)
_OFFSETS = numba.types.Array(numba.float64, 3, "C", readonly=True)
_POINTS = numba.types.Array(numba.float32, 3, "C", readonly=True)


def refine(
    values: np.ndarray,
    magnitudes: np.ndarray,
    width: int,
    classes: np.ndarray,
    cost: np.ndarray,
    offsets: np.ndarray,
    lagrangian: float,
    model: ContextModel,
) -> None:
    """As in `reference.py`."""
    _refine(
        np.ascontiguousarray(values),
        magnitudes,
        max(1, min(width, magnitudes.shape[1])),
        np.ascontiguousarray(classes),
        np.ascontiguousarray(cost),
        offsets,
        lagrangian,
        FEATURE,
        BUCKET,
        model.change_weights,
        model.change_biases,
        model.level_weights,
        model.level_biases,
    )


def centroid_sums(values: np.ndarray, magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As in `reference.py`."""
    sums, numbers = np.zeros((4, 3, 3)), np.zeros((4, 3, 3), np.int64)
    _centroid_sums(np.ascontiguousarray(values), np.ascontiguousarray(magnitudes), sums, numbers)
    return sums, numbers


def points(codes: np.ndarray, offsets: np.ndarray, step: float) -> np.ndarray:
    """As in `reference.py`."""
    found = np.empty(codes.shape, np.float32)
    _points(np.ascontiguousarray(codes), offsets, np.float32(step), found)
    return found


@numba.njit(inline="always")
def _compared(other: int, own: int) -> int:
    if other < own:
        return 0
    return 2 if other > own else 1


@numba.njit(inline="always")
def _around(
    t: int, n: int, c: int, width: int, magnitudes: np.ndarray, feature_of: np.ndarray, near: np.ndarray
) -> None:
    """Features 1..12 of code (t, n, c) into near (12,)."""
    tokens = magnitudes.shape[1]
    y, x = n // width, n % width
    i = 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if dy != 0 or dx != 0:
                other = n + dy * width + dx
                near[i] = 0
                if t > 0 and y + dy >= 0 and 0 <= x + dx < width and other < tokens:
                    near[i] = feature_of[min(magnitudes[t - 1, other, c], ABSENT_AT - 1)]
                i += 1
    left, above, corner, right = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    if x > 0:
        left = np.int32(feature_of[min(magnitudes[t, n - 1, c], ABSENT_AT - 1)])
    if y > 0:
        above = np.int32(feature_of[min(magnitudes[t, n - width, c], ABSENT_AT - 1)])
        if x > 0:
            corner = np.int32(feature_of[min(magnitudes[t, n - width - 1, c], ABSENT_AT - 1)])
        if x + 1 < width:
            right = np.int32(feature_of[min(magnitudes[t, n - width + 1, c], ABSENT_AT - 1)])
    if t == 0:
        nearest = above if y > 0 else left
        left = left if x > 0 else nearest
        above = above if y > 0 else nearest
        corner = corner if y > 0 and x > 0 else nearest
        right = right if y > 0 and x + 1 < width else nearest
    near[8], near[9], near[10], near[11] = left, above, corner, right


@numba.njit(
    numba.void(
        _VALUES, numba.int32[:, :, ::1], numba.int64, _CLASSES, _NUMBERS, _OFFSETS, numba.float64,
        _MAP, _BUCKETS, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS,
    ),
    nogil=True, cache=True,
)  # fmt: skip
def _refine(
    values: np.ndarray,
    magnitudes: np.ndarray,
    width: int,
    classes: np.ndarray,
    cost: np.ndarray,
    offsets: np.ndarray,
    lagrangian: float,
    feature_of: np.ndarray,
    bucket_of: np.ndarray,
    change_weights: np.ndarray,
    change_biases: np.ndarray,
    level_weights: np.ndarray,
    level_biases: np.ndarray,
) -> None:
    frames, tokens, channels = magnitudes.shape
    levels = np.zeros((frames, CANDIDATES), np.int32)
    back = np.zeros((frames, CANDIDATES), np.int32)
    near = np.zeros((frames, 12), np.int32)
    totals, sums = np.zeros(CANDIDATES), np.zeros(CANDIDATES)
    kept, fresh = np.zeros((3, CANDIDATES), np.int32), np.zeros((3, CANDIDATES), np.int32)  # older, change, level
    for n in range(tokens):
        for c in range(channels):
            moving = False
            for t in range(frames):
                moving = moving or values[t, n, c] >= LEAST or magnitudes[t, n, c] != 0
            if not moving:
                continue
            for t in range(frames):
                _around(t, n, c, width, magnitudes, feature_of, near[t])
                f = int(values[t, n, c])
                levels[t, 0] = 0 if f <= 2 else -1
                for i in range(3):
                    level = max(f - 1, 1) + i
                    levels[t, 1 + i] = level if level <= f + 1 else -1
            score = int(change_biases[FIRST, 0])
            for i in range(12):
                score += change_weights[FIRST, 1 + i] * near[0, i]
            row = FIRST_ROW + min(max(score >> SCORE_BITS, 0), QUIET_ROWS - 1)
            for s in range(CANDIDATES):
                q = levels[0, s]
                if q >= 0:
                    totals[s] = lagrangian * cost[row, symbol_after(q, 0)]
                    kept[0, s] = q
                    kept[1, s] = 0
                    kept[2, s] = 4 * np.int32(feature_of[min(q, ABSENT_AT - 1)])
            for t in range(1, frames):
                token_class = classes[t, n]
                sums[:] = np.inf
                for s in range(CANDIDATES):
                    p = levels[t - 1, s]
                    if p < 0:
                        continue
                    bucket = bucket_of[min(p, ABSENT_AT - 1)]
                    own = np.int32(feature_of[min(p, ABSENT_AT - 1)])
                    older = np.int32(feature_of[min(kept[0, s], ABSENT_AT - 1)])
                    a = np.int64(change_biases[bucket, max(token_class, 1)])
                    a += change_weights[bucket, 0] * older + change_weights[bucket, 13] * own
                    a += change_weights[bucket, 14] * kept[1, s] + change_weights[bucket, 15] * kept[2, s]
                    for i in range(12):
                        a += change_weights[bucket, 1 + i] * near[t, i]
                    a >>= SCORE_BITS
                    row = min(max(a, 0), QUIET_ROWS - 1)
                    if bucket > 0:
                        b = np.int64(level_biases[bucket, max(token_class, 1)])
                        b += level_weights[bucket, 0] * older + level_weights[bucket, 13] * own
                        b += level_weights[bucket, 14] * kept[1, s] + level_weights[bucket, 15] * kept[2, s]
                        for i in range(12):
                            b += level_weights[bucket, 1 + i] * near[t, i]
                        b >>= SCORE_BITS
                        first = min(max(a, 0), CHANGE_STEPS - 1)
                        second = min(max(b, 0), LEVEL_STEPS - 1)
                        row = ACTIVE_ROW + ((np.int64(bucket) - 1) * CHANGE_STEPS + first) * LEVEL_STEPS + second
                    rise = _compared(kept[0, s], p) if t > 1 else 1
                    for z in range(CANDIDATES):
                        q = levels[t, z]
                        if q < 0:
                            continue
                        bits = np.int64(cost[row, symbol_after(q, p)])
                        if token_class == 0:
                            bits = np.int64(0) if q == p else bits + 256 * WAKING_BITS
                        missed = np.float64(values[t - 1, n, c]) - (p + offsets[min(p, 3), rise, _compared(q, p)])
                        total = totals[s] + missed * missed + lagrangian * bits
                        if total < sums[z]:
                            sums[z] = total
                            back[t, z] = s
                for z in range(CANDIDATES):
                    q = levels[t, z]
                    if q < 0:
                        continue
                    s = back[t, z]
                    moved = np.int32(256) if q != levels[t - 1, s] else np.int32(0)
                    fresh[0, z] = levels[t - 1, s]
                    fresh[1, z] = kept[1, s] + ((moved - kept[1, s]) >> 2)
                    wide = 4 * np.int32(feature_of[min(q, ABSENT_AT - 1)])
                    fresh[2, z] = kept[2, s] + ((wide - kept[2, s]) >> 2)
                for z in range(CANDIDATES):
                    totals[z] = sums[z]
                    for i in range(3):
                        kept[i, z] = fresh[i, z]
            best = -1
            least = np.inf
            for s in range(CANDIDATES):
                q = levels[frames - 1, s]
                if q < 0:
                    continue
                rise = _compared(kept[0, s], q) if frames > 1 else 1
                missed = np.float64(values[frames - 1, n, c]) - q - offsets[min(q, 3), rise, 1]
                total = totals[s] + missed * missed
                if total < least:
                    least = total
                    best = s
            for t in range(frames - 1, -1, -1):
                magnitudes[t, n, c] = levels[t, best]
                best = back[t, best]


@numba.njit(numba.void(_VALUES, _CODES, numba.float64[:, :, ::1], numba.int64[:, :, ::1]), nogil=True, cache=True)
def _centroid_sums(values: np.ndarray, magnitudes: np.ndarray, sums: np.ndarray, numbers: np.ndarray) -> None:
    frames, tokens, channels = magnitudes.shape
    for t in range(frames):
        for n in range(tokens):
            for c in range(channels):
                q = magnitudes[t, n, c]
                before = _compared(magnitudes[t - 1, n, c], q) if t > 0 else 1
                after = _compared(magnitudes[t + 1, n, c], q) if t + 1 < frames else 1
                sums[min(q, 3), before, after] += np.float64(values[t, n, c]) - q
                numbers[min(q, 3), before, after] += 1


@numba.njit(numba.void(_CODES, _POINTS, numba.float32, numba.float32[:, :, ::1]), nogil=True, cache=True)
def _points(codes: np.ndarray, offsets: np.ndarray, step: np.float32, found: np.ndarray) -> None:
    frames, tokens, channels = codes.shape
    for t in range(frames):
        for n in range(tokens):
            for c in range(channels):
                code = codes[t, n, c]
                q = abs(code)
                earlier = codes[t - 1, n, c] if t > 0 else code
                later = codes[t + 1, n, c] if t + 1 < frames else code
                if code == 0 and earlier == 0 and later == 0:
                    found[t, n, c] = offsets[0, 1, 1] * step
                    continue
                point = np.float32(q) + offsets[min(q, 3), _compared(abs(earlier), q), _compared(abs(later), q)]
                sign = code
                if sign == 0:
                    sign = earlier
                if sign == 0:
                    sign = later
                found[t, n, c] = (-point if sign < 0 else point) * step
