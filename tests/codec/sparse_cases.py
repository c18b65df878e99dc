"""Codes and maps as a ReLU leaves them, for the tests of the sparse path."""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.transform.domain import Domain


def sparse_map(shape: tuple[int, int, int], seed: int = 0, *, zeros: float = 1.0) -> np.ndarray:
    """(F, N, D) float32, a slow walk cut off below `zeros` deviations and, as by ReLU6, above 6."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=shape[1:])
    out = np.empty(shape, np.float32)
    for t in range(shape[0]):
        moving = rng.random((shape[1], 1)) < 0.3
        state = np.where(moving, 0.9 * state + np.sqrt(0.19) * rng.normal(size=state.shape), state)
        out[t] = np.clip(3 * (state - zeros), 0, 6)
    return out


def sticky_codes(shape: tuple[int, int, int], scale: float, seed: int, *, negative: bool = False) -> np.ndarray:
    """(F, N, D) int32: mostly zeros, mostly as a row before, now and then of any size up to some `scale`."""
    rng = np.random.default_rng(seed)
    fresh = (rng.laplace(size=shape) * scale * (rng.random(shape) < 0.4)).astype(np.int32)
    kept = rng.random(shape) < 0.7
    kept |= rng.random(shape[:2])[..., None] < 0.3  # whole tokens that do not change
    for t in range(1, shape[0]):
        fresh[t] = np.where(kept[t], fresh[t - 1], fresh[t])
    return fresh if negative else np.abs(fresh)


def domain_of(x: np.ndarray, scale_codes: np.ndarray | None = None) -> Domain:
    """The plain domain of tokens (F, N, D), or one with these scales."""
    return Domain(scale_codes, x.reshape(-1, x.shape[-1]).var(axis=0).astype(np.float64), None, None)
