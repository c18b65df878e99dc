"""Points by table compiled with numba: the same values as `reference.py`; the loop releases the GIL."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")


def _in(dtype: Any) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, 1, "C", readonly=True)


def look_up(codes: np.ndarray, table: np.ndarray) -> np.ndarray | None:
    """As in `reference.py`."""
    values = np.empty(codes.size, np.float32)
    return values if _look_up(codes, table, values) else None


@numba.njit(numba.boolean(_in(numba.int32), _in(numba.float32), numba.float32[::1]), nogil=True, cache=True)
def _look_up(codes: np.ndarray, table: np.ndarray, values: np.ndarray) -> bool:
    largest = np.int32(table.size >> 1)
    places = np.uint32(table.size)
    for i in range(codes.size):
        place = np.uint32(codes[i] + largest)  # of a code below -largest beyond the table as well
        if place >= places:
            return False
        values[i] = table[place]
    return True
