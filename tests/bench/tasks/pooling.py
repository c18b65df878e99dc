"""One vector per frame: the mean of its patch tokens."""

from __future__ import annotations

import numpy as np


def pooled(patches: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """(T, D) float64: means of patches (T, N, D) over those that kept (T, N) says are there, or over all."""
    if kept is None:
        return patches.mean(axis=1, dtype=np.float64)
    sums = np.einsum("tnd,tn->td", patches.astype(np.float64), kept.astype(np.float64))
    return np.asarray(sums / kept.sum(axis=1, keepdims=True))
