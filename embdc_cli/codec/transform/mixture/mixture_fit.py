"""What mixtures cost at any step, from one look at a sample; and the chain of the cheapest.

For each number of modes tried, the sample is cut and labelled once (labels hardly depend on the step); coefficients in
the bases of the modes are counted, so that ranks, classes and the number of modes for a step follow by counting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from embdc_cli.codec.stage import Stage
from embdc_cli.codec.transform.bands import band_count, band_of
from embdc_cli.codec.transform.estimate import LAMBDA, Response, entropy
from embdc_cli.codec.transform.histogram import BUCKETS, Buckets
from embdc_cli.codec.transform.mixture.cutting import TrackTables
from embdc_cli.codec.transform.mixture.entries import HALF_STEP, PLAIN, TRELLIS
from embdc_cli.codec.transform.mixture.learning import DIMENSIONS, Maps, learn
from embdc_cli.codec.transform.mixture.modes import COARSEST_H, FINEST_H, Mode
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.search import TRACK_BITS
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.reflections import lengths_of
from embdc_cli.codec.transform.time_dct import matrix
from embdc_cli.entropy.tables import CLASSES, UNIT_CLASS, Tables

PRECISION: Final = 1.19
"""Basis entries against coefficients: an error of either then costs alike. 1 and 1.41 cost 1 to 2 % more."""
LEARNING_REACH: Final = 0.5  # of the rms
_RELATIVE_VARIANCE: Final = 1e-13  # below, eigenvalues are rounding errors
_ROUNDING: Final = (0.9, 0.82)
"""Bits of coefficients rounded by rate, and by a trellis, over a dead zone's, for about the same error: two dumps."""
_RATIOS: Final = np.exp2(np.arange(-12, 13) / 2)
"""How far coefficients of one track and band are from what their vector promises, in half octaves."""
_SMALL_BITS: Final = 4.0  # a basis vector's precision and classes, as differences


@dataclass(frozen=True, eq=False)
class _ModeStatistics:
    """tokens: in the sample. mean: (D,). variances, vectors: (R,), (D, R), falling. first: of its vectors in counts."""

    tokens: int
    mean: np.ndarray
    variances: np.ndarray
    vectors: np.ndarray
    first: int


