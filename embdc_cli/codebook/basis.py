"""From a covariance to the integers of a codebook: eigenvectors, each with the precision its energy deserves.

Source: Karhunen-Loeve transform. Step of vector i: an error of step^2 / 12 per entry, times eigenvalue_i, lands in
every channel; the sum over the vectors is held below 1 % of the distortion at REFERENCE_NMSE. A basis that is coded
into an archive is as precise as the quantiser step there deserves; a codebook does not know that step yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codebook.codebook import SPECTRUM_FLOOR

REFERENCE_NMSE = 1e-3
_SHARE = 0.01
_FINEST = -15  # entries of a unit vector then fill int16
_MEAN_BITS = 14


@dataclass(frozen=True)
class IntegerBasis:
    """Vectors in rows: basis (R, D) int16 in units of 2^exponents; spectrum as `Codebook` holds it."""

    basis: np.ndarray
    exponents: np.ndarray
    spectrum: np.ndarray


def klt(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (D,) in falling order, none negative, and their unit eigenvectors in rows (D, D).

    An eigenvector's largest entry is positive, so that equal covariances give equal vectors.
    """
    values, columns = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0.0), columns.T[::-1]
    largest = np.argmax(np.abs(vectors), axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), largest])
    return values, vectors * signs[:, None]


def to_integers(values: np.ndarray, vectors: np.ndarray) -> IntegerBasis:
    """The integer form of R eigenvectors in rows with their eigenvalues."""
    exponents = _exponents(values, vectors.shape[1])
    scaled = np.rint(np.ldexp(vectors, -exponents[:, None].astype(np.int64)))
    with np.errstate(divide="ignore"):
        octaves = np.rint(4 * np.log2(values))
    return IntegerBasis(
        basis=np.clip(scaled, -32767, 32767).astype(np.int16),
        exponents=exponents,
        spectrum=np.clip(octaves, SPECTRUM_FLOOR, -SPECTRUM_FLOOR).astype(np.int16),
    )


def mean_to_integers(mean: np.ndarray) -> tuple[np.ndarray, int]:
    """The mean as int16 (D,) and the power of two it is in units of."""
    largest = float(np.abs(mean).max(initial=0.0))
    exponent = int(np.ceil(np.log2(largest))) - _MEAN_BITS if largest > 0 else 0
    return np.rint(np.ldexp(mean, -exponent)).astype(np.int16), exponent


def _exponents(values: np.ndarray, channels: int) -> np.ndarray:
    """int8 (R,): the largest power of two that keeps the rule above, at most an eighth of a typical entry."""
    coarsest = int(np.floor(np.log2(1 / (8 * np.sqrt(channels)))))
    allowed = _SHARE * REFERENCE_NMSE * values.sum() / channels
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.sqrt(12 * allowed / (len(values) * values))
        exponents = np.floor(np.log2(steps))
    limited: np.ndarray = np.clip(np.nan_to_num(exponents, nan=0.0, posinf=0.0), _FINEST, coarsest).astype(np.int8)
    return limited
