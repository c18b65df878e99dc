"""Classes of codes compiled with numba: the same as `reference.py`; the loop releases the GIL."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.transform.activity import LOWEST
from embdc_cli.codec.transform.mixture.code_classes.reference import STILL
from embdc_cli.entropy.tables import CLASSES

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")


def _in(dtype: Any, dimensions: int) -> Any:
    return numba.types.Array(dtype, dimensions, "C", readonly=True)


def spread(planes: np.ndarray, symbols: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """As in `reference.py`."""
    classes = np.empty(int((shapes[:, 0] * shapes[:, 1]).sum()), np.uint8)
    _spread(planes, symbols, np.ascontiguousarray(shapes), classes)
    return classes


@numba.njit(
    numba.void(_in(numba.uint8, 1), _in(numba.uint8, 1), _in(numba.int64, 2), numba.uint8[::1]), nogil=True, cache=True
)
def _spread(planes: np.ndarray, symbols: np.ndarray, shapes: np.ndarray, classes: np.ndarray) -> None:
    plane = track = code = 0
    for block in range(len(shapes)):
        plane_count, track_count, rank = shapes[block]
        for number in range(plane_count):
            base = np.int32(planes[plane + number])
            out = classes[code : code + track_count]
            if number < rank or base == 0:
                out[:] = base
            else:
                for i in range(track_count):
                    symbol = np.int32(symbols[track + i])
                    moved = min(max(base + symbol - 1 + LOWEST, 1), CLASSES - 1)
                    out[i] = 0 if symbol == STILL else moved
            code += track_count
        plane += plane_count
        track += track_count
