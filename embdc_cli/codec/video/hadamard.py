"""Incoherence processing: a random rotation that spreads what a few channels hold over all of them.

    y = x S1 H1 S2 H2,   H1 a Walsh-Hadamard transform of the first P channels, H2 of the last P,
    P the largest power of two <= D, S random signs from a seed

Each factor is orthonormal, so their product is, for every width; where D = P only one of them is there.
Afterwards any distribution of channels looks Gaussian, so that a single scale serves all: outliers no longer clip.
x: (F, N, D) float32 -> the same shape. Nothing is learnt; the parameter is the seed.
Source: Chee et al., "QuIP: 2-bit quantization of large language models with guarantees", NeurIPS 2023.
Not here: decorrelation, which this destroys for any entropy coder and the KLT brings about (`transform.klt`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import Scope, SegmentStage

SEED = 265
_MAX_SEED = (1 << 31) - 1


@dataclass(frozen=True)
class Hadamard(ArrayStage, SegmentStage):
    """seed: of the signs, 0 <= seed < 2^31."""

    stage = StageId.HADAMARD
    seed: int = SEED

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        y = np.array(x, np.float32)
        width = power_of_two(x.shape[-1])
        for signs, start in zip(signs_of(self.seed, x.shape[-1]), starts_of(x.shape[-1]), strict=True):
            y *= signs
            _walsh(y[..., start : start + width])
        return y

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        x = np.array(y, np.float32)
        width = power_of_two(y.shape[-1])
        pairs = zip(signs_of(self.seed, y.shape[-1]), starts_of(y.shape[-1]), strict=True)
        for signs, start in reversed(list(pairs)):
            _walsh(x[..., start : start + width])
            x *= signs
        return x

    def write(self, out: FieldWriter) -> None:
        out.varint(self.seed)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Hadamard:
        return cls(fields.varint(limit=_MAX_SEED))


@lru_cache(maxsize=64)
def signs_of(seed: int, channels: int) -> tuple[np.ndarray, ...]:
    """For every factor (D,) float32 of -1 and 1, from SplitMix64, whose numbers are the same everywhere."""
    count = len(starts_of(channels))
    state = np.uint64(seed) + np.arange(1, count * channels + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = (state >> np.uint64(63)).astype(np.float32).reshape(count, channels)
    return tuple(1 - 2 * bits)


def power_of_two(channels: int) -> int:
    return 1 << max(0, channels.bit_length() - 1)


def starts_of(channels: int) -> tuple[int, ...]:
    """First channel of each factor's transform."""
    rest = channels - power_of_two(channels)
    return (0, rest) if rest > 0 else (0,)


def _walsh(y: np.ndarray) -> None:
    """The orthonormal transform of the last axis, of a power of two, in place."""
    width = y.shape[-1]
    half = 1
    while half < width:
        for start in range(0, width, 2 * half):
            low, high = y[..., start : start + half], y[..., start + half : start + 2 * half]
            both = low + high
            np.subtract(low, high, out=high)
            low[...] = both
        half *= 2
    y *= np.float32(width**-0.5)
