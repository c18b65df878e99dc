"""What is known of one token group of a segment whatever codes it: moments, the weighted domain, channels to keep."""

from __future__ import annotations

import math

import numpy as np

from embdc_cli.codec.stage import Stage
from embdc_cli.codec.transform.domain import Domain
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.weighting import Weighting
from embdc_cli.values import StreamSpec

MAX_KLT_CHANNELS = 4096
"""Widest own KLT: 128 MiB of covariance in float64, and an eigendecomposition of under a minute."""
_EXACT_TOKENS = 16
"""Channels that never change are kept exactly from this many tokens on: at most 2 bits per value for them."""


class TokenGroup:
    """Call `add_moments` for every chunk of tokens (F, N, D), then `find_domain`.

    scale: tokens of the segment per token of the sample.
    """

    domain: Domain

    def __init__(self, spec: StreamSpec, channels: int, weighting: Weighting, scale: float) -> None:
        self.spec = spec
        self.scale = scale
        self.weighting = weighting
        self.moments = Moments(channels, pairs=channels <= MAX_KLT_CHANNELS)
        self.tokens_per_row = 1
        self.longest = 1

    def add_moments(self, tokens: np.ndarray) -> None:
        """First pass: tokens (F, N, D) float32."""
        rows, count, channels = tokens.shape
        self.longest = max(self.longest, rows)
        self.tokens_per_row = count
        self.moments.add(self.token_scaled(tokens).reshape(rows * count, channels))

    def find_domain(self) -> Domain:
        """After the first pass: the statistics that the weighting sees."""
        self.domain = Domain.of(self.moments, self.weighting, self.spec.name)
        return self.domain

    def token_scaled(self, tokens: np.ndarray) -> np.ndarray:
        """Each token by its own scale, where the weighting wants that."""
        if self.weighting.kind != "token":
            return tokens
        stage = TokenScale()
        return stage.forward(tokens, stage.measure(tokens))

    @property
    def energy(self) -> float:
        """Sum of squares of the centred sample in the weighted domain."""
        return self.domain.energy * self.moments.count

    @property
    def rms(self) -> float:
        """Root mean square of a centred value in the weighted domain."""
        return math.sqrt(self.energy / max(1, self.moments.count * self.moments.channels))

    @property
    def tokens(self) -> float:
        """Of the whole segment, at least 1."""
        return max(1.0, self.moments.count * self.scale)

    @property
    def constant(self) -> np.ndarray:
        """(D,) bool: channels to be kept exactly."""
        if self.moments.count < _EXACT_TOKENS or self.weighting.kind == "token":
            return np.zeros(self.moments.channels, bool)
        return self.moments.constant

    def head(self, mean: np.ndarray | None, known_mean: np.ndarray | None, step: float) -> list[Stage]:
        """The stages before a basis; means are as precise as quantisation by `step` deserves."""
        normalise = Normalise.fit(
            np.zeros(self.moments.channels) if mean is None else mean,
            min(step, self.rms or step) / math.sqrt(self.tokens),
            scale_codes=self.domain.scale_codes,
            constant=self.constant,
            values=self.moments.first,
            centre=known_mean,
        )
        return [TokenScale(), normalise] if self.weighting.kind == "token" else [normalise]
