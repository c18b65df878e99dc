"""Statistics of a corpus: tokens, mean, and the covariance within streams, pooled.

The codec removes a mean per segment, so what its basis sees is how tokens vary within streams, not between them: each
stream counts with the covariance about its own mean, in proportion to its tokens.

A stream is parted into blocks of its own, whoever computes them; their sums, in float64, are merged in the order
of the inputs. So the same sample gives the same bits, however blocks are spread over processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import numpy as np

from embdc_cli.codebook.corpus import Chunk, channels_of, read_tokens, tokens_in
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.values import Tensor

BLOCK_VALUES: Final = 1 << 24
"""64 MiB as float32, against D^2 float64 of the sums: 4.5 MiB for 768 channels."""


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


@dataclass(frozen=True)
class Block:
    """Consecutive chunks of the stream of number `stream` of a sample."""

    stream: int
    tensor: Tensor
    chunks: list[Chunk]


def blocks_of(sample: Sequence[tuple[Tensor, list[Chunk]]]) -> list[Block]:
    """All chunks, in order, in blocks of BLOCK_VALUES or just above; the last one of a stream is what is left."""
    blocks: list[Block] = []
    for stream, (tensor, chunks) in enumerate(sample):
        values = BLOCK_VALUES
        for chunk in chunks:
            if values >= BLOCK_VALUES:
                blocks.append(Block(stream, tensor, []))
                values = 0
            blocks[-1].chunks.append(chunk)
            values += tokens_in(tensor, *chunk) * channels_of(tensor.spec)
    return blocks


def block_moments(tensor: Tensor, chunks: Sequence[Chunk]) -> Moments:
    """Count, sum and products of the tokens of a block. Raises: SourceError for NaN and infinities."""
    moments = Moments(channels_of(tensor.spec), pairs=True)
    for chunk in chunks:
        moments.add(read_tokens(tensor, chunk))
    return moments


def pooled(channels: int, blocks: Sequence[Block], moments: Iterable[Moments]) -> CorpusStatistics:
    """The statistics of a corpus from the moments of each of its blocks, in their order."""
    statistics = CorpusStatistics(channels)
    for _, of_stream in groupby(zip(blocks, moments, strict=True), key=lambda pair: pair[0].stream):
        stream = Moments(channels, pairs=True)
        for _, one in of_stream:
            stream.merge(one)
        statistics.add(stream)
    return statistics
