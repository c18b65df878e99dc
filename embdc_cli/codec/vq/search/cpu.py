"""Search and lookup compiled with numba: the same codes and sums as `reference.py`.

Scores of all codewords are summed coefficient by coefficient, so that the inner loop runs over codewords side by side.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.vq.gaussian import SAVED, WIDTH
from embdc_cli.codec.vq.search import NEVER, Packed, Prices

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


@numba.njit(numba.float32(numba.float32[::1]), nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _highest(values: np.ndarray) -> Any:
    """The greatest of them: the same in any order, so that they may be compared side by side."""
    highest = values[0]
    for value in values:
        highest = max(highest, value)
    return highest


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
    energy = np.empty(rows, np.int64)
    blocks = (rank + WIDTH - 1) // WIDTH
    active = np.empty(rows, np.bool_)
    kept = np.empty(rows, np.uint8)
    seen_x = np.empty(channels.shape[1], np.float32)
    scores = np.empty(most, np.float32)
    value = np.empty(most, np.float32)
    stay = np.empty((rows, most), np.bool_)
    source = np.empty(rows, np.int32)
    ends = np.empty(rows, np.int32)
    for n in range(count):
        for t in range(rows):
            energy[t] = 0
            for j in range(rank):
                left[t, j] = y[t, n, j]
                energy[t] += np.int64(left[t, j]) * np.int64(left[t, j])
            active[t] = True
            kept[t] = 1
        for level in range(widths.size):
            width = widths[level]
            shift = shifts[level]
            bound = bounds[level]
            half = np.int32(1) << shift >> 1
            scale = 2.0 * 4.0 ** np.float64(shift)
            unit = lagrangian / scale
            go_on = np.float32(go_on_bits[level] * unit)
            stop = np.float32(stop_bits[level] * unit)
            index = np.float32(index_bits[level] * unit)
            levels_after = min(widths.size - 1 - level, blocks)
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
                    seen_x[j] = min(max(left[t, channels[level, j]] + half >> shift, -bound), bound)
                for j in range(0, width - 3, 4):  # four at a time: scores are loaded and stored less often
                    a, b, c, d = seen_x[j], seen_x[j + 1], seen_x[j + 2], seen_x[j + 3]
                    for k in range(most):
                        scores[k] += (
                            a * seen[level, j, k]
                            + b * seen[level, j + 1, k]
                            + c * seen[level, j + 2, k]
                            + d * seen[level, j + 3, k]
                        )
                for j in range(width & ~3, width):
                    for k in range(most):
                        scores[k] += seen_x[j] * seen[level, j, k]
                to_come = SAVED / blocks * np.float64(energy[t]) - lagrangian * index_bits[level]
                hope = np.float32(max(0.0, to_come) * levels_after / scale)
                for k in range(most):
                    scores[k] += hope
                keep = np.float32(keep_bits[level, kept[t]] * unit)
                anew = best - np.float32(leave_bits[level, kept[t]] * unit)
                source[t] = best_k
                if none >= anew:
                    anew = none
                    source[t] = -1
                anew = anew - index
                stopped = max(best, none)
                if unit == 0:  # every row takes its best codeword
                    for k in range(most):
                        stay[t, k] = False
                        value[k] = scores[k]
                    none = never
                else:
                    for k in range(most):
                        same = value[k] - keep
                        stays = same >= anew
                        stay[t, k] = stays
                        value[k] = scores[k] - go_on + (same if stays else anew)
                    none = stopped - stop
                best = _highest(value)
                best_k = np.int32(0)
                while value[best_k] != best:
                    best_k += np.int32(1)
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
                        before = np.int64(left[t, channels[level, j]])
                        after = before - codewords[level, state, j]
                        left[t, channels[level, j]] = after
                        energy[t] += after * after - before * before
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
