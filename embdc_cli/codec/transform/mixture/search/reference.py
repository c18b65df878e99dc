"""The search's kernels in numpy: the definition of the compiled ones, which agree up to rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DISTORTION = 0.7213475  # 1 / (2 ln 2): the slope of log2(1 + u) / 2 at 0
LARGEST = 1e4  # of (y / s)^2, so that products of 64 stay finite


def track_costs(y: np.ndarray, residual: np.ndarray, scale: float, cost: np.ndarray) -> None:
    """Fill cost (runs, N) float64. y: (runs, L, N, r) float32 coefficients; residual: (runs, L, N); scale: 1 / s^2."""
    terms = 1.0 + np.minimum(y.astype(np.float64) ** 2 * scale, LARGEST)
    cost[:] = 0.5 * np.log2(terms).sum(axis=(1, 3)) + DISTORTION * scale * residual.sum(axis=1, dtype=np.float64)


def mark_nearest(
    projected: np.ndarray,
    energies: np.ndarray,
    others: np.ndarray,
    scale: float,
    numbers: Sequence[int],
    unit: int,
    near: np.ndarray,
) -> None:
    """Set in near (ceil(R / unit), N, M) bool the numbers[level] best modes of every run, in all units it touches.

    projected: (R, N, q + 1, M) float32: (x - mean) . v_i of q vectors, then x . mean - |mean|^2 / 2.
    energies: (all runs, N) float32: |z|^2, level after level. others: (M,) float64: o. scale: 1 / s^2.
    """
    rows = len(projected)
    leading = projected.astype(np.float64)
    known = 0
    held = np.zeros(0)
    for level, number in enumerate(numbers):
        runs = rows >> level
        if not runs:
            break
        if level:
            leading = (leading[: 2 * runs : 2] + leading[1 : 2 * runs : 2]) * np.sqrt(0.5)
            held = held[: 2 * runs : 2] + held[1 : 2 * runs : 2]
        y = leading[:, :, :-1]
        energy = energies[known : known + runs].astype(np.float64)[:, :, None]
        rest = np.maximum(energy - 2 * np.sqrt(1 << level) * leading[:, :, -1] - (y**2).sum(axis=2), 0.0)
        held = held if level else rest
        cost = np.log2(1.0 + np.minimum(y**2 * scale, LARGEST)).sum(axis=2)
        cost += others * np.log2(1 + rest * scale / others)
        more = ((1 << level) - 1) * others
        if level:
            cost += more * np.log2(1 + np.maximum(held - rest, 0.0) * scale / more)
        best = np.argsort(cost, axis=2, kind="stable")[:, :, :number]
        for run in range(runs):
            touched = near[(run << level) // unit : (((run + 1) << level) - 1) // unit + 1]
            np.put_along_axis(touched, np.broadcast_to(best[run], (len(touched), *best[run].shape)), True, axis=2)
        known += runs
