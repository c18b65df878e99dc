"""Fits the chain of one token group: which basis, which group length, at which precision, for any step.

Two passes over the sample: moments first, then the coefficients of every candidate basis are counted. After that a
chain for a step takes no further look at the data.
"""

from __future__ import annotations

import math
from functools import cached_property
from operator import attrgetter
from typing import Final

import numpy as np

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform import bases
from embdc_cli.codec.transform.candidate import Candidate
from embdc_cli.codec.transform.domain import Domain
from embdc_cli.codec.transform.mixture.codebook_fit import CodebookFit
from embdc_cli.codec.transform.mixture.columns import Columns
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.statistics import Principal
from embdc_cli.codec.transform.models import GroupModels
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.sparse_fit import SparseFit, grid_width
from embdc_cli.codec.transform.time_dct import GROUPS
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.values import StreamSpec

MAX_KLT_CHANNELS: Final = 4096
"""Widest own KLT: 128 MiB of covariance in float64, and an eigendecomposition of under a minute."""

_MODES: Final = ((), (1, 8, 48), (1, 8, 48), (1, 4, 8, 16, 32, 64))
"""Numbers of modes tried at each effort."""
_TRELLIS: Final = 2
"""The effort from which on codes are found by trellis."""
_TOKENS_PER_MODE: Final = 64
_MIXTURE_VALUES: Final = 1 << 25
_MIXTURE_PRODUCTS: Final = 1 << 33
"""What mixtures are learnt from at most: 128 MiB, and so many multiplications of all values by a square matrix."""
_NEARLY_ALL: Final = 1.1
"""Tokens of a segment per token of the sample, up to which the sample is taken for the segment."""
_QUICK_GROUPS: Final = (1, 16, 64)
_SPARSE: Final = 0.25
"""Share of exact zeros from which on the identity basis is tried, and without centring, which would fill them."""
_MOSTLY_ZERO: Final = 0.5
"""Share of exact zeros from which on sticky codes under time contexts are tried."""
_FEW_TOKENS: Final = 8
"""The identity basis is tried below this many tokens per channel."""
_EXACT_TOKENS: Final = 16
"""Channels that never change are kept exactly from this many tokens on: at most 2 bits per value for them."""


