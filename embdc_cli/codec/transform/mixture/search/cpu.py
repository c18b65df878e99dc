"""The search's kernels, compiled with numba: one logarithm for many coefficients, of the product of their terms."""

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
_ENERGIES: Any = numba.types.Array(numba.float32, 2, "C", readonly=True)
_OTHERS: Any = numba.types.Array(numba.float64, 1, "C", readonly=True)
_NUMBERS: Any = numba.types.Array(numba.int64, 1, "C", readonly=True)
_TERMS = 64  # factors of a product: 1e4^64 is below the largest float64
_FAST = {"contract", "reassoc", "nsz"}


@numba.njit(numba.void(_Y, _RESIDUAL, numba.float64, numba.float64[:, ::1]), nogil=True, cache=True, fastmath=_FAST)
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


@numba.njit(
    numba.void(_Y, _ENERGIES, _OTHERS, numba.float64, _NUMBERS, numba.int64, numba.boolean[:, :, ::1]),
    nogil=True,
    cache=True,
    fastmath=_FAST,
)
def mark_nearest(
    projected: np.ndarray,
    energies: np.ndarray,
    others: np.ndarray,
    scale: float,
    numbers: np.ndarray,
    unit: int,
    near: np.ndarray,
) -> None:
    """As in `reference.py`."""
    rows, tokens, places, modes = projected.shape
    leading = np.empty((rows, places, modes), np.float32)
    held = np.empty((rows, modes), np.float64)
    cost = np.empty(modes, np.float64)
    rest = np.empty(modes, np.float64)
    half = np.float32(np.sqrt(0.5))
    for token in range(tokens):
        leading[:] = projected[:, token]
        known = 0
        for level in range(len(numbers)):
            runs = rows >> level
            length = 1 << level
            root = 2 * np.sqrt(np.float64(length))
            for run in range(runs):
                if level:
                    for i in range(places):
                        for m in range(modes):
                            leading[run, i, m] = (leading[2 * run, i, m] + leading[2 * run + 1, i, m]) * half
                    for m in range(modes):
                        held[run, m] = held[2 * run, m] + held[2 * run + 1, m]
                energy = np.float64(energies[known + run, token])
                for m in range(modes):
                    cost[m] = 1.0
                    rest[m] = energy - root * leading[run, places - 1, m]
                for i in range(places - 1):
                    for m in range(modes):
                        square = np.float64(leading[run, i, m]) * np.float64(leading[run, i, m])
                        cost[m] *= 1.0 + min(square * scale, LARGEST)
                        rest[m] -= square
                for m in range(modes):
                    left = max(rest[m], 0.0)
                    if level == 0:
                        held[run, m] = left
                    bits = np.log2(cost[m]) + others[m] * np.log2(1.0 + left * scale / others[m])
                    if level:
                        more = (length - 1) * others[m]
                        bits += more * np.log2(1.0 + max(held[run, m] - left, 0.0) * scale / more)
                    cost[m] = bits
                for _ in range(min(numbers[level], modes)):
                    best = 0
                    for m in range(1, modes):
                        if cost[m] < cost[best]:
                            best = m
                    cost[best] = np.inf
                    for u in range((run << level) // unit, (((run + 1) << level) - 1) // unit + 1):
                        near[u, token, best] = True
            known += runs
