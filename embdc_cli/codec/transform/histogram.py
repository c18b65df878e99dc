"""Magnitudes of coefficients counted in quarter octaves, per temporal band and basis vector.

From these counts everything that depends on the step can be foretold without touching the sample again: mean level,
share of zeros, distortion. A bucket is a float's exponent and top two mantissa bits, so counting is integer work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from embdc_cli.codec.transform.bands import band_count, band_of

BUCKETS: Final = 176
_PER_OCTAVE: Final = 4
_BELOW: Final = 24  # octaves below the unit that are told apart; the rest up to 2^20 units
_SHIFT: Final = 21  # float32 bits below exponent and two mantissa bits
_ROWS_AT_ONCE: Final = 1 << 21  # values per pass: 16 MiB of int64 indices


@dataclass
class Histogram:
    """counts: (bands, r, BUCKETS) int64. unit: magnitude around which the buckets lie, > 0."""

    group: int
    rank: int
    unit: float
    counts: np.ndarray = field(init=False)
    _base: int = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((band_count(self.group), self.rank, BUCKETS), np.int64)
        exponent = math.frexp(self.unit)[1] + 126 - _BELOW
        self._base = min(max(exponent, 1), 254 - BUCKETS // _PER_OCTAVE) * _PER_OCTAVE

    def add(self, coefficients: np.ndarray) -> None:
        """Count (F, N, r) float32, in groups of `group` rows from the first row."""
        rows, tokens, rank = coefficients.shape
        if not coefficients.size:
            return
        bands, buckets = self.counts.shape[0], BUCKETS
        band_of_row = np.resize(band_of(self.group), rows)
        vector = (np.arange(rank) * buckets).astype(np.int64)
        total = np.zeros(self.counts.size, np.int64)
        step = max(1, _ROWS_AT_ONCE // (tokens * rank))
        for start in range(0, rows, step):
            bits = np.ascontiguousarray(coefficients[start : start + step]).view(np.int32) & 0x7FFFFFFF
            index = np.clip((bits >> _SHIFT) - self._base, 0, buckets - 1).astype(np.int64)
            index += vector
            index += (band_of_row[start : start + step] * (rank * buckets))[:, None, None]
            total += np.bincount(index.ravel(), minlength=total.size)
        self.counts += total.reshape(bands, rank, buckets)

    def samples(self, points: int) -> np.ndarray:
        """(BUCKETS, points) float64: magnitudes spread evenly over each bucket; the lowest stands for zero."""
        edges = np.arange(self._base, self._base + BUCKETS + 1, dtype=np.int32) << _SHIFT
        limits = edges.view(np.float32).astype(np.float64)
        inner = (np.arange(points) + 0.5) / points
        spread: np.ndarray = limits[:-1, None] + np.diff(limits)[:, None] * inner
        spread[0] = 0.0
        return spread
