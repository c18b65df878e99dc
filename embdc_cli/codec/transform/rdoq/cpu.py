"""Rounding by thresholds compiled with numba: the same levels as `reference.py`; the loop releases the GIL."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.transform.parameters import MAX_LEVEL

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")


def _in(dtype: Any, axes: int = 1) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, axes, "C", readonly=True)


def quantise(values: np.ndarray, classes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """As in `reference.py`."""
    levels = np.zeros(values.size, np.int32)
    _quantise(values, classes, thresholds, levels)
    return levels


@numba.njit(
    numba.void(_in(numba.float32), _in(numba.uint8), _in(numba.float32, 2), numba.int32[::1]), nogil=True, cache=True
)
def _quantise(values: np.ndarray, classes: np.ndarray, thresholds: np.ndarray, levels: np.ndarray) -> None:
    last = thresholds.shape[1]
    for i in range(values.size):
        cls = np.int64(classes[i])
        a = abs(values[i])
        if cls == 0 or not thresholds[cls, 0] < a:  # so for NaN
            continue
        # the level is rarely far from the value: look from there, first down, then up
        level = last
        if a < last:
            level = np.int64(a) + 1
        while level > 0 and not thresholds[cls, level - 1] < a:
            level -= 1
        while level < last and thresholds[cls, level] < a:
            level += 1
        if level == last:
            level += np.int64(min(np.floor(np.float64(a) - thresholds[cls, last - 1]), np.float64(MAX_LEVEL - last)))
        levels[i] = -level if values[i] < 0 else level
