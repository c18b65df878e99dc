"""Fits the chain of one token group: which basis, which group length, at which precision, for any step.

Two passes over the sample: moments first, then the coefficients of every candidate basis are counted. After that a
chain for a step takes no further look at the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec import quarter_octave
from embdc_cli.codec.chain import Chain
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform.candidate import Candidate, Choice
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.estimate import entropy
from embdc_cli.codec.transform.free_klt import FreeKlt, least_squares
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.models import GroupModels
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_dct import GROUPS, TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.weighting import RIDGE, Weighting, scaled_metric
from embdc_cli.entropy.tables import static_tables
from embdc_cli.values import StreamSpec

MAX_KLT_CHANNELS: Final = 4096
"""Widest own KLT: 128 MiB of covariance in float64, and an eigendecomposition of under a minute."""

_QUICK_GROUPS: Final = (1, 16, 64)
_SPARSE: Final = 0.25
"""Share of exact zeros from which on the identity basis is tried, and without centring, which would fill them."""
_FEW_TOKENS: Final = 8
"""The identity basis is tried below this many tokens per channel (at effort 2 always)."""
_EXACT_TOKENS: Final = 16
"""Channels that never change are kept exactly from this many tokens on: at most 2 bits per value for them."""


@dataclass(frozen=True)
class _Domain:
    """The scaled domain statistics live in: u = (x - mean) / scale. metric: (D, D) there, None for plain error."""

    scale_codes: np.ndarray | None
    covariance: np.ndarray | None
    variance: np.ndarray
    metric: np.ndarray | None


class GroupFit:
    """Call `add_moments` for every chunk of tokens (F, N, D), then `prepare`, then `add_coefficients` for each."""

    def __init__(
        self, spec: StreamSpec, channels: int, effort: int, weighting: Weighting, codebook: Codebook | None
    ) -> None:
        self.spec = spec
        self.effort = effort
        self.weighting = weighting
        self.codebook = codebook
        self.moments = Moments(channels, pairs=channels <= MAX_KLT_CHANNELS)
        self._candidates: list[Candidate] = []
        self._longest = 1

    def add_moments(self, tokens: np.ndarray) -> None:
        """First pass: tokens (F, N, D) float32."""
        rows, count, channels = tokens.shape
        self._longest = max(self._longest, rows)
        self.moments.add(self._scaled_tokens(tokens).reshape(rows * count, channels))

    def add_coefficients(self, tokens: np.ndarray) -> None:
        """Second pass."""
        scaled = self._scaled_tokens(tokens)
        scale = None if self._domain.scale_codes is None else quarter_octave.scales_of(self._domain.scale_codes)
        for candidate in self._candidates:
            u = scaled - self._mean if candidate.centred else scaled
            candidate.observe(u if scale is None else u / scale)

    def _scaled_tokens(self, tokens: np.ndarray) -> np.ndarray:
        if self.weighting.kind != "token":
            return tokens
        stage = TokenScale()
        return stage.forward(tokens, stage.measure(tokens))

    @property
    def energy(self) -> float:
        """Sum of squares of the centred sample in the weighted domain."""
        metric = self._domain.metric
        if metric is None or self._domain.covariance is None:
            return float(self._domain.variance.sum()) * self.moments.count
        return float((metric * self._domain.covariance).sum()) * self.moments.count

    def prepare(self) -> None:
        """Between the passes: the weighted domain, and the candidates to be counted."""
        self._domain = self._weighted_domain()
        self._mean = self.moments.mean.astype(np.float32)
        channels = self.moments.channels
        unit = float(np.sqrt(self._domain.variance.mean())) if channels else 0.0
        groups = (1,) if self.spec.ragged else _groups(self._longest, self.effort)
        self._unit = unit if np.isfinite(unit) and unit > 0 else 1.0
        self._candidates = []
        if self._domain.covariance is not None:
            self._candidates.append(self._own_klt(groups))
        few = self.moments.count < _FEW_TOKENS * channels
        sparse = self.moments.zero_share > _SPARSE
        if few or sparse or self.effort >= 2 or not self._candidates:
            self._candidates.append(self._identity(groups, centred=not sparse))
        if self.codebook is not None and self.weighting.kind == "none":
            self._candidates.append(self._from_codebook(groups))

    def models(self, step: float, scale: float, tables: Codebook | None) -> GroupModels:
        """The chain at `step`. scale: tokens of the segment per token of the sample. tables: whose tables to use."""
        tokens = max(1.0, self.moments.count * scale)
        precision = step / float(np.sqrt(tokens))
        centring_bits = self._centring_bits(precision)
        chosen, choice = None, None
        for candidate in self._candidates:
            found = candidate.choose(step, scale, tokens, centring_bits if candidate.centred else 0.0)
            if choice is None or found.cost < choice.cost:
                chosen, choice = candidate, found
        if chosen is None or choice is None:
            raise ValueError("group fit: prepare() was not called")
        return self._chain(chosen, choice, step, precision, tables)

    def _chain(
        self, chosen: Candidate, choice: Choice, step: float, precision: float, tables: Codebook | None
    ) -> GroupModels:
        basis = chosen.build(choice.rank, choice.exponents)
        stages: list[Stage] = [TokenScale()] if self.weighting.kind == "token" else []
        stages += [self._normalise(chosen, precision, basis), basis]
        if choice.group > 1:
            stages.append(TimeDct(choice.group))
        found = choice.estimate
        coding = static_tables() if tables is None or tables.tables is None else tables.tables
        stages += [DeadZone(step, found.offsets), Planes(choice.group, found.classes[:, : choice.rank], coding)]
        return GroupModels(Chain(stages), choice.group)

    def _normalise(self, chosen: Candidate, precision: float, basis: Stage) -> Normalise:
        constant = self._constant
        centre = self.codebook.centre() if isinstance(basis, CodebookKlt) and self.codebook is not None else None
        return Normalise.fit(
            self.moments.mean if chosen.centred else np.zeros(self.moments.channels),
            precision,
            scale_codes=self._domain.scale_codes,
            constant=constant,
            values=self.moments.first,
            centre=centre,
        )

    @property
    def _constant(self) -> np.ndarray:
        """(D,) bool: channels to be kept exactly."""
        if self.moments.count < _EXACT_TOKENS or self.weighting.kind == "token":
            return np.zeros(self.moments.channels, bool)
        return self.moments.constant

    def _centring_bits(self, precision: float) -> float:
        magnitude = np.abs(self.moments.mean) / precision
        return float(self.moments.channels * (entropy(magnitude.mean()) + 1.0)) if magnitude.size else 0.0

    def _weighted_domain(self) -> _Domain:
        variance = self.moments.variance
        covariance = self.moments.covariance if self.moments.pairs else None
        metric = self.weighting.metric(self.moments.channels, self.spec.name)
        if self.weighting.kind == "channel":
            importance = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
        elif metric is not None:
            importance = metric if metric.ndim == 1 else np.diagonal(metric)
        else:
            return _Domain(None, covariance, variance, None)
        floor = float(importance.max(initial=0.0)) * RIDGE**2
        codes = quarter_octave.codes_of(1.0 / np.sqrt(np.maximum(importance, max(floor, 1e-300))))
        if self.weighting.kind == "channel":
            codes[variance == 0] = 0
        scale = quarter_octave.scales_of(codes).astype(np.float64)
        variance = variance / scale**2
        if covariance is not None:
            covariance = covariance / np.outer(scale, scale)
        if metric is None or metric.ndim == 1 or covariance is None:
            return _Domain(codes, covariance, variance, None)
        return _Domain(codes, covariance, variance, scaled_metric(metric, scale))

    def _own_klt(self, groups: Sequence[int]) -> Candidate:
        covariance, metric = self._domain.covariance, self._domain.metric
        assert covariance is not None
        channels = len(covariance)
        # with R = L^T L the problem is plain in z = L u: its KLT V gives S = (L^-1 V)^T and A = L^T V
        factor = None if metric is None else np.linalg.cholesky(metric).T
        plain = covariance if factor is None else factor @ covariance @ factor.T
        values, vectors = np.linalg.eigh(plain)
        kept = values > max(float(values[-1]), 0.0) * 1e-13 if channels else np.zeros(0, bool)
        values, vectors = values[kept][::-1], np.ascontiguousarray(vectors[:, kept][:, ::-1])
        rank = np.arange(len(values))
        if factor is None or metric is None:
            return Candidate(
                analysis=vectors.astype(np.float32),
                centred=True,
                variances=values,
                entries=channels - rank,
                truncates=True,
                build=lambda r, exponents: ReflectedKlt.fit(vectors[:, :r].T, exponents),
                unit=self._unit,
                groups=groups,
            )
        synthesis = np.linalg.solve(factor, vectors).T
        return Candidate(
            analysis=(factor.T @ vectors).astype(np.float32),
            centred=True,
            variances=values,
            entries=np.full(len(values), channels),
            truncates=True,
            build=lambda r, exponents: FreeKlt.fit(synthesis[:r], exponents, metric),
            unit=self._unit,
            groups=groups,
        )

    def _identity(self, groups: Sequence[int], *, centred: bool) -> Candidate:
        return Candidate(
            analysis=None,
            centred=centred,
            variances=self._domain.variance,
            entries=np.zeros(self.moments.channels),
            truncates=False,
            build=lambda r, exponents: Identity(),
            unit=self._unit,
            groups=groups,
        )

    def _from_codebook(self, groups: Sequence[int]) -> Candidate:
        codebook = self.codebook
        assert codebook is not None
        vectors = codebook.vectors()
        analysis = least_squares(vectors, None)
        outside, covariance = 0.0, self._domain.covariance
        if covariance is not None and codebook.rank < codebook.channels:
            inside = float(((vectors @ covariance) * analysis.T).sum())
            outside = max(0.0, float(np.trace(covariance)) - inside) * self.moments.count
        return Candidate(
            analysis=analysis,
            centred=True,
            variances=np.ones(codebook.rank),
            entries=np.zeros(codebook.rank),
            truncates=True,
            build=lambda r, exponents: CodebookKlt(codebook, r),
            unit=self._unit,
            groups=groups,
            outside=outside,
            reference_bits=8.0 * len(codebook.digest),
        )


def _groups(longest: int, effort: int) -> tuple[int, ...]:
    """Group lengths worth trying on chunks of up to `longest` rows: beyond the first that covers them all are equal."""
    offered = _QUICK_GROUPS if effort == 0 else GROUPS
    covering = [group for group in offered if group >= longest]
    return tuple(group for group in offered if group < longest) + tuple(covering[:1])
