"""Triangular equations compiled with numba: the same values as `reference.py`, by the same operations in their order.

The loops release the GIL. LAPACK by way of numpy knows of no triangles.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_MATRIX: Any = numba.float64[:, ::1]


@numba.njit(numba.void(_MATRIX, _MATRIX), nogil=True, cache=True)
def solve(gram: np.ndarray, right: np.ndarray) -> None:
    """As in `reference.py`."""
    rank = len(right)
    for i in range(rank - 1, -1, -1):
        for j in range(rank - 1, i, -1):
            factor = gram[i, j]
            for column in range(j, rank):
                right[i, column] -= factor * right[j, column]
        scale = 2 / gram[i, i]
        for column in range(i, rank):
            right[i, column] *= scale
