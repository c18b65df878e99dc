"""A mixture of one mode in the basis of a codebook: nothing is sent but what coefficients in it look like.

The stage before the mixture turns tokens into coefficients of the codebook's vectors, so the mode's vectors are the
first axes. What that is worth against bases of the segment's own is decided by cost, as between any two offers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform.basis import apply
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.estimate import Response
from embdc_cli.codec.transform.free_klt import least_squares
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit, Plan
from embdc_cli.codec.transform.mixture.statistics import ModeStatistics, Principal
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.entropy.coding_tables import CodingTables

_NAME_BITS: Final = 8.0 * 32  # the codebook's digest in the models


class CodebookFit(MixtureFit):
    """sample: (R, n, D) float32 arrays, centred. mean: (D,) of the tokens before centring."""

    def __init__(
        self, sample: Sequence[np.ndarray], codebook: Codebook, mean: np.ndarray, unit: float, *, dependent: bool
    ) -> None:
        self._codebook = codebook
        analysis = least_squares(codebook.vectors(), None)
        inside = [apply(array, analysis) for array in sample]
        synthesis = codebook.vectors().astype(np.float32)
        missed = (array - found @ synthesis for array, found in zip(sample, inside, strict=True))
        self._outside = sum(float(np.square(error, dtype=np.float64).sum()) for error in missed)
        leading = Principal(np.ones(codebook.rank), np.eye(codebook.rank, dtype=np.float32))
        super().__init__(inside, leading, 1, mean, unit, known_mean=codebook.centre(), dependent=dependent)

    def _mode_statistics(self, tokens: np.ndarray, first: int) -> ModeStatistics:
        return ModeStatistics.on_axes(tokens)

    def offer(self, step: float, scale: float) -> Offer:
        """As of any mixture; what no vector reaches is error."""
        found = super().offer(step, scale)
        outside = self._outside * scale / step**2
        return replace(found, distortion=found.distortion + outside, bits=found.bits + _NAME_BITS)

    def _stages(
        self, plans: Sequence[Plan], sums: np.ndarray, response: Response, step: float, tables: CodingTables
    ) -> list[Stage]:
        (plan,) = plans
        reached = max(1, len(plan.h))
        plan = replace(plan, mode=replace(plan.mode, mean=plan.mode.mean[:reached]))
        return [CodebookKlt(self._codebook, reached), *super()._stages([plan], sums, response, step, tables)]
