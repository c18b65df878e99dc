"""Tokens that come from few places: what codewords of one clip say about another."""

from __future__ import annotations

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.vector.clips import Clip
from embdc_cli.codec.vq.levels import LearntLevel
from tests.codebook.codebook_cases import make_codebook

CHANNELS = 16
_PLACES = np.random.default_rng(5).normal(size=(40, CHANNELS)) * np.linspace(3, 0.5, CHANNELS)


def tokens(rows: int, seed: int, noise: float = 0.25) -> np.ndarray:
    """(rows, 16, CHANNELS) float32: 16 tokens a row, each of which stays at its place for some rows; mean 2."""
    rng = np.random.default_rng(seed)
    places = rng.integers(len(_PLACES), size=(rows, 16))
    for row in range(1, rows):
        stays = rng.random(16) < 0.8
        places[row, stays] = places[row - 1, stays]
    return (2 + _PLACES[places] + noise * rng.normal(size=(rows, 16, CHANNELS))).astype(np.float32)


def clip(rows: int, seed: int) -> Clip:
    """The same about its mean."""
    x = tokens(rows, seed)
    return Clip((x - x.mean(axis=(0, 1)),), 4)


def make_levels(count: int = 3, rank: int = 9, seed: int = 0) -> tuple[LearntLevel, ...]:
    """Levels of random integers for coefficients below `rank`."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        channels = np.sort(rng.choice(rank, 1 + number % rank, replace=False)).astype(np.int32)
        codes = rng.integers(-900, 900, size=(2 << 2 * number, len(channels))).astype(np.int32)
        made.append(LearntLevel(channels, codes, int(rng.integers(-20, 5))))
    return tuple(made)


def make_vector_codebook(channels: int = 12, rank: int = 9, seed: int = 0) -> Codebook:
    """A codebook of kind vq with random integers in every field."""
    plain = make_codebook(channels, rank, seed)
    return Codebook(
        plain.mean, plain.mean_exponent, plain.basis, plain.exponents, plain.spectrum, None, plain.encoder,
        plain.training, make_levels(3, rank, seed),
    )  # fmt: skip
