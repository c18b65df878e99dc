"""How much of the energy a transform gathers in few coefficients: variances by position in a block.

    dct     of 8 x 8 blocks of the planes that a video codec would see, (64,): Ahmed, Natarajan and Rao, 1974
    time    of 8 rows after each other, (8,)
    klt     along the principal components of the channels, (D,): learnt from one half of the rows and measured on the
            other, so that a basis which has only learnt the noise by heart gains nothing; or of all rows, for when
            the basis is paid for (`forecast`)

All are orthonormal; `forecast` makes gains of the variances.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.distribution.correlation import covariance, some_channels
from embdc_cli.distribution.sample import Sample
from embdc_cli.metrics import BLOCK_VALUES

GROUP: Final = 8
_LEAST: Final = 32
"""Fewer blocks or vectors tell no variances: ln of a variance found from n is off by 1 / n."""


def dct_matrix(n: int) -> np.ndarray:
    """The orthonormal DCT-II, (n, n) float64: coefficients = matrix @ samples."""
    k, t = np.arange(n)[:, None], np.arange(n)[None, :]
    matrix = np.sqrt(2 / n) * np.cos(np.pi * (2 * t + 1) * k / (2 * n))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def dct_variances(frames: np.ndarray) -> np.ndarray | None:
    """Mean square of each coefficient of the 8 x 8 blocks of frames (T, H, W), (8, 8); None of too few blocks."""
    count, down, across = frames.shape[0], frames.shape[1] // GROUP, frames.shape[2] // GROUP
    if count * down * across < _LEAST:
        return None
    matrix, sums = dct_matrix(GROUP), np.zeros((GROUP, GROUP))
    size = max(1, BLOCK_VALUES // (across * GROUP**2))
    for frame in frames:
        for start in range(0, down, size):
            lines = frame[start * GROUP : min(down, start + size) * GROUP, : across * GROUP].astype(np.float64)
            blocks = lines.reshape(-1, GROUP, across, GROUP).swapaxes(1, 2)
            found = matrix @ blocks @ matrix.T
            sums += np.einsum("abij,abij->ij", found, found)
    return np.asarray(sums / (count * down * across))


def time_variances(sample: Sample) -> np.ndarray | None:
    """Mean square of each coefficient of 8 consecutive rows, (8,); None of too few rows or vectors."""
    runs, rows, tokens, channels = sample.values.shape
    groups = rows // GROUP
    if runs * groups * tokens * channels < _LEAST:
        return None
    matrix, sums = dct_matrix(GROUP), np.zeros(GROUP)
    for run in sample.centred:
        for start in range(0, groups * GROUP, GROUP):
            rows_of = run[start : start + GROUP].reshape(GROUP, -1)
            for at in range(0, rows_of.shape[1], BLOCK_VALUES // GROUP):
                found = matrix @ rows_of[:, at : at + BLOCK_VALUES // GROUP].astype(np.float64)
                sums += np.einsum("kn,kn->k", found, found)
    return np.asarray(sums / (runs * groups * tokens * channels))


def enough_for_klt(sample: Sample) -> bool:
    """Whether there are channels to rotate, and tokens to learn it from."""
    return sample.values.shape[-1] > 1 and sample.tokens >= 2 * _LEAST


def own_klt_variances(sample: Sample) -> np.ndarray | None:
    """Variances along the principal components of the whole sample, most first, (D,); None of too few tokens."""
    if not enough_for_klt(sample):
        return None
    return np.asarray(np.maximum(np.linalg.eigvalsh(covariance(some_channels(sample)))[::-1], 0.0))


def klt_variances(sample: Sample) -> np.ndarray | None:
    """Variances along the principal components of the other half, most first, (D,); None of too few tokens.

    Halves are every second row, or token where there is one row. Of many channels: `some_channels`.
    """
    vectors = some_channels(sample)
    if not enough_for_klt(sample):
        return None
    runs, rows, tokens, _ = sample.values.shape
    half = (np.arange(runs * rows).repeat(tokens) if runs * rows > 1 else np.arange(tokens)) % 2 == 0
    _, basis = np.linalg.eigh(covariance(vectors[half]))
    unseen = covariance(vectors[~half])
    found = np.einsum("dk,dk->k", basis, unseen @ basis)
    return np.asarray(np.maximum(found[::-1], 0.0))
