"""The cost of tracks, compiled with numba: one logarithm for many coefficients, of the product of their terms."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.transform.mixture.search.reference import DISTORTION, LARGEST

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_Y: Any = numba.types.Array(numba.float32, 4, "C", readonly=True)
_RESIDUAL: Any = numba.types.Array(numba.float32, 3, "C", readonly=True)
_TERMS = 64  # factors of a product: 1e4^64 is below the largest float64


@numba.njit(
    numba.void(_Y, _RESIDUAL, numba.float64, numba.float64[:, ::1]),
    nogil=True,
    cache=True,
    fastmath={"contract", "reassoc", "nsz"},
)
def track_costs(y: np.ndarray, residual: np.ndarray, scale: float, cost: np.ndarray) -> None:
    """As in `reference.py`."""
    runs, length, tokens, rank = y.shape
    products = np.empty(rank, np.float64)
    together = max(1, _TERMS // length)
    for run in range(runs):
        for token in range(tokens):
            products[:] = 1.0
            outside = 0.0
            for k in range(length):
                outside += residual[run, k, token]
                for i in range(rank):
                    value = np.float64(y[run, k, token, i])
                    products[i] *= 1.0 + min(value * value * scale, LARGEST)
            bits = 0.0
            product = 1.0
            held = 0
            for i in range(rank):
                product *= products[i]
                held += 1
                if held == together:
                    bits += np.log2(product)
                    product = 1.0
                    held = 0
            bits += np.log2(product)
            cost[run, token] = 0.5 * bits + DISTORTION * scale * outside
