"""How large values are: their range, 8-bit entropy, tails, and how energy is spread over channels.

entropy     -sum p log2 p of the 256 levels of round((x - least) / (greatest - least) 255), bits per value; once with
            the range of the tensor, once with that of each channel and one table for all: what quantising to 8 bits
            and an entropy coder without any context come to
kurtosis    m4 / m2^2 - 3 about the mean, 0 of a Gaussian; of values as they are, and of channels each brought to mean
            0 and deviation 1, so that unequal channels do not count as tails
outliers    the share of values farther than 6 deviations from the mean: 2e-9 of a Gaussian
massive     the share of sum (x - mu_c)^2 in the hundredth of the channels (one at least) that has most of it: the
            massive activations of Sun et al., "Massive Activations in Large Language Models", 2024
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from embdc_cli.distribution.sample import Sample
from embdc_cli.metrics import BLOCK_VALUES

LEVELS: Final = 256
_SIGMAS: Final = 6
_TOP: Final = 100  # one channel in so many


def amplitudes(sample: Sample) -> dict[str, Any]:
    """{mean, deviation, least, greatest, entropy, kurtosis, channel_kurtosis, outliers, massive}; None without values.

    Kurtosis, outliers and massive are None of values that are all equal, massive also of a single channel.
    """
    if not sample.values.size:
        names = ("mean", "deviation", "least", "greatest", "kurtosis", "channel_kurtosis", "outliers", "massive")
        return {"entropy": {"tensor": None, "channels": None}, **dict.fromkeys(names)}
    low, high = sample.values.min(axis=(0, 1, 2)), sample.values.max(axis=(0, 1, 2))
    mean = float(sample.mean.mean())
    deviation = float(np.sqrt(np.mean(sample.variances + (sample.mean - mean) ** 2)))
    varies = bool(high.max() > low.min())
    kurtosis, channel_kurtosis, outliers = _tails(sample, mean, deviation) if varies else (None, None, None)
    energy = sample.variances.sum()
    top = np.sort(sample.variances)[::-1][: max(1, len(sample.variances) // _TOP)].sum()
    return {
        "mean": mean,
        "deviation": deviation,
        "least": float(low.min()),
        "greatest": float(high.max()),
        "entropy": {
            "tensor": entropy(histogram(sample, low.min(), high.max())),
            "channels": entropy(histogram(sample, low, high)),
        },
        "kurtosis": kurtosis,
        "channel_kurtosis": channel_kurtosis,
        "outliers": outliers,
        "massive": float(top / energy) if energy > 0 and len(sample.variances) > 1 else None,
    }


def histogram(sample: Sample, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How many values round to each of LEVELS levels from `low` to `high`, one of each or (D,); int64 (LEVELS,)."""
    span = np.asarray(high, np.float64) - low
    factor = np.divide(LEVELS - 1, span, out=np.zeros_like(span), where=span > 0)
    counts = np.zeros(LEVELS, np.int64)
    for block in _blocks(sample):
        counts += np.bincount(np.rint((block - low) * factor).astype(np.int64).ravel(), minlength=LEVELS)
    return counts


def entropy(counts: np.ndarray) -> float:
    """Of a histogram, in bits."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def _tails(sample: Sample, mean: float, deviation: float) -> tuple[float, float | None, float]:
    """(kurtosis, channel kurtosis, outliers). deviation: above 0."""
    fourth = channel_fourth = outside = channel_count = 0.0
    varying = sample.variances > 0
    scale = np.sqrt(sample.variances[varying])
    for block in _blocks(sample):
        whole = (block - mean) / deviation
        fourth += float((whole**4).sum())
        outside += np.count_nonzero(np.abs(whole) > _SIGMAS)
        channels = (block[:, varying] - sample.mean[varying]) / scale
        channel_fourth += float((channels**4).sum())
        channel_count += channels.size
    count = sample.values.size
    channel_kurtosis = channel_fourth / channel_count - 3 if channel_count else None
    return fourth / count - 3, channel_kurtosis, outside / count


def _blocks(sample: Sample) -> Iterator[np.ndarray]:
    """Token vectors (n, D) float64, few at a time."""
    vectors = sample.values.reshape(-1, sample.values.shape[-1])
    size = max(1, BLOCK_VALUES // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), size):
        yield vectors[start : start + size].astype(np.float64)
