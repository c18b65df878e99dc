"""How alike values are: neighbours along every axis, and channels with each other.

    neighbours  r = sum a b / sqrt(sum a^2 sum b^2), a a value less the mean of its channel, b that of its neighbour
    channels    mean |r_ij| over pairs i < j of channels that vary; independent ones have sqrt(2 / (pi n)) of n tokens

Neighbours are weighted by their energy, as a squared error counts them: of a tensor with one massive channel, r is
that channel's.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.distribution.sample import Sample

MAX_CHANNELS: Final = 2048
"""Of more channels so many are taken, evenly spaced: a covariance of 32 MiB."""
_LEAST_TOKENS: Final = 8


def correlation(sample: Sample) -> dict[str, float | None]:
    """{channels, time, vertical, horizontal, channel}: channels with each other, and neighbours along each axis.

    vertical, horizontal: in the grid of tokens; without a grid horizontal is the next token, vertical None.
    """
    grid = sample.grid
    return {
        "channels": _between_channels(sample),
        "time": neighbours(sample.centred, 1),
        "vertical": neighbours(grid, 1),
        "horizontal": neighbours(grid, 2),
        "channel": neighbours(grid, 3),
    }


def neighbours(u: np.ndarray, axis: int) -> float | None:
    """Correlation of centred values with their next neighbour along `axis`; None without neighbours or energy."""
    length = u.shape[axis]
    if length < 2 or not u.size:
        return None
    before = u[(slice(None),) * axis + (slice(None, -1),)]
    after = u[(slice(None),) * axis + (slice(1, None),)]
    energy = _dot(before, before) * _dot(after, after)
    return float(_dot(before, after) / np.sqrt(energy)) if energy > 0 else None


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    # cast in small buffers by einsum itself
    return sum(float(np.einsum("i,i->", x.ravel(), y.ravel(), dtype=np.float64)) for x, y in zip(a, b, strict=True))


def covariance(tokens: np.ndarray) -> np.ndarray:
    """Of centred token vectors (n, D), at most MAX_CHANNELS channels, (D, D) float64."""
    product = np.zeros((tokens.shape[1], tokens.shape[1]))
    size = max(1, (1 << 20) // max(1, tokens.shape[1]))
    for start in range(0, len(tokens), size):
        block = tokens[start : start + size].astype(np.float64)
        product += block.T @ block
    return product / max(1, len(tokens))


def some_channels(sample: Sample) -> np.ndarray:
    """Centred token vectors (n, D) of all channels, or of MAX_CHANNELS, evenly spaced."""
    channels = sample.values.shape[-1]
    if channels <= MAX_CHANNELS:
        return sample.vectors
    return sample.vectors[:, np.arange(MAX_CHANNELS) * channels // MAX_CHANNELS]


def _between_channels(sample: Sample) -> float | None:
    if sample.tokens < _LEAST_TOKENS:
        return None
    product = covariance(some_channels(sample))
    deviation = np.sqrt(np.diagonal(product))
    varying = deviation > 0
    count = int(varying.sum())
    if count < 2:
        return None
    scaled = np.abs(product[np.ix_(varying, varying)] / np.outer(deviation[varying], deviation[varying]))
    return float((scaled.sum() - np.trace(scaled)) / (count * (count - 1)))
