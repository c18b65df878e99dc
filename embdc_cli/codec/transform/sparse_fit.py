"""What coding a sparse stream by sticky codes under time contexts costs, found by doing it to a part of the sample.

No estimate foretells it: what a code costs depends on its neighbours, and the decisions depend on what codes cost.
Two thousand rows of a 7 x 7 map with 1280 channels are 125 million values; 2^22 of them settle the choice of a chain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.transform import sticky
from embdc_cli.codec.transform.dead_zone import STEPS
from embdc_cli.codec.transform.domain import Domain
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.sticky import Sticky
from embdc_cli.codec.transform.time_context import TimeContext, bits_of
from embdc_cli.entropy.backend import kernels
from embdc_cli.values import StreamSpec

KEPT_VALUES: Final = 1 << 22

_PASSES: Final = 3
_MODEL_BITS: Final = 8 * 64  # step, offsets and stage lists


class SparseFit:
    """Call `observe` for every chunk of tokens, then `offer` for any step.

    domain: its channel scales are applied; a metric between channels is not. width: tokens in a row of their grid.
    constant: (D,) bool, channels that normalisation keeps exactly.
    """

    def __init__(
        self,
        domain: Domain,
        width: int,
        constant: np.ndarray,
    ) -> None:
        self.width = width
        self._domain = domain
        self._constant = constant
        self._offers: dict[tuple[float, float], Offer] = {}
        self._kept: list[tuple[int, np.ndarray]] = []
        self._chunks = 0
        self._stride = 1
        self._seen = 0

    def observe(self, tokens: np.ndarray) -> None:
        """Second pass over the sample: tokens (F, N, D) float32 before normalisation.

        Whole chunks are kept, evenly spread; of one too large for all that may be kept, the first rows.
        """
        self._seen += tokens.size
        index = self._chunks
        self._chunks += 1
        if index % self._stride or not tokens.size:
            return
        rows = max(1, KEPT_VALUES // max(1, tokens[0].size))
        scale = self._domain.scale
        u = tokens[:rows] if scale is None else tokens[:rows] / scale
        self._kept.append((index, np.where(self._constant, np.float32(0), u)))
        while len(self._kept) > 1 and sum(u.size for _, u in self._kept) > KEPT_VALUES:
            self._stride *= 2
            self._kept = [pair for pair in self._kept if pair[0] % self._stride == 0]

    def offer(self, step: float, scale: float) -> Offer:
        """What sticky codes cost where others take `step`: theirs is the one at which a bit buys the same error.

        scale: tokens of the segment per token of the sample.
        """
        if (step, scale) not in self._offers:
            self._offers[step, scale] = self._offer(step, scale)
        return self._offers[step, scale]

    def _offer(self, step: float, scale: float) -> Offer:
        own = min(max(step * math.sqrt(LAMBDA / sticky.LAMBDA), STEPS[0]), STEPS[1])
        values = [sticky.in_steps(u, own) for _, u in self._kept]
        codes = [sticky.start(v) for v in values]
        offsets = self._centroids(values, codes)
        for _ in range(_PASSES):
            for v, q in zip(values, codes, strict=True):
                sticky.improve(v, q, offsets, self.width)
            offsets = self._centroids(values, codes)
        stage = Sticky(own, offsets, self.width)
        bits = sum(bits_of(q, self.width) for q in codes)
        error = sum(
            float(((stage.inverse(q, b"") - np.abs(u)) ** 2).sum(dtype=np.float64))
            for (_, u), q in zip(self._kept, codes, strict=True)
        )
        share = self._seen / max(1, sum(v.size for v in values)) * scale
        return Offer(
            distortion=share * error / step**2,
            bits=share * bits + _MODEL_BITS,
            build=lambda tables: [stage, TimeContext(self.width)],
            mean=None,
        )

    def _centroids(self, values: Sequence[np.ndarray], codes: Sequence[np.ndarray]) -> np.ndarray:
        sums, numbers = np.zeros((4, 3, 3)), np.zeros((4, 3, 3), np.int64)
        for v, q in zip(values, codes, strict=True):
            more, count = kernels(sticky.__name__).centroid_sums(v, q)
            sums += more
            numbers += count
        return sticky.centroids(sums, numbers)


def grid_width(spec: StreamSpec, tokens: int, folds: int = 1) -> int:
    """Tokens in a row of the grid that `tokens` tokens of a row of the stream form; all of them where there is none.

    folds: parts into which the channel axis was cut; then neighbours hold other channels, and there is no grid.
    """
    axis = (*spec.row_shape[: spec.channel_axis], *spec.row_shape[spec.channel_axis + 1 :])
    if folds > 1 or spec.ragged:
        return max(1, tokens)
    if len(axis) >= 2 and math.prod(axis) == tokens:
        return max(1, axis[-1])
    side = math.isqrt(tokens)
    return side if side * side == tokens and side > 0 else max(1, tokens)
