"""Statistics of a corpus: tokens, mean, and the covariance within streams, pooled.

The codec removes a mean per segment, so what its basis sees is how tokens vary within streams, not between them: each
stream counts with the covariance about its own mean, in proportion to its tokens. Streams are added in a fixed order,
in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from embdc_cli.codec.transform.moments import Moments


@dataclass
class CorpusStatistics:
    """Sums over streams of `channels` channels."""

    channels: int
    tokens: int = 0
    _sum: np.ndarray = field(init=False)
    _within: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._sum = np.zeros(self.channels)
        self._within = np.zeros((self.channels, self.channels))

    def add(self, stream: Moments) -> None:
        """Take in the moments (with pairs) of one stream."""
        self._sum += stream.mean * stream.count
        self._within += stream.covariance * stream.count
        self.tokens += stream.count

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The sums, from which `of` makes the same."""
        return {"tokens": np.array(self.tokens), "sum": self._sum, "within": self._within}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> CorpusStatistics:
        """From `arrays`."""
        found = cls(len(arrays["sum"]), int(arrays["tokens"]))
        found._sum, found._within = arrays["sum"], arrays["within"]
        return found

    @property
    def mean(self) -> np.ndarray:
        """(D,) float64: the mean token."""
        return self._sum / max(1, self.tokens)

    @property
    def covariance(self) -> np.ndarray:
        """(D, D) float64, exactly symmetric: within streams, every token with the same weight."""
        covariance = self._within / max(1, self.tokens)
        return (covariance + covariance.T) / 2
