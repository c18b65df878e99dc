"""Linear centred kernel alignment of token vectors: whether the two inputs see the same geometry.

    CKA = |C_xy|_F^2 / (|C_xx|_F |C_yy|_F), C the covariances between channels; 1 for equal inputs up to rotation and
    scale, 0 for unrelated ones.

Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", 2019, section 3 (the feature form,
which needs D x D sums however many tokens there are). Not the debiased estimate: tokens should outnumber channels.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.comparison.block import Block
from embdc_cli.comparison.sampling import inside, stratified

MAX_CHANNELS: Final = 4096  # four sums of D x D float64: 512 MiB
_MAX_TOKENS: Final = 1 << 20
_WORK: Final = 1 << 38  # tokens x D^2: three products of that size take a core about a minute
_CONSTANT: Final = 1e-12  # of the energy about an arbitrary origin: what cancelling it leaves of a constant


class LinearCKA:
    """Sums over a stratified sample of a stream's tokens. mean: (D,) float64, near the mean of both inputs."""

    def __init__(self, tokens: int, mean: np.ndarray) -> None:
        channels = len(mean)
        self.measurable = channels <= MAX_CHANNELS
        limit = min(_MAX_TOKENS, max(4 * channels, _WORK // max(1, channels) ** 2)) if self.measurable else 0
        self._chosen = stratified(tokens, limit)
        self._mean = mean  # subtracted first, so that large means do not cancel
        side = channels if self.measurable else 0
        self._products = {pair: np.zeros((side, side)) for pair in (("x", "x"), ("x", "y"), ("y", "y"))}
        self._sums = {name: np.zeros(channels) for name in ("x", "y")}
        self._scratch = np.empty((side, side))

    def add(self, block: Block) -> None:
        """Take in a block."""
        if not self.measurable:
            return
        for part, x, y in block.parts():
            taken = inside(self._chosen, block.token0 + part.start, len(x))
            vectors = {"x": x[taken] - self._mean, "y": y[taken] - self._mean}
            for name, found in vectors.items():
                self._sums[name] += found.sum(axis=0)
            for first, second in self._products:
                np.matmul(vectors[first].T, vectors[second], out=self._scratch)
                self._products[first, second] += self._scratch

    @property
    def cka(self) -> float | None:
        """1 where neither varies, 0 where only one does; None with more channels than MAX_CHANNELS."""
        if not self.measurable:
            return None
        xx, xy, yy = (self._norm(*pair) for pair in self._products)
        if not xx or not yy:
            return float(xx == yy)
        return min(1.0, xy / xx * (xy / yy))

    def _norm(self, first: str, second: str) -> float:
        """|C|_F of the covariance (times the number of tokens), 0 where it is what rounding left."""
        product, count = self._products[first, second], max(1, len(self._chosen))
        raw = np.linalg.norm(product)
        about_mean = product - np.outer(self._sums[first], self._sums[second] / count)
        norm = float(np.linalg.norm(about_mean))
        return norm if norm > _CONSTANT * raw else 0.0
