"""Rounding to float16 compiled with numba: the same bits as `reference.py`; the loop releases the GIL.

On bit patterns: a normal number moves its exponent by 127 - 15 and rounds off 13 bits; one below 2^-14 is added to
1/2, where float32 has as many bits as it may keep. Every step is cast back to 32 bits, so that the loop has vectors.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.halves.reference import LARGEST

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_LARGEST_BITS = int(LARGEST.view(np.uint32))
_MAGNITUDE, _SIGN = np.uint32(0x7FFFFFFF), np.uint32(0x8000)
_ONE, _WIDTH = np.uint32(1), np.uint32(16)
_DROPPED = np.uint32(13)
_REBASED = np.uint32((1 << 32) - (112 << 23) + (1 << 12) - 1)  # the exponent, and half less one of the last bit kept
_LEAST_NORMAL = np.uint32(0x38800000)  # 2^-14
_HALF, _HALF_BITS = np.float32(0.5), np.uint32(0x3F000000)


def _in(dtype: Any) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, 1, "C", readonly=True)


def narrow(values: np.ndarray) -> np.ndarray | None:
    """As in `reference.py`."""
    halves = np.empty(values.size, np.uint16)
    largest = _narrow(values, halves)
    return halves.view(np.float16) if largest <= _LARGEST_BITS else None


@numba.njit(numba.uint32(_in(numba.float32), numba.uint16[::1]), nogil=True, cache=True)
def _narrow(values: np.ndarray, halves: np.ndarray) -> np.uint32:
    largest = np.uint32(0)
    for i in range(values.size):
        bits = np.float32(values[i]).view(np.uint32)
        magnitude = np.uint32(bits & _MAGNITUDE)
        largest = max(largest, magnitude)
        odd = np.uint32(np.uint32(magnitude >> _DROPPED) & _ONE)
        normal = np.uint32(np.uint32(np.uint32(magnitude + _REBASED) + odd) >> _DROPPED)
        small = np.uint32(np.float32(abs(values[i]) + _HALF).view(np.uint32) - _HALF_BITS)
        half = small if magnitude < _LEAST_NORMAL else normal
        halves[i] = np.uint16(np.uint32(half | np.uint32(np.uint32(bits >> _WIDTH) & _SIGN)))
    return largest
