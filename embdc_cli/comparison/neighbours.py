"""Whether nearest neighbours stay the same: recall@k of vectors among a bounded sample of themselves.

The k nearest neighbours of every vector, by cosine and without itself, are found once among the vectors of the
reference and once among those of the other input. recall@k is the share of the latter that are, in the reference,
as near as its k-th neighbour: of equal vectors, as in a still shot, any will do.
Source: the recall of ann-benchmarks (Aumueller et al., 2018), by distance rather than by index.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.comparison.sampling import inside, stratified

MAX_VECTORS: Final = 4096
_MAX_VALUES: Final = 1 << 24  # of the sample: 64 MiB as float32
_QUERIES: Final = 256  # at once: 8 MiB of similarities
_EQUAL: Final = 1e-12  # two orders of summation


class NeighbourSample:
    """A stratified sample of `total` vectors of D `channels`, gathered block by block."""

    def __init__(self, total: int, channels: int) -> None:
        self._chosen = stratified(total, min(MAX_VECTORS, _MAX_VALUES // max(1, channels)))
        self._x: list[np.ndarray] = [np.zeros((0, channels), np.float32)]
        self._y: list[np.ndarray] = [np.zeros((0, channels), np.float32)]

    def __len__(self) -> int:
        return len(self._chosen)

    def add(self, start: int, x: np.ndarray, y: np.ndarray) -> None:
        """Take in vectors from number `start` on: x, y (n, D)."""
        taken = inside(self._chosen, start, len(x))
        self._x.append(x[taken].astype(np.float32))
        self._y.append(y[taken].astype(np.float32))

    def recall(self, k: int) -> float | None:
        """recall@k; None with no more than k vectors."""
        if len(self) <= k:
            return None
        return recall(np.concatenate(self._x), np.concatenate(self._y), k)


def recall(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """recall@k of vectors x, y (n, D) of the same things, n > k."""
    x, y = _units(x), _units(y)
    hits = 0
    for start in range(0, len(x), _QUERIES):
        among_x, among_y = _similarities(x, start), _similarities(y, start)
        kth = np.partition(among_x, -k, axis=1)[:, -k]
        nearest = np.argpartition(among_y, -k, axis=1)[:, -k:]
        hits += int(np.count_nonzero(np.take_along_axis(among_x, nearest, axis=1) >= kth[:, None] - _EQUAL))
    return hits / (len(x) * k)


def _units(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float64; zeros stay zero."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    wide /= np.where(lengths > 0, lengths, 1.0)[:, None]
    return wide


def _similarities(units: np.ndarray, start: int) -> np.ndarray:
    """Cosines of some vectors, from `start` on, with all; with itself none."""
    found: np.ndarray = units[start : start + _QUERIES] @ units.T
    found[np.arange(len(found)), start + np.arange(len(found))] = -np.inf
    return found
