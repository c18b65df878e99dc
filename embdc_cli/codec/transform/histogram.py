"""Magnitudes of coefficients counted in quarter octaves, per temporal band and basis vector.

From these counts everything that depends on the step can be foretold without touching the sample again: mean level,
share of zeros, distortion. A bucket is a float's exponent and top two mantissa bits, so counting is integer work.
Beside it, how unequally the tracks (one token over one group, frequencies from 1 on) share the magnitudes.
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
_VALUES_AT_ONCE: Final = 1 << 21  # 16 MiB of int64 indices
_TRACK_SHIFT: Final = 22  # float32 bits below exponent and one mantissa bit: about half octaves
_TRACK_BUCKETS: Final = 512


@dataclass(frozen=True)
class Buckets:
    """Quarter octaves around `unit`, a magnitude > 0."""

    unit: float

    @property
    def _base(self) -> int:
        exponent = math.frexp(self.unit)[1] + 126 - _BELOW
        return min(max(exponent, 1), 254 - BUCKETS // _PER_OCTAVE) * _PER_OCTAVE

    def index(self, values: np.ndarray) -> np.ndarray:
        """int64 bucket of the magnitude of each float32, 0..BUCKETS - 1."""
        bits = np.ascontiguousarray(values).view(np.int32) & 0x7FFFFFFF
        return np.asarray(np.clip((bits >> _SHIFT) - self._base, 0, BUCKETS - 1).astype(np.int64))

    def samples(self, points: int) -> np.ndarray:
        """(BUCKETS, points) float64: magnitudes spread evenly over each bucket; the lowest stands for zero."""
        edges = np.arange(self._base, self._base + BUCKETS + 1, dtype=np.int32) << _SHIFT
        limits = edges.view(np.float32).astype(np.float64)
        inner = (np.arange(points) + 0.5) / points
        spread: np.ndarray = limits[:-1, None] + np.diff(limits)[:, None] * inner
        spread[0] = 0.0
        return spread


@dataclass
class Histogram:
    """counts: (bands, r, BUCKETS) int64. unit: magnitude around which the buckets lie, > 0.

    track_counts, track_sums: coefficients, and the sum of their magnitudes, by the mean magnitude of their track;
    tracks: how many there are.
    """

    group: int
    rank: int
    unit: float
    counts: np.ndarray = field(init=False)
    track_counts: np.ndarray = field(init=False)
    track_sums: np.ndarray = field(init=False)
    tracks: int = 0

    def __post_init__(self) -> None:
        self.counts = np.zeros((band_count(self.group), self.rank, BUCKETS), np.int64)
        self.track_counts = np.zeros(_TRACK_BUCKETS)
        self.track_sums = np.zeros(_TRACK_BUCKETS)

    def add(self, coefficients: np.ndarray) -> None:
        """Count (F, N, r) float32, in groups of `group` rows from the first row."""
        rows, tokens, rank = coefficients.shape
        if not coefficients.size:
            return
        bands, buckets = self.counts.shape[0], BUCKETS
        band_of_row = np.resize(band_of(self.group), rows)
        vector = (np.arange(rank) * buckets).astype(np.int64)
        total = np.zeros(self.counts.size, np.int64)
        step = max(1, _VALUES_AT_ONCE // (tokens * rank))
        for start in range(0, rows, step):
            index = Buckets(self.unit).index(coefficients[start : start + step])
            index += vector
            index += (band_of_row[start : start + step] * (rank * buckets))[:, None, None]
            total += np.bincount(index.ravel(), minlength=total.size)
        self.counts += total.reshape(bands, rank, buckets)
        for start in range(0, rows, self.group):
            self._add_tracks(coefficients[start + 1 : start + self.group])

    def _add_tracks(self, moving: np.ndarray) -> None:
        """Count the tracks of one group from its frequencies 1 upwards, (k, N, r)."""
        size = moving.shape[0] * moving.shape[2]
        if not size:
            return
        means = np.abs(moving).mean(axis=(0, 2), dtype=np.float32)
        self.tracks += len(means)
        bucket = means.view(np.int32) >> _TRACK_SHIFT
        self.track_counts += np.bincount(bucket, minlength=_TRACK_BUCKETS) * size
        self.track_sums += np.bincount(bucket, means.astype(np.float64), minlength=_TRACK_BUCKETS) * size

    def track_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """(shares, ratios) of the kinds of tracks: their share of all coefficients, their mean over the mean of all."""
        seen = np.flatnonzero(self.track_counts)
        total = self.track_sums.sum()
        if not seen.size or total <= 0:
            return np.ones(1), np.ones(1)
        shares = self.track_counts[seen] / self.track_counts.sum()
        return shares, self.track_sums[seen] / total / shares

    def samples(self, points: int) -> np.ndarray:
        """As `Buckets.samples`."""
        return Buckets(self.unit).samples(points)
