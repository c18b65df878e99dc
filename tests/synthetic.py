"""Small dumps with the statistics of real ones: correlated channels, slow change in time."""

from __future__ import annotations

import numpy as np


def embeddings(frames: int = 40, tokens: int = 12, channels: int = 24, seed: int = 1) -> np.ndarray:
    """(T, N, D) float16: AR(1) along time, channel variances falling as 1/i, rotated, with a mean."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((frames, tokens, channels))
    for t in range(1, frames):
        x[t] = 0.9 * x[t - 1] + np.sqrt(1 - 0.81) * x[t]
    x *= 1 / np.sqrt(np.arange(1, channels + 1))
    rotation = np.linalg.qr(rng.standard_normal((channels, channels)))[0]
    return (x @ rotation + rng.standard_normal(channels)).astype(np.float16)


def errors(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """nmse and mean cosine straight from their definitions, in float64."""
    a, b = (array.reshape(-1, array.shape[-1]).astype(np.float64) for array in (x, y))
    variance = ((a - a.mean(0)) ** 2).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):  # zero tokens and constant channels of ReLU maps give NaN
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        channels = ((a - b) ** 2).mean(0) / variance
    return {
        "nmse": float(((a - b) ** 2).sum() / ((a - a.mean(0)) ** 2).sum()),
        "channel_nmse": float(channels.mean()),
        "cosine": float(cosine.mean()),
    }
