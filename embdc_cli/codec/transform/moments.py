"""First and second moments of the tokens of a sample: what centring, weighting and the KLT are computed from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

_BLOCK_VALUES: Final = 1 << 20  # float64 scratch of 8 MiB; fixed, because the order of summation decides bytes


@dataclass
class Moments:
    """Accumulates tokens (n, D) float32, in float64.

    pairs: whether the full covariance is wanted, else only variances (a channel axis too wide for pairs).
    """

    channels: int
    pairs: bool
    count: int = 0
    zeros: int = 0
    _sum: np.ndarray = field(init=False)
    _products: np.ndarray = field(init=False)
    _shift: np.ndarray = field(init=False)
    first: np.ndarray = field(init=False)
    constant: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        channels = self.channels
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels) if self.pairs else channels)
        self._shift = np.zeros(channels)
        self.first = np.zeros(channels, np.float32)
        self.constant = np.ones(channels, bool)

    def add(self, tokens: np.ndarray) -> None:
        """Take in tokens (n, D) float32, all finite."""
        if not tokens.size:
            return
        if not self.count:
            self.first = tokens[0].copy()
            # a shift near the mean keeps the products free of cancellation
            self._shift = tokens[: max(1, _BLOCK_VALUES // self.channels)].mean(axis=0, dtype=np.float64)
        rows = max(1, _BLOCK_VALUES // self.channels)
        for start in range(0, len(tokens), rows):
            block = tokens[start : start + rows]
            # bit patterns, so that -0.0 beside 0.0 is not taken for a constant
            self.constant &= (block.view(np.uint32) == self.first.view(np.uint32)).all(axis=0)
            self.zeros += block.size - int(np.count_nonzero(block))
            centred = block.astype(np.float64) - self._shift
            self._sum += centred.sum(axis=0)
            self._products += centred.T @ centred if self.pairs else np.einsum("nd,nd->d", centred, centred)
        self.count += len(tokens)

    def merge(self, other: Moments) -> None:
        """Take in what `other` (of as many channels and with pairs or not as this) has seen, as if it came next.

        The result depends on where tokens were parted, in the last bits; it is the same for the same parts.
        """
        if not other.count:
            return
        if not self.count:
            self.first, self._shift = other.first.copy(), other._shift.copy()
        self.constant &= other.constant & (other.first.view(np.uint32) == self.first.view(np.uint32))
        apart = other._shift - self._shift
        if self.pairs:
            cross = np.outer(other._sum, apart)
            self._products += other._products + cross + cross.T + other.count * np.outer(apart, apart)
        else:
            self._products += other._products + 2 * other._sum * apart + other.count * apart**2
        self._sum += other._sum + other.count * apart
        self.count += other.count
        self.zeros += other.zeros

    @property
    def mean(self) -> np.ndarray:
        """(D,) float64; zeros when nothing was seen."""
        return self._shift + self._sum / max(1, self.count)

    @property
    def variance(self) -> np.ndarray:
        """(D,) float64, exactly 0 for constant channels."""
        products = np.diagonal(self._products) if self.pairs else self._products
        variance = products / max(1, self.count) - (self._sum / max(1, self.count)) ** 2
        return np.where(self.constant, 0.0, np.maximum(variance, 0.0))

    @property
    def covariance(self) -> np.ndarray:
        """(D, D) float64, zero in the rows and columns of constant channels."""
        offset = self._sum / max(1, self.count)
        covariance = self._products / max(1, self.count) - np.outer(offset, offset)
        covariance[self.constant] = 0.0
        covariance[:, self.constant] = 0.0
        return covariance

    @property
    def zero_share(self) -> float:
        """Share of values that are exactly 0."""
        return self.zeros / max(1, self.count * self.channels)
