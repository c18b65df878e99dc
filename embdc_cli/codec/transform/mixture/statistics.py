"""Mean and principal axes of the tokens of each mode, as a sample gives them, before anything is rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.modes import COARSEST_H, FINEST_H
from embdc_cli.codec.transform.reflections import lengths_of

PRECISION: Final = 1.1
"""Basis entries against coefficients: an error of either then costs alike. 0.95 and 1.35 cost 1 % more."""
_RELATIVE_VARIANCE: Final = 1e-13  # below, eigenvalues are rounding errors


@dataclass(frozen=True, eq=False)
class Principal:
    """variances: (R,) falling. vectors: (D, R) float32, orthonormal columns."""

    variances: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of_covariance(cls, covariance: np.ndarray) -> Principal:
        """covariance: (D, D), not zero."""
        return cls._of(*np.linalg.eigh(covariance))

    @classmethod
    def of_tokens(cls, tokens: np.ndarray) -> Principal:
        """tokens: (n, D) centred; through the smaller Gram matrix, so R < n."""
        count, channels = tokens.shape
        tokens = tokens.astype(np.float64)  # in float32 an outlier channel would drown the others
        if count >= channels:
            values, vectors = np.linalg.eigh(tokens.T @ tokens)
        else:
            values, left = np.linalg.eigh(tokens @ tokens.T)
            vectors = tokens.T @ left
            vectors /= np.maximum(np.sqrt((vectors**2).sum(axis=0)), 1e-300)
        return cls._of(values / max(count, 1), vectors)

    @classmethod
    def _of(cls, values: np.ndarray, vectors: np.ndarray) -> Principal:
        kept = values > max(float(values.max(initial=0.0)), 0.0) * _RELATIVE_VARIANCE
        return cls(values[kept][::-1], np.ascontiguousarray(vectors[:, kept][:, ::-1], dtype=np.float32))


@dataclass(frozen=True, eq=False)
class ModeStatistics:
    """tokens: in the sample. mean: (D,). variances: (R,). first: number of its first vector among those of all modes.

    vectors: (D, R); None for the first R axes, which cost nothing.
    """

    tokens: int
    mean: np.ndarray
    variances: np.ndarray
    vectors: np.ndarray | None
    first: int

    @classmethod
    def on_axes(cls, tokens: np.ndarray) -> ModeStatistics:
        """The only mode there is, of tokens (n, D) in coordinates that are its own."""
        variances = tokens.var(axis=0, dtype=np.float64)
        return cls(len(tokens), tokens.mean(axis=0, dtype=np.float64), variances, None, 0)

    def analyse(self, x: np.ndarray) -> np.ndarray:
        """(n, R) coefficients of tokens (n, D)."""
        centred = x - self.mean.astype(np.float32)
        return centred if self.vectors is None else centred @ self.vectors

    @property
    def searched(self) -> tuple[np.ndarray, np.ndarray]:
        """The mode as `search` takes it."""
        vectors = np.eye(len(self.mean), dtype=np.float32) if self.vectors is None else self.vectors
        return self.mean.astype(np.float32), np.ascontiguousarray(vectors.T)

    def precisions(self, step: float, tokens: float) -> np.ndarray:
        """(R,) int64 half octaves h: entries in units of 2^(-h/2) = PRECISION step / sqrt(tokens variance)."""
        if self.vectors is None:
            return np.zeros(len(self.variances), np.int64)
        wanted = np.log2(np.maximum(tokens * self.variances, 1e-300)) - 2 * math.log2(PRECISION * step)
        return np.minimum.accumulate(np.clip(np.rint(wanted), COARSEST_H, FINEST_H).astype(np.int64))

    def entries(self) -> np.ndarray:
        """(R,) int64: how many integers each vector takes."""
        rank = len(self.variances)
        return lengths_of(rank, len(self.mean)) if self.vectors is not None else np.zeros(rank, np.int64)
