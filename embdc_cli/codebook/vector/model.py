"""What is refined: an orthonormal basis and levels of codewords in it, in floating point; and its way into integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codebook.basis import to_integers
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codec.vq.levels import LearntLevel

_PER_DEVIATION: Final = 16
"""Units of an entry per deviation of a level's entries: rounding adds 1/3000 of the variance of codewords."""


@dataclass(frozen=True, eq=False)
class FloatLevel:
    """channels: (w,) int32, rising. centres: (K, w) float64."""

    channels: np.ndarray
    centres: np.ndarray

    def rounded(self) -> LearntLevel:
        """In integers."""
        unit = max(float(self.centres.std()), 1e-30) / _PER_DEVIATION
        exponent = int(np.clip(np.floor(np.log2(unit)), -120, 100))
        return LearntLevel.rounded(self.channels, self.centres, exponent)


@dataclass(frozen=True, eq=False)
class Model:
    """basis: (R, D) float64, orthonormal rows. levels: for coefficients in it."""

    basis: np.ndarray
    levels: tuple[FloatLevel, ...]

    @classmethod
    def of(cls, codebook: Codebook) -> Model:
        """That of a codebook: the nearest orthonormal basis, and its levels."""
        levels = (FloatLevel(level.channels, level.centres().astype(np.float64)) for level in codebook.levels)
        return cls(orthonormal(codebook.vectors()), tuple(levels))

    def coefficients(self, rows: np.ndarray) -> np.ndarray:
        """(..., R) float32 of centred rows (..., D)."""
        return np.asarray(rows @ self.basis.T.astype(np.float32))

    def codebook(self, like: Codebook, covariance: np.ndarray) -> Codebook:
        """In integers, vectors in falling order of variance, with what else `like` knows."""
        variances = np.maximum(((self.basis @ covariance) * self.basis).sum(axis=1), 0.0)
        order = np.argsort(-variances, kind="stable")
        integers = to_integers(variances[order], self.basis[order])
        place = np.argsort(order)
        return replace(
            like,
            basis=integers.basis,
            exponents=integers.exponents,
            spectrum=integers.spectrum,
            levels=tuple(_moved(level, place).rounded() for level in self.levels),
        )


def orthonormal(vectors: np.ndarray) -> np.ndarray:
    """The orthonormal rows (R, D) nearest to `vectors` (R, D), R <= D: the polar factor."""
    left, _, right = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(left @ right)


def _moved(level: FloatLevel, place: np.ndarray) -> FloatLevel:
    """place: (R,) where each coefficient goes."""
    channels = place[level.channels]
    rising = np.argsort(channels)
    return FloatLevel(channels[rising].astype(np.int32), level.centres[:, rising])
