"""What a coder is to the benchmarks: values to bytes and back, at settings from coarse to fine, every byte counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import zstandard

HEADER: Final = 16  # bytes: for shape and setting, which decoders are told, whatever the coder

Parts = tuple[bytes, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Coded:
    """What became of an array: bits per value with all bytes counted, the decoded array, and the times it took."""

    bits: float
    decoded: np.ndarray
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Coder:
    """A way to code x (T, N, D), N tokens in a grid by rows.

    name: family first, then the variant. settings: from coarse to fine. encode: (x, setting) to bytes.
    decode: (bytes, shape, setting) back, from nothing else; what a trained coder learnt elsewhere is not in the bytes.
    package: what it needs that embdc itself does not. as_is: it takes values as they are in the dump, see `normalised`.
    learn: from elsewhere, for a setting, what encoder and decoder then know; no part of either's time.
    """

    name: str
    settings: Sequence[Any]
    encode: Callable[[np.ndarray, Any], Parts]
    decode: Callable[[Parts, Shape, Any], np.ndarray]
    package: str = ""
    as_is: bool = False
    learn: Callable[[Any], object] = lambda setting: None

    def coded(self, x: np.ndarray, setting: Any) -> Coded:
        """`x` through encoder and decoder."""
        self.learn(setting)
        start = time.perf_counter()
        parts = self.encode(x, setting)
        middle = time.perf_counter()
        decoded = self.decode(parts, x.shape, setting)
        seconds = time.perf_counter() - middle
        bits = 8 * (HEADER + sum(map(len, parts))) / x.size
        return Coded(bits, decoded.reshape(x.shape), middle - start, seconds)


def normalise(x: np.ndarray, *, scaled: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(means, deviations, what is left of x as float32), all per channel; means and deviations as float16 has them.

    scaled: deviations are those of the channels, so that an error in any counts as channel_nmse has it, and else 1.
    """
    tokens = x.reshape(-1, x.shape[-1]).astype(np.float64)
    means = tokens.mean(axis=0).astype(np.float16)
    deviations = (tokens.std(axis=0) if scaled else np.ones(x.shape[-1])).astype(np.float16)
    deviations[deviations == 0] = 1
    return means, deviations, (x.astype(np.float32) - means) / deviations.astype(np.float32)


def normalised(coder: Coder, *, scaled: bool) -> Coder:
    """`coder` for values less the mean of their channel, over its deviation where `scaled`; these are counted."""
    if coder.as_is:
        return coder

    def encode(x: np.ndarray, setting: Any) -> Parts:
        means, deviations, left = normalise(x, scaled=scaled)
        return means.tobytes(), deviations.tobytes() if scaled else b"", *coder.encode(left, setting)

    def decode(parts: Parts, shape: Shape, setting: Any) -> np.ndarray:
        means, deviations = (np.frombuffer(part, np.float16).astype(np.float32) for part in parts[:2])
        left = coder.decode(parts[2:], shape, setting).reshape(shape)
        return left * deviations + means if scaled else left + means

    return replace(coder, encode=encode, decode=decode)


def grid(tokens: int) -> tuple[int, int]:
    """(height, width) of so many tokens, as near to a square as goes."""
    height = max(side for side in range(1, math.isqrt(tokens) + 1) if tokens % side == 0)
    return height, tokens // height


def packed(data: bytes, level: int = 19) -> bytes:
    """zstd."""
    return zstandard.ZstdCompressor(level=level).compress(data)


def unpacked(data: bytes) -> bytes:
    """What `packed` packed."""
    return zstandard.ZstdDecompressor().decompress(data)
