"""The measures straight from their definitions, in float64 and all at once."""

from __future__ import annotations

from typing import Any

import numpy as np

import embdc_cli as embdc


def stream(x: Any, y: Any, **options: Any) -> dict[str, Any]:
    """The document of the one stream of two arrays."""
    (found,) = embdc.compare(x, y, **options)["streams"]
    return dict(found)


def noisy(x: np.ndarray, noise: float = 0.3, seed: int = 5) -> np.ndarray:
    """x with white noise, in its own dtype."""
    rng = np.random.default_rng(seed)
    return (x + noise * rng.standard_normal(x.shape)).astype(x.dtype)


def tokens(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1]).astype(np.float64)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def fidelity(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    a, b = tokens(x), tokens(y)
    mean = a.mean(0)
    nmse = ((a - b) ** 2).sum() / ((a - mean) ** 2).sum()
    return {
        "nmse": nmse,
        "snr_db": -10 * np.log10(nmse),
        "channel_nmse": (((a - b) ** 2).mean(0) / a.var(0)).mean(),
        "max_abs_error": np.abs(a - b).max(),
        "cosine": cosines(a, b).mean(),
        "centred_cosine": cosines(a - mean, b - mean).mean(),
        "norm_drift": (np.linalg.norm(b, axis=1) / np.linalg.norm(a, axis=1)).mean() - 1,
    }


def cka(a: np.ndarray, b: np.ndarray) -> float:
    """By n x n Gram matrices, the other form of the same."""
    k, m = (centred @ centred.T for centred in (a - a.mean(0), b - b.mean(0)))
    return float((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))


def recall(a: np.ndarray, b: np.ndarray, k: int) -> float:
    """Of vectors without ties."""
    shares = []
    for i in range(len(a)):
        others = np.arange(len(a)) != i
        near = [set(np.flatnonzero(others)[np.argsort(-cosines(z[others], z[i]))[:k]]) for z in (a, b)]
        shares.append(len(near[0] & near[1]) / k)
    return float(np.mean(shares))
