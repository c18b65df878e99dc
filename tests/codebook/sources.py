"""Gaussian sources whose covariance is known, as dumps, and the codebook that knows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from embdc_cli.codebook.basis import mean_to_integers, to_integers
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.values import ArrayTensor, Dump, StreamSpec

CHANNELS = 16


def rotation(channels: int = CHANNELS, seed: int = 99) -> np.ndarray:
    """(D, D) orthonormal, rows are vectors: the basis every source here is made with."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(channels, channels)))[0].T


def energies(channels: int = CHANNELS) -> np.ndarray:
    """(D,) variances along the basis: 1/i, scaled."""
    return 40.0 / np.arange(1, channels + 1)


def gaussian(frames: int, tokens: int = 9, channels: int = CHANNELS, seed: int = 0, rho: float = 0.9) -> np.ndarray:
    """(T, N, D) float32: AR(1) along time with coefficient `rho`, variances `energies` along `rotation`, mean 3."""
    noise = np.random.default_rng(seed).normal(size=(frames, tokens, channels))
    y = np.empty_like(noise)
    y[0] = noise[0]
    for t in range(1, frames):
        y[t] = rho * y[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    return (3 + (y * np.sqrt(energies(channels))) @ rotation(channels)).astype(np.float32)


def true_codebook(channels: int = CHANNELS) -> Codebook:
    """The codebook that knows how `gaussian` is made."""
    basis = to_integers(energies(channels), rotation(channels))
    mean, exponent = mean_to_integers(np.full(channels, 3.0))
    return Codebook(mean, exponent, basis.basis, basis.exponents, basis.spectrum, None, None, {"tokens": 0})


def tensor_of(array: np.ndarray, name: str = "data", **spec: Any) -> ArrayTensor:
    """An array (T, ..., D) as a tensor."""
    axes = {1: "c", 2: "tc", 3: "tnc", 4: "thwc"}[array.ndim]
    dtype = str(array.dtype)
    return ArrayTensor(StreamSpec(name, dtype, axes, array.shape[1:], len(array), **spec), array)


def dump_of(*arrays: np.ndarray, encoder: dict[str, Any] | None = None) -> Dump:
    """A dump of one tensor per array."""
    names = ["data"] if len(arrays) == 1 else [f"t{i}" for i in range(len(arrays))]
    return Dump([tensor_of(array, name) for array, name in zip(arrays, names, strict=True)], encoder=encoder)
