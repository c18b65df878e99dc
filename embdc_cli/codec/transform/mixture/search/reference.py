"""The cost of tracks in numpy: the definition of the compiled kernel, which agrees up to rounding."""

from __future__ import annotations

import numpy as np

DISTORTION = 0.7213475  # 1 / (2 ln 2): the slope of log2(1 + u) / 2 at 0
LARGEST = 1e4  # of (y / s)^2, so that products of 64 stay finite


def track_costs(y: np.ndarray, residual: np.ndarray, scale: float, cost: np.ndarray) -> None:
    """Fill cost (runs, N) float64. y: (runs, L, N, r) float32 coefficients; residual: (runs, L, N); scale: 1 / s^2."""
    terms = 1.0 + np.minimum(y.astype(np.float64) ** 2 * scale, LARGEST)
    cost[:] = 0.5 * np.log2(terms).sum(axis=(1, 3)) + DISTORTION * scale * residual.sum(axis=1, dtype=np.float64)
