"""Search and lookup compiled with numba: the same codes and sums as `reference.py`.

Scores of all codewords are summed coefficient by coefficient, so that the inner loop runs over codewords side by side.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.vq.search import LANES, NEVER, Packed, Prices

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")


def _in(dtype: Any, axes: int) -> Any:
    return numba.types.Array(dtype, axes, "C", readonly=True)


_INTS1, _INTS2, _INTS3 = (_in(numba.int32, axes) for axes in (1, 2, 3))
_FLOATS2, _FLOATS3 = _in(numba.float32, 2), _in(numba.float32, 3)
_PRICES1, _PRICES2 = _in(numba.float64, 1), _in(numba.float64, 2)
_LEVELS = (_INTS2, _INTS1, _INTS3)


def search(y: np.ndarray, packed: Packed, prices: Prices, lagrangian: float) -> np.ndarray:
    """As in `reference.py`."""
    codes = np.zeros((*y.shape[:2], len(packed.widths)), np.int32)
    _search(
        np.ascontiguousarray(y),
        packed.channels,
        packed.widths,
        packed.codewords,
        packed.seen,
        packed.halves,
        packed.shifts,
        packed.bounds,
        prices.go_on,
        prices.stop,
        prices.keep,
        prices.leave,
        prices.index,
        float(lagrangian),
        codes,
    )
    return codes


def lookup(codes: np.ndarray, packed: Packed, rank: int) -> np.ndarray:
    """As in `reference.py`."""
    y = np.zeros((*codes.shape[:-1], rank), np.int32)
    if codes.size and rank:
        flat = np.ascontiguousarray(codes).reshape(-1, codes.shape[-1])
        _lookup(flat, packed.channels, packed.widths, packed.codewords, y.reshape(-1, rank))
    return y


@numba.njit(
    numba.void(
        _INTS3,
        *_LEVELS,
        _FLOATS3,
        _FLOATS2,
        _INTS1,
        _INTS1,
        _PRICES1,
        _PRICES1,
        _PRICES2,
        _PRICES2,
        _PRICES1,
        numba.float64,
        numba.int32[:, :, ::1],
    ),
    nogil=True,
    cache=True,
)
def _search(
    y: np.ndarray,
    channels: np.ndarray,
    widths: np.ndarray,
    codewords: np.ndarray,
    seen: np.ndarray,
    halves: np.ndarray,
    shifts: np.ndarray,
    bounds: np.ndarray,
    go_on_bits: np.ndarray,
    stop_bits: np.ndarray,
    keep_bits: np.ndarray,
    leave_bits: np.ndarray,
    index_bits: np.ndarray,
    lagrangian: float,
    codes: np.ndarray,
) -> None:
    rows, count, rank = y.shape
    most = halves.shape[1]
    never = np.float32(NEVER)
    left = np.empty((rows, rank), np.int32)
    active = np.empty(rows, np.bool_)
    kept = np.empty(rows, np.uint8)
    scores = np.empty(most, np.float32)
    value = np.empty(most, np.float32)
    stay = np.empty((rows, most), np.bool_)
    source = np.empty(rows, np.int32)
    ends = np.empty(rows, np.int32)
    top = np.empty(LANES, np.float32)
    where = np.empty(LANES, np.int32)
    for n in range(count):
        for t in range(rows):
            left[t] = y[t, n]
            active[t] = True
            kept[t] = 1
        for level in range(widths.size):
            width = widths[level]
            shift = shifts[level]
            bound = bounds[level]
            half = np.int32(1) << shift >> 1
            unit = lagrangian / (2.0 * 4.0 ** np.float64(shift))
            go_on = np.float32(go_on_bits[level] * unit)
            stop = np.float32(stop_bits[level] * unit)
            index = np.float32(index_bits[level] * unit)
            best = never
            best_k = np.int32(-1)
            none = np.float32(0)
            value[:] = never
            for t in range(rows):
                ends[t] = -1
                if not active[t]:
                    value[:] = never
                    best = never
                    best_k = np.int32(-1)
                    none = np.float32(0)
                    continue
                for k in range(most):
                    scores[k] = halves[level, k]
                for j in range(width):
                    x = left[t, channels[level, j]] + half >> shift
                    seen_x = np.float32(min(max(x, -bound), bound))
                    for k in range(most):
                        scores[k] += seen_x * seen[level, j, k]
                keep = np.float32(keep_bits[level, kept[t]] * unit)
                anew = best - np.float32(leave_bits[level, kept[t]] * unit)
                source[t] = best_k
                if none >= anew:
                    anew = none
                    source[t] = -1
                anew = anew - index
                stopped = max(best, none)
                for k in range(most):
                    same = value[k] - keep
                    stays = same >= anew
                    stay[t, k] = stays
                    value[k] = scores[k] - go_on + (same if stays else anew)
                none = never if unit == 0 else stopped - stop
                for i in range(LANES):
                    top[i] = value[i]
                    where[i] = i
                for start in range(LANES, most, LANES):
                    for i in range(LANES):
                        higher = value[start + i] > top[i]
                        top[i] = value[start + i] if higher else top[i]
                        where[i] = start + i if higher else where[i]
                best = top[0]
                best_k = where[0]
                for i in range(1, LANES):
                    if top[i] > best or (top[i] == best and where[i] < best_k):
                        best = top[i]
                        best_k = where[i]
                highest = max(best, none)
                for k in range(most):
                    value[k] -= highest
                best = best - highest
                none = none - highest
                if best > none:
                    ends[t] = best_k
            state = ends[rows - 1]
            any_active = False
            for t in range(rows - 1, -1, -1):
                codes[t, n, level] = state + 1
                if state >= 0:
                    any_active = True
                    for j in range(width):
                        left[t, channels[level, j]] -= codewords[level, state, j]
                if t > 0:
                    if state < 0:
                        state = ends[t - 1]
                    elif not stay[t, state]:
                        state = source[t]
            for t in range(rows):
                active[t] = codes[t, n, level] > 0
                kept[t] = t > 0 and active[t] and codes[t, n, level] == codes[t - 1, n, level]
            if not any_active:
                break


@numba.njit(numba.void(_INTS2, *_LEVELS, numba.int32[:, ::1]), nogil=True, cache=True)
def _lookup(codes: np.ndarray, channels: np.ndarray, widths: np.ndarray, codewords: np.ndarray, y: np.ndarray) -> None:
    for token in range(codes.shape[0]):
        for level in range(widths.size):
            code = codes[token, level]
            if code > 0:
                for j in range(widths[level]):
                    y[token, channels[level, j]] += codewords[level, code - 1, j]
