"""k-means: centres that vectors are near to, started well and refined by averaging.

Source: Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; Lloyd, "Least squares
quantization in PCM", IEEE T-IT 28, 1982. Not here: what is learnt from clusters (`transform.mixture`, `vq`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

ROUNDS: Final = 12
_BLOCK_VALUES: Final = 1 << 17
"""Distances held at once: half a MiB stays in the cache, where all at once take five times as long."""


def k_means(features: np.ndarray, count: int, rng: np.random.Generator, rounds: int = ROUNDS) -> np.ndarray:
    """(count, P) centres of features (n, P) float32, n >= 1."""
    largest = float(np.abs(features).max(initial=0.0))
    features = features / np.float32(max(largest, 1e-30))  # squares of float32 must not overflow
    centres = features[rng.integers(len(features), size=1)]
    distance = ((features - centres[0]) ** 2).sum(axis=1, dtype=np.float64)
    while len(centres) < count:
        total = distance.sum()
        weights = distance / total if total > 0 else None
        centres = np.concatenate([centres, features[rng.choice(len(features), size=1, p=weights)]])
        distance = np.minimum(distance, ((features - centres[-1]) ** 2).sum(axis=1, dtype=np.float64))
    return lloyd(features, centres, rounds) * np.float32(max(largest, 1e-30))


def lloyd(features: np.ndarray, centres: np.ndarray, rounds: int) -> np.ndarray:
    """(count, P) centres after some rounds of averaging what is nearest to each; one that nothing is near to stays."""
    centres = centres.copy()
    for _ in range(rounds):
        labels = nearest(features, centres)
        counts = np.bincount(labels, minlength=len(centres))
        labels = labels.astype(np.min_scalar_type(len(centres)))  # which are sorted faster
        order = np.argsort(labels, kind="stable")
        starts = (np.cumsum(counts) - counts)[counts > 0]
        centres[counts > 0] = np.add.reduceat(features[order], starts) / counts[counts > 0, None]
    return centres


def nearest(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) int64: the centre (count, P) that is nearest to each of the features (n, P)."""
    scale = np.float32(1 / max(float(np.abs(centres).max(initial=0.0)), 1e-30))
    centres = centres * scale
    squares, doubled = (centres**2).sum(axis=1), 2 * scale
    found = np.empty(len(features), np.int64)
    rows = max(1, _BLOCK_VALUES // len(centres))
    for start in range(0, len(features), rows):
        # OpenBLAS may compute with what lies beside a matrix, and raise the flag for that
        with np.errstate(invalid="ignore"):
            inner = (features[start : start + rows] * doubled) @ centres.T
        np.subtract(squares, inner, out=inner).argmin(axis=1, out=found[start : start + rows])
    return found
