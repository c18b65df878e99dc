"""Fits the chain of one token group: which basis, which group length, at which precision, for any step.

Two passes over the sample: moments first, then the coefficients of every candidate basis are counted. After that a
chain for a step takes no further look at the data.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform import bases
from embdc_cli.codec.transform.candidate import Candidate, Choice
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.domain import Domain
from embdc_cli.codec.transform.models import GroupModels
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_dct import GROUPS, TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.tables import static_tables
from embdc_cli.values import StreamSpec

MAX_KLT_CHANNELS: Final = 4096
"""Widest own KLT: 128 MiB of covariance in float64, and an eigendecomposition of under a minute."""

_QUICK_GROUPS: Final = (1, 16, 64)
_SPARSE: Final = 0.25
"""Share of exact zeros from which on the identity basis is tried, and without centring, which would fill them."""
_FEW_TOKENS: Final = 8
"""The identity basis is tried below this many tokens per channel (from effort 2 on always)."""
_EXACT_TOKENS: Final = 16
"""Channels that never change are kept exactly from this many tokens on: at most 2 bits per value for them."""


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

    def prepare(self) -> None:
        """Between the passes: the weighted domain, and the candidates to be counted."""
        self._domain = Domain.of(self.moments, self.weighting, self.spec.name)
        groups = (1,) if self.spec.ragged else _groups(self._longest, self.effort)
        mean, covariance = self.moments.mean, self._domain.covariance
        self._candidates = []
        if covariance is not None:
            self._candidates.append(bases.own_klt(self._domain, covariance, mean, groups))
        few = self.moments.count < _FEW_TOKENS * self.moments.channels
        sparse = self.moments.zero_share > _SPARSE
        if few or sparse or self.effort >= 2 or not self._candidates:
            self._candidates.append(bases.identity(self._domain, None if sparse else mean, groups))
        if self.codebook is not None and self.weighting.kind == "none":
            tokens = self.moments.count
            self._candidates.append(bases.from_codebook(self._domain, self.codebook, mean, tokens, groups))

    def add_coefficients(self, tokens: np.ndarray) -> None:
        """Second pass."""
        scaled = self._scaled_tokens(tokens)
        scale = self._domain.scale
        for candidate in self._candidates:
            u = scaled if candidate.mean is None else scaled - candidate.mean.astype(np.float32)
            candidate.observe(u if scale is None else u / scale)

    @property
    def energy(self) -> float:
        """Sum of squares of the centred sample in the weighted domain."""
        return self._domain.energy * self.moments.count

    def models(self, step: float, scale: float, tables: Codebook | None) -> GroupModels:
        """The chain at `step`. scale: tokens of the segment per token of the sample. tables: whose tables to use."""
        tokens = max(1.0, self.moments.count * scale)
        choices = [(candidate, candidate.choose(step, scale, tokens)) for candidate in self._candidates]
        chosen, choice = min(choices, key=lambda pair: pair[1].cost)
        return self._chain(chosen, choice, step, step / float(np.sqrt(tokens)), tables)

    def _chain(
        self, chosen: Candidate, choice: Choice, step: float, precision: float, tables: Codebook | None
    ) -> GroupModels:
        normalise = Normalise.fit(
            np.zeros(self.moments.channels) if chosen.mean is None else chosen.mean,
            precision,
            scale_codes=self._domain.scale_codes,
            constant=self._constant,
            values=self.moments.first,
            centre=chosen.known_mean,
        )
        stages: list[Stage] = [TokenScale()] if self.weighting.kind == "token" else []
        stages += [normalise, chosen.build(choice.rank, choice.exponents)]
        if choice.group > 1:
            stages.append(TimeDct(choice.group))
        found = choice.estimate
        coding = static_tables() if tables is None or tables.tables is None else tables.tables
        stages += [DeadZone(step, found.offsets), Planes(choice.group, found.classes[:, : choice.rank], coding)]
        return GroupModels(Chain(stages), choice.group)

    def _scaled_tokens(self, tokens: np.ndarray) -> np.ndarray:
        if self.weighting.kind != "token":
            return tokens
        stage = TokenScale()
        return stage.forward(tokens, stage.measure(tokens))

    @property
    def _constant(self) -> np.ndarray:
        """(D,) bool: channels to be kept exactly."""
        if self.moments.count < _EXACT_TOKENS or self.weighting.kind == "token":
            return np.zeros(self.moments.channels, bool)
        return self.moments.constant


def _groups(longest: int, effort: int) -> tuple[int, ...]:
    """Group lengths worth trying on chunks of up to `longest` rows: beyond the first that covers them all are equal."""
    offered = _QUICK_GROUPS if effort == 0 else GROUPS
    covering = [group for group in offered if group >= longest]
    return tuple(group for group in offered if group < longest) + tuple(covering[:1])
