"""What mixtures cost at any step, from one look at a sample; and the chain of the cheapest.

For each number of modes tried, the sample is cut and labelled once (labels hardly depend on the step); coefficients in
the bases of the modes are counted, so that ranks, classes and the number of modes for a step follow by counting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final

import numpy as np

from embdc_cli.codec.stage import Stage
from embdc_cli.codec.transform.estimate import LAMBDA, Response
from embdc_cli.codec.transform.expected import ENTRIES, ENTRY_PATHS, PATHS, ROUNDED
from embdc_cli.codec.transform.mixture.counting import TrackCounts
from embdc_cli.codec.transform.mixture.cutting import TrackTables, side_bits
from embdc_cli.codec.transform.mixture.entries import HALF_STEP, PLAIN, TRELLIS
from embdc_cli.codec.transform.mixture.learning import DIMENSIONS, Maps, learn, relabelled
from embdc_cli.codec.transform.mixture.modes import Mode
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.statistics import PRECISION, ModeStatistics, Principal
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.offer import Offer, mean_bits
from embdc_cli.entropy.coding_tables import CodingTables

LEARNING_REACH: Final = 0.5  # of the rms
_SOUGHT_ANEW: Final = 0.97
"""Error and bits of several modes over those foretold, since tracks are cut and labelled anew for the step."""
_ACTIVITY_BITS: Final = 3.5
_SMALL_BITS: Final = 1.33  # a basis vector's precision and each of its classes, as differences


@dataclass(frozen=True, eq=False)
class Plan:
    """A mode at a step. h: (r,) of the vectors that pay. precision: of the mean."""

    mode: ModeStatistics
    h: np.ndarray
    precision: float


class MixtureFit:
    """One number of modes. sample: (R, n, D) float32 arrays, centred and scaled, as the mixture stage gets them."""

    def __init__(
        self,
        sample: Sequence[np.ndarray],
        principal: Principal,
        modes: int,
        mean: np.ndarray,
        unit: float,
        *,
        dependent: bool,
        halves: Sequence[np.ndarray] | None = None,
        known_mean: np.ndarray | None = None,
    ) -> None:
        """principal: of all tokens. mean: (D,) of the tokens before centring. unit: rms of a value.

        dependent: quantise by trellis. known_mean: what a decoder knows of `mean`. halves: (n,) bool of each array,
        where the sample is not all there is. Bases suit their own sample too well, and those of one half the other half
        too badly; the mean of both is counted, within 5 % of what coding the rest gave.
        """
        self._mean, self._known_mean = mean, known_mean
        self._principal = principal
        self._dependent = dependent
        self.count, maps = self._learnt(sample, modes, LEARNING_REACH * unit)
        self._tracks = [Tracks.of_maps(*one) for one in maps]
        self._modes = self._statistics(sample, maps)
        if halves is None or self.count == 1 or not any(half.any() for half in halves):
            self._counts = self._counted(self._modes, sample, maps, unit)
            return
        rest = _part(sample, maps, halves)
        of_half = self._statistics(*_part(sample, maps, [~half for half in halves]))
        self._modes = [_at(mode, other) for mode, other in zip(self._modes, of_half, strict=True)]
        self._counts = self._counted(self._modes, sample, maps, unit)
        self._counts.average(
            self._counted(of_half, *rest, unit), sum(x.size for x in sample) / max(1, sum(x.size for x in rest[0]))
        )

    def _learnt(self, sample: Sequence[np.ndarray], modes: int, reach: float) -> tuple[int, list[Maps]]:
        """(modes that are left, cuts and labels of every array)."""
        reduced = [np.ascontiguousarray(array @ self._principal.vectors[:, :DIMENSIONS]) for array in sample]
        self.count, maps = learn(reduced, modes, reach)
        return relabelled(sample, [mode.searched for mode in self._statistics(sample, maps)], reach)

    @property
    def _kinds(self) -> int:
        """Classes of a vector: of one mode for each octave, of several two."""
        return LEVELS if self.count == 1 else 2

    def _counted(
        self, modes: Sequence[ModeStatistics], sample: Sequence[np.ndarray], maps: Sequence[Maps], unit: float
    ) -> TrackCounts:
        counts = TrackCounts(modes, self._kinds, unit)
        for array, one in zip(sample, maps, strict=True):
            counts.observe(array, Tracks.of_maps(*one))
        return counts

    def _statistics(self, sample: Sequence[np.ndarray], maps: Sequence[Maps]) -> list[ModeStatistics]:
        tokens = np.concatenate([array.reshape(-1, array.shape[2]) for array in sample])
        labels = np.concatenate([mode.ravel() for _, mode in maps])
        found, first = [], 0
        for number in range(self.count):
            own = tokens[labels == number] if self.count > 1 else tokens
            found.append(self._mode_statistics(own, first))
            first += len(found[-1].variances)
        return found

    def _mode_statistics(self, tokens: np.ndarray, first: int) -> ModeStatistics:
        """tokens: (n, D) of one mode, all there are if there is only one."""
        mean = tokens.mean(axis=0, dtype=np.float64) if len(tokens) else np.zeros(tokens.shape[1])
        axes = self._principal if self.count == 1 else Principal.of_tokens(tokens - mean.astype(np.float32))
        return ModeStatistics(len(tokens), mean, axes.variances, axes.vectors, first)

    @property
    def _tables(self) -> TrackTables | None:
        return TrackTables.of(self._tracks)

    @cached_property
    def _side_bits(self) -> float:
        """Of cuts, labels and activities of the sample."""
        tables = self._tables
        if tables is None:
            return 0.0
        cut = sum(side_bits(tracks, tables, self.count) for tracks in self._tracks)
        return cut + _ACTIVITY_BITS * sum(int((tracks.level > 0).sum()) for tracks in self._tracks)

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        return self._counts.counts.nbytes + sum(mode.vectors.nbytes for mode in self._modes if mode.vectors is not None)

    def offer(self, step: float, scale: float) -> Offer:
        """The mixture at `step`, with the ranks that pay. scale: tokens of the segment per token of the sample."""
        response = self._counts.response(step)
        sums = self._counts.counts @ response.per_bucket  # (kinds, total, 4)
        coefficients = self._counts.counts.sum(axis=2)
        curve = PATHS if self._dependent else ROUNDED
        each_bits, each_error = self._counts.costs(sums[..., 0] / np.maximum(coefficients, 1), curve)
        bits = (coefficients * each_bits).sum(axis=0) * scale
        saved = (sums[..., 3] - sums[..., 2] - coefficients * each_error).sum(axis=0) * scale
        anew = _SOUGHT_ANEW if self.count > 1 else 1.0
        distortion = (float(sums[..., 3].sum()) + self._counts.outside / step**2) * scale
        total_bits = self._side_bits * scale
        precision = step / math.sqrt(scale * sum(mode.tokens for mode in self._modes))
        total_bits += mean_bits(self._mean, self._known_mean, precision)
        entry_curve = ENTRY_PATHS if self._dependent else ENTRIES
        small_bits = _SMALL_BITS * (1 + len(sums))
        plans = []
        for mode in self._modes:
            tokens = mode.tokens * scale
            channels = len(mode.mean)
            h, lengths = mode.precisions(step, tokens), mode.entries()
            deviation = np.exp2(0.5 * h) / np.sqrt(np.maximum(lengths, 1))  # of an entry, in its precision
            entry_bits, entry_errors = entry_curve.at(0.8 * deviation)
            own = slice(mode.first, mode.first + len(h))
            vector_bits = bits[own] + lengths * entry_bits + small_bits
            gains = saved[own] - PRECISION**2 * lengths * entry_errors
            rank = int(np.concatenate([[0.0], np.cumsum(gains - LAMBDA * vector_bits)]).argmax())
            precision = step / math.sqrt(tokens)
            each_bits, each_error = entry_curve.at(np.abs(mode.mean).mean() / precision)
            distortion += channels * float(each_error) - float(gains[:rank].sum())
            total_bits += channels * float(each_bits) + float(vector_bits[:rank].sum())
            plans.append(Plan(mode, h[:rank], precision))
        build = partial(self._stages, plans, sums[..., 0], response, step)
        return Offer(anew * distortion, anew * total_bits, build, self._mean, self._known_mean)

    def _stages(
        self,
        plans: Sequence[Plan],
        sums: np.ndarray,
        response: Response,
        step: float,
        tables: CodingTables,
    ) -> list[Stage]:
        classes, offsets = self._counts.classes(sums, self._counts.by_level @ response.per_bucket[:, 0])
        entries = TRELLIS if self._dependent else PLAIN
        modes = []
        for plan in plans:
            mode, rank = plan.mode, len(plan.h)
            own = classes[:, mode.first : mode.first + rank]
            vectors = None if mode.vectors is None else mode.vectors[:, :rank].T
            modes.append(Mode.fit(entries, mode.mean, plan.precision, vectors, plan.h, own))
        mixture = Mixture(tuple(modes), offsets, self._tables, step)
        if self._dependent:
            return [mixture, TrellisPoints(HALF_STEP * step, mixture, tables.paths), TrackPaths(mixture, tables.paths)]
        return [
            mixture,
            RateRounding(step, response.offsets, mixture, tables.rounded),
            TrackPlanes(mixture, tables.rounded),
        ]


def _part(
    sample: Sequence[np.ndarray], maps: Sequence[Maps], which: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[Maps]]:
    """The tokens that `which` names (n,) of every array, and their maps."""
    arrays = [array[:, kept] for array, kept in zip(sample, which, strict=True)]
    return arrays, [(levels[:, kept], mode[:, kept]) for (levels, mode), kept in zip(maps, which, strict=True)]


def _at(mode: ModeStatistics, counted: ModeStatistics) -> ModeStatistics:
    """`mode` with as many vectors as were counted, in their places."""
    rank = min(len(mode.variances), len(counted.variances))
    vectors = None if mode.vectors is None else mode.vectors[:, :rank]
    return replace(mode, variances=mode.variances[:rank], vectors=vectors, first=counted.first)
