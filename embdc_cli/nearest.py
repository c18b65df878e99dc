"""Queries, how near a vector is to each by a metric, and the k nearest so far.

cosine: q.x / (|q| |x|), 0 for a vector of zeros. dot: q.x. l2: |q - x|^2, the smaller the nearer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from embdc_cli.options import METRICS


@dataclass(frozen=True, eq=False)
class Queries:
    """vectors: (Q, D) float64. metric: one of METRICS."""

    vectors: np.ndarray
    metric: str

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"expected one of {', '.join(METRICS)}, found {self.metric!r}")

    @cached_property
    def _squares(self) -> np.ndarray:
        return np.asarray((self.vectors**2).sum(axis=1))

    def nearness(self, inner: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """(n, Q) float64, more for what is nearer, -inf for what is not finite; inner (n, Q) and squares (n,) of x."""
        with np.errstate(all="ignore"):
            if self.metric == "dot":
                found = inner
            elif self.metric == "cosine":
                lengths = np.sqrt(squares[:, None] * self._squares)
                found = np.where(lengths == 0, 0.0, inner / np.where(lengths == 0, 1.0, lengths))
            else:
                found = -np.maximum(squares[:, None] - 2 * inner + self._squares, 0)
        return np.where(np.isfinite(found), found, -np.inf)

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """(n, Q) float64: the nearness of vectors (n, D)."""
        with np.errstate(all="ignore"):
            x = vectors.astype(np.float64)
            return self.nearness(x @ self.vectors.T, (x**2).sum(axis=1))

    def score(self, nearness: float) -> float:
        """What the user sees."""
        return -nearness if self.metric == "l2" else nearness

    def part(self, start: int, stop: int) -> Queries:
        """Those of rows [start, stop)."""
        return Queries(self.vectors[start:stop], self.metric)


@dataclass
class Nearest:
    """The k nearest of all that was added; of equals, those added first.

    labels: (m, 3) int64 that go with nearness (m,), which never rises.
    """

    k: int
    nearness: np.ndarray = field(default_factory=lambda: np.zeros(0))
    labels: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))

    def add(self, nearness: np.ndarray, labels: np.ndarray) -> None:
        """nearness: (n,), -inf for what is never near. labels: (n, 3)."""
        least = self.nearness[-1] if len(self.nearness) == self.k else -np.inf
        chosen = np.flatnonzero(nearness > least)
        if len(chosen) > self.k:
            least = np.partition(nearness[chosen], -self.k)[-self.k]
            chosen = chosen[nearness[chosen] >= least]
        every = np.concatenate([self.nearness, nearness[chosen]])
        order = np.argsort(-every, kind="stable")[: self.k]
        self.labels = np.concatenate([self.labels, labels[chosen]])[order]
        self.nearness = every[order]
