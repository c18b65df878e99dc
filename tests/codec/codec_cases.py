"""Streams that the codec tests share: specs, limits and rows of given kinds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli import dtypes
from embdc_cli.values import StreamSpec


@dataclass(frozen=True)
class Limits:
    """Decode cost bounds as a header would give them."""

    max_chunk_rows: int = 1 << 16
    max_chunk_values: int = 1 << 24
    max_rank: int = 8192
    max_modes: int = 64
    max_group: int = 64


LIMITS = Limits()
AXES = {0: "t", 1: "t,c", 2: "t,n,c", 3: "t,h,w,c"}


def spec_of(shape: tuple[int, ...], dtype: str = "float32", *, special_tokens: int = 0) -> StreamSpec:
    """The spec of a tensor of `shape`, rows first."""
    return StreamSpec("data", dtype, AXES[len(shape) - 1], shape[1:], shape[0], special_tokens)


def rows_of(kind: str, shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Rows in storage dtype: moving (a random walk along time), noise, constant, zero, sparse, huge or tiny."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=shape)
    largest = 65504.0 if dtype == "float16" else 3.4e38
    least = 6e-8 if dtype == "float16" else 1e-40
    values = {
        "moving": lambda: noise.cumsum(axis=0) + 3.0,
        "noise": lambda: noise,
        "constant": lambda: np.full(shape, 1.2345),
        "zero": lambda: np.zeros(shape),
        "sparse": lambda: np.maximum(noise - 1.0, 0.0),
        "huge": lambda: np.clip(noise, -3, 3) * (largest / 3),
        "tiny": lambda: noise * (10 * least),
    }[kind]()
    return dtypes.from_float32(values.astype(np.float32), dtype)


def smooth(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """(T, N, D) float32 with correlated channels of falling variance and slow change along time: what a KLT is for."""
    rng = np.random.default_rng(seed)
    rows, tokens, channels = shape
    mixing = np.linalg.qr(rng.normal(size=(channels, channels)))[0]
    scales = np.arange(1, channels + 1) ** -1.0
    state = rng.normal(size=(tokens, channels))
    out = np.empty(shape, np.float32)
    for t in range(rows):
        state = 0.9 * state + np.sqrt(0.19) * rng.normal(size=state.shape)
        out[t] = (state * scales) @ mixing.T + 0.5
    return out


def nmse(x: np.ndarray, y: np.ndarray, dtype: str = "float32") -> float:
    """Squared error over energy around the channel means; 0 for an exact copy."""
    a = dtypes.to_float32(x, dtype).astype(np.float64)
    b = dtypes.to_float32(y, dtype).astype(np.float64)
    error = float(((a - b) ** 2).sum())
    channels = a.shape[-1] if a.ndim > 1 else 1
    tokens = a.reshape(-1, channels)
    return error / float(((tokens - tokens.mean(axis=0)) ** 2).sum()) if error else 0.0