class GroupFit:
    """Call `add_moments` for every chunk of tokens (F, N, D), then `prepare`, then `add_coefficients` for each."""

    def __init__(
        self,
        spec: StreamSpec,
        channels: int,
        effort: int,
        weighting: Weighting,
        codebook: Codebook | None,
        scale: float,
    ) -> None:
        """scale: tokens of the segment per token of the sample."""
        self.spec = spec
        self._scale = scale
        self.effort = effort
        self.weighting = weighting
        self._codebook = codebook if weighting.kind == "none" else None
        self.moments = Moments(channels, pairs=channels <= MAX_KLT_CHANNELS)
        self._candidates: list[Candidate] = []
        self._columns: Columns | None = None
        self._columns_share = 1.0
        self._sparse: SparseFit | None = None
        self._tokens_per_row = 1
        self._longest = 1

    def add_moments(self, tokens: np.ndarray) -> None:
        """First pass: tokens (F, N, D) float32."""
        rows, count, channels = tokens.shape
        self._longest = max(self._longest, rows)
        self._tokens_per_row = count
        self.moments.add(self._scaled_tokens(tokens).reshape(rows * count, channels))

    def prepare(self) -> None:
        """Between the passes: the weighted domain, and the candidates to be counted."""
        self._domain = Domain.of(self.moments, self.weighting, self.spec.name)
        groups = (1,) if self.spec.ragged else _groups(self._longest, self.effort)
        mean, covariance = self.moments.mean, self._domain.covariance
        self._candidates = []
        mixed = bool(self.effort) and covariance is not None and self._domain.metric is None and self._domain.energy > 0
        if covariance is not None and not mixed:
            self._candidates.append(bases.own_klt(self._domain, covariance, mean, groups))
        few = self.moments.count < _FEW_TOKENS * self.moments.channels
        sticky = bool(self.effort) and self.moments.zero_share >= _MOSTLY_ZERO and self._domain.metric is None
        sparse = self.moments.zero_share > _SPARSE
        if few or (sparse and not sticky) or not (mixed or self._candidates):
            self._candidates.append(bases.identity(self._domain, None if sparse else mean, groups))
        if mixed:
            total = self.moments.count * self.moments.channels
            self._columns = Columns(total, min(_MIXTURE_VALUES, _MIXTURE_PRODUCTS // self.moments.channels))
        if sticky:
            folds = self.spec.channels // self.moments.channels
            width = grid_width(self.spec, self._tokens_per_row, folds)
            self._sparse = SparseFit(self._domain, width, self._constant)
        if self._codebook is not None and not self.effort:
            tokens = self.moments.count
            self._candidates.append(bases.from_codebook(self._domain, self._codebook, mean, tokens, groups))

    def add_coefficients(self, tokens: np.ndarray) -> None:
        """Second pass."""
        scaled = self._scaled_tokens(tokens)
        scale = self._domain.scale
        for candidate in self._candidates:
            u = scaled if candidate.mean is None else scaled - candidate.mean.astype(np.float32)
            candidate.observe(u if scale is None else u / scale)
        if self._sparse is not None:
            self._sparse.observe(scaled)
        if self._columns is not None:
            u = scaled - self.moments.mean.astype(np.float32)
            self._columns.add(u if scale is None else u / scale)

    @property
    def energy(self) -> float:
        """Sum of squares of the centred sample in the weighted domain."""
        return self._domain.energy * self.moments.count

    @cached_property
    def _mixtures(self) -> list[MixtureFit]:
        """One for each number of modes worth trying."""
        if self._columns is None or self._domain.covariance is None:
            return []
        principal = Principal.of_covariance(self._domain.covariance)
        sample = self._columns.arrays
        kept = sum(array.shape[0] * array.shape[1] for array in sample)
        self._columns_share = self.moments.count / kept
        whole = self._columns_share * self._scale < _NEARLY_ALL
        halves = None if whole else self._columns.halves
        self._columns = None
        counts = [modes for modes in _MODES[self.effort] if modes == 1 or kept >= _TOKENS_PER_MODE * modes]
        mean, unit = self.moments.mean, self._domain.unit
        dependent = self.effort >= _TRELLIS
        fits = [
            MixtureFit(sample, principal, modes, mean, unit, dependent=dependent, halves=halves) for modes in counts
        ]
        if self._codebook is not None:
            fits.append(CodebookFit(sample, self._codebook, mean, unit, dependent=dependent))
        return fits

    @property
    def rms(self) -> float:
        """Root mean square of a centred value in the weighted domain."""
        return math.sqrt(self.energy / max(1, self.moments.count * self.moments.channels))

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        held = 24 * self.moments.channels**2 + (1 << 20)
        return held + sum(mixture.bytes_held for mixture in self._mixtures)

    def best(self, step: float) -> Offer:
        """The cheapest way to code at `step`."""
        tokens = max(1.0, self.moments.count * self._scale)
        offers = [candidate.offer(step, self._scale, tokens) for candidate in self._candidates]
        offers += [mixture.offer(step, self._scale * self._columns_share) for mixture in self._mixtures]
        if self._sparse is not None:
            offers.append(self._sparse.offer(step, self._scale))
        return min(offers, key=attrgetter("cost"))

    def models(self, offer: Offer, step: float, tables: CodingTables) -> GroupModels:
        """The chain of the best offer at `step`."""
        precision = step / math.sqrt(max(1.0, self.moments.count * self._scale))
        stages = [*self._head(offer.mean, offer.known_mean, precision), *offer.build(tables)]
        return GroupModels(Chain(stages), offer.group)

    def _head(self, mean: np.ndarray | None, known_mean: np.ndarray | None, precision: float) -> list[Stage]:
        """The stages before the basis."""
        normalise = Normalise.fit(
            np.zeros(self.moments.channels) if mean is None else mean,
            precision,
            scale_codes=self._domain.scale_codes,
            constant=self._constant,
            values=self.moments.first,
            centre=known_mean,
        )
        return [TokenScale(), normalise] if self.weighting.kind == "token" else [normalise]

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
