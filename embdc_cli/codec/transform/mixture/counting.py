"""Coefficients of a sample under the modes of a mixture, counted: what anything at any step is foretold from.

Magnitudes go into buckets of a quarter octave by vector and kind (which of its classes it is),
and by level and band of their tracks. Beside that: how far tracks are from what their vectors promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.transform.estimate import Response
from embdc_cli.codec.transform.expected import Curve
from embdc_cli.codec.transform.histogram import BUCKETS, Buckets
from embdc_cli.codec.transform.mixture.frequencies import BANDS, band_count, band_of, kind_of
from embdc_cli.codec.transform.mixture.statistics import ModeStatistics
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.codec.transform.time_dct import matrix
from embdc_cli.entropy.tables import CLASSES, UNIT_CLASS

_RATIOS: Final = np.exp2(np.arange(-12, 13) / 2)
"""How far coefficients of one track and band are from what their vector promises, in half octaves."""


class TrackCounts:
    """counts: (kinds, total, BUCKETS) by kind and vector; by_level: (LEVELS, BANDS, BUCKETS) by level and band."""

    def __init__(self, modes: Sequence[ModeStatistics], kinds: int, unit: float) -> None:
        """kinds: classes of a vector. unit: typical coefficient."""
        self._modes = modes
        self._buckets = Buckets(unit)
        self.counts = np.zeros((kinds, sum(len(mode.variances) for mode in modes), BUCKETS), np.float32)
        self.by_level = np.zeros((LEVELS, BANDS, BUCKETS))
        self.outside = 0.0  # squared error that no vector reaches
        self._weights = np.zeros((len(modes), LEVELS, BANDS))  # coefficients per vector by mode, level, band
        self._spread = np.zeros((2, len(_RATIOS)))  # coefficients of frequency 0 and of others, by ratio

    def response(self, step: float) -> Response:
        """What a dead zone makes of the counted magnitudes."""
        return Response(self._buckets.samples, self.counts.sum(axis=(0, 1)), step)

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.counts, self.by_level, self._weights, self._spread

    def average(self, other: TrackCounts, factor: float) -> None:
        """The mean of these counts and `factor` times those of `other`, of as many modes and vectors."""
        for array, more in zip(self._arrays, other._arrays, strict=True):
            array += np.asarray(factor * more, array.dtype)
            array *= 0.5
        self.outside = 0.5 * (self.outside + factor * other.outside)

    def observe(self, array: np.ndarray, tracks: Tracks) -> None:
        """array: (R, n, D) float32 with the tracks of all its tokens."""
        flat = array.reshape(-1, array.shape[2])
        for block in tracks.blocks:
            mode = self._modes[block.mode]
            rank = len(mode.variances)
            tokens = flat[block.token_index.ravel()]
            y = mode.analyse(tokens)
            self.outside += max(0.0, _energy(tokens - mode.mean.astype(np.float32)) - _energy(y))
            y = np.matmul(matrix(block.rows), y.reshape(len(block.tracks), block.rows, rank))
            index = self._buckets.index(y)
            bands, kinds = band_of(block.rows), kind_of(len(self.counts))
            for band in range(band_count(block.rows)):
                part = index[:, bands == band]
                placed = (part + np.arange(rank) * BUCKETS).ravel()
                counts = np.bincount(placed, minlength=rank * BUCKETS).reshape(rank, BUCKETS)
                self.counts[kinds[band], mode.first : mode.first + rank] += counts
                self.by_level[block.level, band] += counts.sum(axis=0)
                self._weights[block.mode, block.level, band] += part.shape[0] * part.shape[1]
                if rank:
                    self._observe_spread(np.abs(y[:, bands == band]), mode, band)

    def _observe_spread(self, magnitudes: np.ndarray, mode: ModeStatistics, band: int) -> None:
        """magnitudes: (n, k, r) of the tracks of one block in one band.

        Frequency 0 is known by level alone, the others by track as well.
        """
        expected = float(np.sqrt(mode.variances).mean())
        means = magnitudes.mean(axis=(1, 2)) if band else magnitudes.mean(keepdims=True).ravel()
        nearest = np.rint(2 * np.log2(np.maximum(means, 1e-30) / expected)).astype(np.int64)
        places = np.clip(nearest + len(_RATIOS) // 2, 0, len(_RATIOS) - 1)
        self._spread[min(band, 1)] += np.bincount(places, minlength=len(_RATIOS)) * (magnitudes.size / len(means))

    def costs(self, means: np.ndarray, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
        """(bits, squared error beyond a dead zone's) of levels of mean magnitudes `means` (kinds, total)."""
        bits, errors = np.zeros_like(means), np.zeros_like(means)
        for kind in range(len(means)):
            spread = self._spread[min(kind, 1)]
            seen = np.flatnonzero(spread)
            shares = spread[seen] / spread.sum() if seen.size else np.ones(0)
            ratios = _RATIOS[seen] / max(float(shares @ _RATIOS[seen]), 1e-30) if seen.size else np.ones(0)
            for share, ratio in zip(shares, ratios, strict=True):
                found = curve.at(means[kind] * ratio)
                bits[kind] += share * found[0]
                errors[kind] += share * found[1]
        return bits, errors

    def classes(self, sums: np.ndarray, by_level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(classes (kinds, total), offsets (LEVELS, BANDS)) that foretell the mean levels best.

        sums: (kinds, total) levels by vector; by_level: (LEVELS, BANDS) levels by level and band.
        """
        mode_of = np.repeat(np.arange(len(self._modes)), [len(mode.variances) for mode in self._modes])
        offsets = np.zeros((LEVELS, BANDS))
        offsets[:, 0] = np.arange(LEVELS)  # the mean of a run of 2^l rows grows as 2^(l/2): l half octaves
        means = np.zeros_like(sums)
        for _ in range(3):
            growth = np.exp2(offsets / 2)
            expected = np.zeros((LEVELS, BANDS))
            for kind in range(len(sums)):
                bands = kind_of(len(sums)) == kind
                weights = (self._weights[:, :, bands] * growth[:, bands]).sum(axis=(1, 2))
                means[kind] = sums[kind] / np.maximum(weights[mode_of], 1e-9)
                per_mode = np.bincount(mode_of, means[kind], minlength=len(self._modes))
                expected[:, bands] = np.einsum("m,mlb->lb", per_mode, self._weights[:, :, bands])
            seen = (expected > 0) & (by_level > 0)
            ratio = np.divide(by_level, expected, out=np.ones_like(expected), where=seen)
            offsets = np.clip(np.rint(2 * np.log2(ratio)), -20, 20)
        classes = np.rint(2 * np.log2(np.maximum(means, 2.0**-11))) + UNIT_CLASS
        return np.clip(classes, 1, CLASSES - 1).astype(np.int64), offsets.astype(np.int64)


def _energy(x: np.ndarray) -> float:
    return float(np.einsum("ij,ij->", x, x, dtype=np.float64))
