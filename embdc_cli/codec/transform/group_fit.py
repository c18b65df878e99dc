"""Fits the chain of one token group: which basis, which group length, at which precision, for any step.

Two passes over the sample: moments first, then the coefficients of every candidate basis are counted. After that a
chain for a step takes no further look at the data.
"""

from __future__ import annotations

from functools import cached_property
from operator import attrgetter
from typing import Final

import numpy as np

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform import bases
from embdc_cli.codec.transform.candidate import Candidate
from embdc_cli.codec.transform.mixture.axes_fit import AxesFit, axes_may_win
from embdc_cli.codec.transform.mixture.codebook_fit import CodebookFit
from embdc_cli.codec.transform.mixture.columns import Columns
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.statistics import Principal
from embdc_cli.codec.transform.models import GroupModels
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.sparse_fit import SparseFit, grid_width
from embdc_cli.codec.transform.time_dct import GROUPS
from embdc_cli.codec.transform.token_group import TokenGroup
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.values import StreamSpec

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


class GroupFit(TokenGroup):
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
        super().__init__(spec, channels, weighting, scale)
        self.effort = effort
        self._codebook = codebook if weighting.kind == "none" else None
        self._candidates: list[Candidate] = []
        self._columns: Columns | None = None
        self._columns_share = 1.0
        self._sparse: SparseFit | None = None

    def prepare(self) -> None:
        """Between the passes: the weighted domain, and the candidates to be counted."""
        domain = self.find_domain()
        groups = (1,) if self.spec.ragged else _groups(self.longest, self.effort)
        mean, covariance = self.moments.mean, domain.covariance
        self._candidates = []
        mixed = bool(self.effort) and covariance is not None and domain.metric is None and domain.energy > 0
        if covariance is not None and not mixed:
            self._candidates.append(bases.own_klt(domain, covariance, mean, groups))
        few = self.moments.count < _FEW_TOKENS * self.moments.channels
        sticky = bool(self.effort) and self.moments.zero_share >= _MOSTLY_ZERO and domain.metric is None
        sparse = self.moments.zero_share > _SPARSE
        if few or (sparse and not sticky) or not (mixed or self._candidates):
            self._candidates.append(bases.identity(domain, None if sparse else mean, groups))
        if mixed:
            total = self.moments.count * self.moments.channels
            self._columns = Columns(total, min(_MIXTURE_VALUES, _MIXTURE_PRODUCTS // self.moments.channels))
        if sticky:
            folds = self.spec.channels // self.moments.channels
            width = grid_width(self.spec, self.tokens_per_row, folds)
            self._sparse = SparseFit(domain, width, self.constant)
        if self._codebook is not None and not self.effort:
            tokens = self.moments.count
            self._candidates.append(bases.from_codebook(domain, self._codebook, mean, tokens, groups))

    def add_coefficients(self, tokens: np.ndarray) -> None:
        """Second pass."""
        scaled = self.token_scaled(tokens)
        scale = self.domain.scale
        for candidate in self._candidates:
            u = scaled if candidate.mean is None else scaled - candidate.mean.astype(np.float32)
            candidate.observe(u if scale is None else u / scale)
        if self._sparse is not None:
            self._sparse.observe(scaled)
        if self._columns is not None:
            u = scaled - self.moments.mean.astype(np.float32)
            self._columns.add(u if scale is None else u / scale)

    @cached_property
    def _mixtures(self) -> list[MixtureFit]:
        """One for each number of modes worth trying, and those of bases that cost nothing."""
        if self._columns is None or self.domain.covariance is None:
            return []
        principal = Principal.of_covariance(self.domain.covariance)
        sample = self._columns.arrays
        kept = sum(array.shape[0] * array.shape[1] for array in sample)
        self._columns_share = self.moments.count / kept
        whole = self._columns_share * self.scale < _NEARLY_ALL
        halves = None if whole else self._columns.halves
        self._columns = None
        counts = [modes for modes in _MODES[self.effort] if modes == 1 or kept >= _TOKENS_PER_MODE * modes]
        mean, unit = self.moments.mean, self.domain.unit
        dependent = self.effort >= _TRELLIS
        fits = [
            MixtureFit(sample, principal, modes, mean, unit, dependent=dependent, halves=halves) for modes in counts
        ]
        if axes_may_win(self.domain.variance, principal.variances, self.tokens):
            fits.append(AxesFit(sample, mean, unit, dependent=dependent))
        if self._codebook is not None:
            fits.append(CodebookFit(sample, self._codebook, mean, unit, dependent=dependent))
        return fits

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        held = 24 * self.moments.channels**2 + (1 << 20)
        return held + sum(mixture.bytes_held for mixture in self._mixtures)

    def best(self, step: float) -> Offer:
        """The cheapest way to code at `step`."""
        offers = [candidate.offer(step, self.scale, self.tokens) for candidate in self._candidates]
        offers += [mixture.offer(step, self.scale * self._columns_share) for mixture in self._mixtures]
        if self._sparse is not None:
            offers.append(self._sparse.offer(step, self.scale))
        return min(offers, key=attrgetter("cost"))

    def models(self, offer: Offer, step: float, tables: CodingTables) -> GroupModels:
        """The chain of the best offer at `step`."""
        stages = [*self.head(offer.mean, offer.known_mean, step), *offer.build(tables)]
        return GroupModels(Chain(stages), offer.group)


def _groups(longest: int, effort: int) -> tuple[int, ...]:
    """Group lengths worth trying on chunks of up to `longest` rows: beyond the first that covers them all are equal."""
    offered = _QUICK_GROUPS if effort == 0 else GROUPS
    covering = [group for group in offered if group >= longest]
    return tuple(group for group in offered if group < longest) + tuple(covering[:1])