class MixtureFit:
    """One number of modes. sample: (R, n, D) float32 arrays, centred and scaled, as the mixture stage gets them."""

    def __init__(
        self,
        sample: Sequence[np.ndarray],
        principal: np.ndarray,
        modes: int,
        mean: np.ndarray,
        unit: float,
        *,
        dependent: bool,
    ) -> None:
        """principal: (D, P) leading principal axes. mean: (D,) of the tokens before centring. unit: rms of a value.

        dependent: quantise by trellis.
        """
        self._mean = mean
        self._dependent = dependent
        reduced = [np.ascontiguousarray(array @ principal[:, :DIMENSIONS]) for array in sample]
        self.count, maps = learn(reduced, modes, LEARNING_REACH * unit)
        self._buckets = Buckets(unit)
        self._tracks = [Tracks.of_maps(*one) for one in maps]
        self._weights = np.zeros((self.count, LEVELS, LEVELS))  # coefficients per vector by mode, level, band
        self._modes = self._statistics(sample, maps)
        total = sum(len(mode.variances) for mode in self._modes)
        self._counts = np.zeros((2, total, BUCKETS), np.float32)
        self._by_level = np.zeros((LEVELS, LEVELS, BUCKETS))
        self._spread = np.zeros((2, len(_RATIOS)))  # coefficients of frequency 0 and of others, by ratio
        for array, tracks in zip(sample, self._tracks, strict=True):
            self._observe(array, tracks)

    def _statistics(self, sample: Sequence[np.ndarray], maps: Sequence[Maps]) -> list[_ModeStatistics]:
        tokens = np.concatenate([array.reshape(-1, array.shape[2]) for array in sample])
        labels = np.concatenate([mode.ravel() for _, mode in maps])
        found, first = [], 0
        for number in range(self.count):
            own = tokens[labels == number]
            mean = own.mean(axis=0, dtype=np.float64)
            own = own - mean.astype(np.float32)
            variances, vectors = _principal_axes(own)
            found.append(_ModeStatistics(len(own), mean, variances, vectors, first))
            first += len(variances)
        return found

    def _observe(self, array: np.ndarray, tracks: Tracks) -> None:
        flat = array.reshape(-1, array.shape[2])
        for block in tracks.blocks:
            mode = self._modes[block.mode]
            rank = len(mode.variances)
            y = (flat[block.token_index.ravel()] - mode.mean.astype(np.float32)) @ mode.vectors.astype(np.float32)
            y = np.matmul(matrix(block.rows), y.reshape(len(block.tracks), block.rows, rank))
            index = self._buckets.index(y)
            bands = band_of(block.rows)
            for band in range(band_count(block.rows)):
                part = index[:, bands == band]
                placed = (part + np.arange(rank) * BUCKETS).ravel()
                counts = np.bincount(placed, minlength=rank * BUCKETS).reshape(rank, BUCKETS)
                self._counts[min(band, 1), mode.first : mode.first + rank] += counts
                self._by_level[block.level, band] += counts.sum(axis=0)
                self._weights[block.mode, block.level, band] += part.shape[0] * part.shape[1]
                if rank:
                    self._observe_spread(np.abs(y[:, bands == band]), mode, band)

    def _observe_spread(self, magnitudes: np.ndarray, mode: _ModeStatistics, band: int) -> None:
        """magnitudes: (n, k, r) of the tracks of one block in one band.

        Frequency 0 is known by level alone, the others by track as well.
        """
        expected = float(np.sqrt(mode.variances).mean())
        means = magnitudes.mean(axis=(1, 2)) if band else magnitudes.mean(keepdims=True).ravel()
        nearest = np.rint(2 * np.log2(np.maximum(means, 1e-30) / expected)).astype(np.int64)
        places = np.clip(nearest + len(_RATIOS) // 2, 0, len(_RATIOS) - 1)
        self._spread[min(band, 1)] += np.bincount(places, minlength=len(_RATIOS)) * (magnitudes.size / len(means))

    def _bits(self, means: np.ndarray) -> np.ndarray:
        """Bits of a level in (2, total) vectors of mean magnitudes `means`, signs not counted."""
        bits = np.zeros_like(means)
        for kind, spread in enumerate(self._spread):
            seen = np.flatnonzero(spread)
            shares = spread[seen] / spread.sum() if seen.size else np.ones(0)
            ratios = _RATIOS[seen] / max(float(shares @ _RATIOS[seen]), 1e-30) if seen.size else np.ones(0)
            for share, ratio in zip(shares, ratios, strict=True):
                bits[kind] += share * entropy(means[kind] * ratio)
        return bits

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        return self._counts.nbytes + sum(mode.vectors.nbytes for mode in self._modes)

    def offer(self, step: float, scale: float) -> Offer:
        """The mixture at `step`, with the ranks that pay. scale: tokens of the segment per token of the sample."""
        response = Response(self._buckets.samples, self._counts.sum(axis=(0, 1)), step)
        sums = self._counts @ response.per_bucket  # (2, total, 4)
        coefficients = self._counts.sum(axis=2)
        bits = coefficients * self._bits(sums[..., 0] / np.maximum(coefficients, 1)) + sums[..., 1]
        saved = (sums[..., 3] - sums[..., 2]).sum(axis=0) * scale
        bits = bits.sum(axis=0) * (scale * _ROUNDING[self._dependent])
        distortion = float(sums[..., 3].sum()) * scale
        total_bits = TRACK_BITS * scale * sum(len(tracks.starts) for tracks in self._tracks)
        plans = []
        for mode in self._modes:
            tokens = mode.tokens * scale
            channels = len(mode.mean)
            h = _precisions(mode.variances, step, tokens)
            lengths = lengths_of(len(h), channels)
            deviation = np.exp2(0.5 * h) / np.sqrt(lengths)  # of an entry, in its precision
            entry_bits = lengths * (entropy(0.8 * deviation) + np.minimum(0.8 * deviation, 1.0))
            entry_errors = lengths * PRECISION**2 * np.minimum(deviation**2, 1 / 12)
            own = slice(mode.first, mode.first + len(h))
            vector_bits = bits[own] + entry_bits + _SMALL_BITS
            gains = saved[own] - entry_errors
            rank = int(np.concatenate([[0.0], np.cumsum(gains - LAMBDA * vector_bits)]).argmax())
            precision = step / math.sqrt(tokens)
            distortion += channels / 12 - float(gains[:rank].sum())
            total_bits += float(vector_bits[:rank].sum())
            total_bits += channels * (float(entropy(np.abs(mode.mean).mean() / precision)) + 1.0)
            plans.append((mode, rank, h[:rank], precision))
        return Offer(distortion, total_bits, partial(self._stages, plans, sums[..., 0], response, step), self._mean)

    def _stages(
        self,
        plans: Sequence[tuple[_ModeStatistics, int, np.ndarray, float]],
        sums: np.ndarray,
        response: Response,
        step: float,
        tables: Tables,
    ) -> list[Stage]:
        classes, offsets = self._classes(sums, self._by_level @ response.per_bucket[:, 0])
        entries = TRELLIS if self._dependent else PLAIN
        modes = []
        for mode, rank, h, precision in plans:
            own = classes[:, mode.first : mode.first + rank]
            modes.append(Mode.fit(entries, mode.mean, precision, mode.vectors[:, :rank].T, h, own))
        mixture = Mixture(tuple(modes), offsets, TrackTables.of(self._tracks), step)
        if self._dependent:
            return [mixture, TrellisPoints(HALF_STEP * step, mixture), TrackPaths(mixture)]
        return [mixture, RateRounding(step, response.offsets, mixture, tables), TrackPlanes(mixture, tables)]

    def _classes(self, sums: np.ndarray, by_level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(classes (2, total), offsets (LEVELS, LEVELS)) that foretell the mean levels best.

        sums: (2, total) levels by vector; by_level: (LEVELS, LEVELS) levels by level and band.
        """
        vectors = np.array([len(mode.variances) for mode in self._modes])
        offsets = np.zeros((LEVELS, LEVELS))
        offsets[:, 0] = np.arange(LEVELS)  # the mean of a run of 2^l rows grows as 2^(l/2): l half octaves
        means = np.zeros_like(sums)
        for _ in range(3):
            growth = np.exp2(offsets / 2)
            expected = np.zeros((LEVELS, LEVELS))
            for kind, bands in enumerate((slice(0, 1), slice(1, None))):
                weights = (self._weights[:, :, bands] * growth[:, bands]).sum(axis=(1, 2))
                means[kind] = sums[kind] / np.maximum(np.repeat(weights, vectors), 1e-9)
                per_mode = np.bincount(np.repeat(np.arange(self.count), vectors), means[kind], minlength=self.count)
                expected[:, bands] = np.einsum("m,mlb->lb", per_mode, self._weights[:, :, bands])
            seen = (expected > 0) & (by_level > 0)
            ratio = np.divide(by_level, expected, out=np.ones_like(expected), where=seen)
            offsets = np.clip(np.rint(2 * np.log2(ratio)), -20, 20)
        classes = np.rint(2 * np.log2(np.maximum(means, 2.0**-11))) + UNIT_CLASS
        return np.clip(classes, 1, CLASSES - 1).astype(np.int64), offsets.astype(np.int64)


def _principal_axes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(variances (R,), vectors (D, R)) of centred tokens (n, D), R < n, falling; through the smaller Gram matrix."""
    count, channels = tokens.shape
    tokens = tokens.astype(np.float64)  # in float32 an outlier channel would drown the others
    if count >= channels:
        values, vectors = np.linalg.eigh(tokens.T @ tokens)
    else:
        values, left = np.linalg.eigh(tokens @ tokens.T)
        vectors = tokens.T @ left
        vectors /= np.maximum(np.sqrt((vectors**2).sum(axis=0)), 1e-300)
    kept = values > max(float(values.max(initial=0.0)), 0.0) * _RELATIVE_VARIANCE
    return values[kept][::-1] / max(count, 1), np.ascontiguousarray(vectors[:, kept][:, ::-1], dtype=np.float32)


def _precisions(variances: np.ndarray, step: float, tokens: float) -> np.ndarray:
    """(R,) int64 half octaves h: entries in units of 2^(-h/2) = PRECISION step / sqrt(tokens variance)."""
    wanted = np.log2(np.maximum(tokens * variances, 1e-300)) - 2 * math.log2(PRECISION * step)
    return np.minimum.accumulate(np.clip(np.rint(wanted), COARSEST_H, FINEST_H).astype(np.int64))
