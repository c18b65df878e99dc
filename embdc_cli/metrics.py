"""The measures of distortion, accumulated block by block so that any length fits in memory.

Notation: x original, y decoded, tokens are vectors of the last axis, c a channel, mu_c and var_c its mean and variance.

    nmse         = sum (x-y)^2 / sum (x-mu_c)^2
    snr_db       = -10 log10 nmse
    channel_nmse = mean over channels of mse_c / var_c
    cosine       = mean over tokens of <x,y> / (|x||y|);  cosine_p1 its first percentile

Conventions: 0/0 is 0 for errors (a constant channel that is kept exactly) and e/0 is infinite; two zero tokens have
cosine 1, one zero token has cosine 0. Positions where x is not finite are left out on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

BLOCK_VALUES = 1 << 20  # float64 scratch of 8 MiB per array
_BINS_PER_OCTAVE = 64
_OCTAVES = 40  # 1 - cosine from 2^-39 to 2
_BINS = _BINS_PER_OCTAVE * _OCTAVES


@dataclass
class ChannelMoments:
    """Count, mean and sum of squared deviations per channel (float64), merged with Chan's update."""

    channels: int
    count: int = 0
    mean: np.ndarray = field(init=False)
    m2: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros(self.channels)
        self.m2 = np.zeros(self.channels)

    def add(self, tokens: np.ndarray) -> None:
        """Take in `tokens` (n, D) float32; every value finite."""
        rows = max(1, BLOCK_VALUES // max(1, self.channels))
        for start in range(0, len(tokens), rows):
            block = tokens[start : start + rows].astype(np.float64)
            mean = block.mean(axis=0)
            block -= mean
            self._merge(len(block), mean, np.einsum("nd,nd->d", block, block))

    def merge(self, other: ChannelMoments) -> None:
        """Take in all that `other` saw."""
        if other.count:
            self._merge(other.count, other.mean, other.m2)

    def _merge(self, count: int, mean: np.ndarray, m2: np.ndarray) -> None:
        total = self.count + count
        delta = mean - self.mean
        self.m2 += m2 + delta**2 * (self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total

    def scaled(self, factor: float) -> ChannelMoments:
        """What `factor` times as much of the same kind would have."""
        found = ChannelMoments(self.channels, round(self.count * factor))
        found.mean, found.m2 = self.mean.copy(), self.m2 * factor
        return found

    @property
    def energy(self) -> float:
        """sum (x - mu_c)^2 over all values."""
        return float(self.m2.sum())


@dataclass
class ErrorSums:
    """Sums of one stream's errors; `add` takes original and decoded tokens, `merge` another block's sums."""

    channels: int
    values: int = 0
    tokens: int = 0
    cosine_sum: float = 0.0
    cosine_min: float = 1.0
    channel_sse: np.ndarray = field(init=False)
    histogram: np.ndarray = field(init=False)  # of 1 - cosine, logarithmic bins

    def __post_init__(self) -> None:
        self.channel_sse = np.zeros(self.channels)
        self.histogram = np.zeros(_BINS, dtype=np.int64)

    def add(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Take in original x and decoded y, both (n, D) float32; returns the cosine of every token, (n,) float64."""
        rows = max(1, BLOCK_VALUES // max(1, self.channels))
        found = [np.zeros(0)]
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            found.append(self._add_block(x[part].astype(np.float64), y[part].astype(np.float64)))
        return np.concatenate(found)

    def _add_block(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        bad = ~np.isfinite(x)
        if bad.any():
            x[bad] = 0.0
            y[bad] = 0.0
        cosine = cosines(x, y)
        x -= y
        self.take(cosine, np.einsum("nd,nd->d", x, x))
        return cosine

    def take(self, cosine: np.ndarray, channel_sse: np.ndarray) -> None:
        """Take in tokens of these cosines (n,) and their squared errors summed by channel (D,), both float64."""
        self.channel_sse += channel_sse
        self.values += len(cosine) * self.channels
        self.tokens += len(cosine)
        self.cosine_sum += float(cosine.sum())
        if len(cosine):
            self.cosine_min = min(self.cosine_min, float(cosine.min()))
        distance = np.maximum(1.0 - cosine, 2.0 ** (1 - _OCTAVES))
        bins = np.floor((np.log2(distance) + _OCTAVES - 1) * _BINS_PER_OCTAVE).astype(np.int64)
        self.histogram += np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)

    def merge(self, other: ErrorSums) -> None:
        """Take in all that `other` saw."""
        self.values += other.values
        self.tokens += other.tokens
        self.cosine_sum += other.cosine_sum
        self.cosine_min = min(self.cosine_min, other.cosine_min)
        self.channel_sse += other.channel_sse
        self.histogram += other.histogram

    def scaled(self, factor: float) -> ErrorSums:
        """What `factor` times as much of the same kind would sum up to."""
        found = ErrorSums(self.channels, round(self.values * factor), round(self.tokens * factor))
        found.cosine_sum, found.cosine_min = self.cosine_sum * found.tokens / max(1, self.tokens), self.cosine_min
        found.channel_sse = self.channel_sse * factor
        found.histogram = np.rint(self.histogram * factor).astype(np.int64)
        return found

    @property
    def sse(self) -> float:
        return float(self.channel_sse.sum())

    @property
    def mse(self) -> float:
        return self.sse / self.values if self.values else 0.0

    @property
    def cosine(self) -> float:
        return self.cosine_sum / self.tokens if self.tokens else 1.0

    def nmse(self, moments: ChannelMoments) -> float:
        """sum of squared errors over the energy around the channel means."""
        return ratio(self.sse, moments.energy)

    def channel_nmse(self, moments: ChannelMoments) -> float:
        """mean over channels of mse_c / var_c; infinite when a constant channel was not kept exactly."""
        if not self.channels:
            return 0.0
        ratios = np.zeros(self.channels)
        varying = moments.m2 > 0
        ratios[varying] = self.channel_sse[varying] / moments.m2[varying]
        ratios[~varying & (self.channel_sse > 0)] = math.inf
        return float(ratios.mean())

    @property
    def cosine_p1(self) -> float:
        """First percentile of the token cosines, to within 1.1 % of its distance from 1; the lower bin edge."""
        if not self.tokens:
            return 1.0
        from_worst = np.cumsum(self.histogram[::-1])
        index = _BINS - 1 - int(np.searchsorted(from_worst, math.ceil(self.tokens * 0.01)))
        return float(max(1.0 - 2.0 ** ((index + 1) / _BINS_PER_OCTAVE - _OCTAVES + 1), self.cosine_min))

    def summary(self, moments: ChannelMoments) -> dict[str, float]:
        """{nmse, channel_nmse, cosine, cosine_p1} as `inspect --json` shows them."""
        return {
            "nmse": self.nmse(moments),
            "channel_nmse": self.channel_nmse(moments),
            "cosine": self.cosine,
            "cosine_p1": self.cosine_p1,
        }


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cosine of every token of x and y, both (n, D) float64, as (n,); two zero tokens have 1, one has 0."""
    dot = np.einsum("nd,nd->n", x, y)
    norm = np.sqrt(np.einsum("nd,nd->n", x, x) * np.einsum("nd,nd->n", y, y))
    both_zero = ~(x.any(axis=1) | y.any(axis=1))
    cosine = np.where(norm > 0, dot / np.where(norm > 0, norm, 1.0), both_zero.astype(np.float64))
    return np.minimum(cosine, 1.0)


EXACT = {"nmse": 0.0, "channel_nmse": 0.0, "cosine": 1.0, "cosine_p1": 1.0}
"""What `ErrorSums.summary` says of a lossless stream."""


def ratio(error: float, energy: float) -> float:
    """error / energy; 0/0 is 0, and an error relative to nothing is infinite."""
    if energy > 0:
        return error / energy
    return math.inf if error > 0 else 0.0


def snr_db(nmse: float) -> float:
    """-10 log10 nmse; infinite for an exact copy."""
    return math.inf if nmse == 0 else -10.0 * math.log10(nmse)


FIGURES: Final = frozenset(("nmse", "channel_nmse", "cosine", "cosine_p1"))
SUMS: Final = frozenset(("values", "tokens", "sse", "energy", "cosine_sum"))
"""What a stream's entry in the summary has under `achieved` and `sums`."""


def pooled(streams: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Achieved quality over all streams: one stream's own figures, else sums over sums and value-weighted means."""
    if len(streams) == 1:
        return dict(streams[0]["achieved"])
    sums = [entry["sums"] for entry in streams]
    total = {key: sum(one[key] for one in sums) for key in ("values", "tokens", "sse", "energy", "cosine_sum")}
    worst = [entry["achieved"]["cosine_p1"] for entry in streams if entry["sums"]["tokens"]]
    weighted = [(entry["achieved"]["channel_nmse"], entry["sums"]["values"]) for entry in streams]
    known = [(value, weight) for value, weight in weighted if value is not None]
    return finite(
        {
            "nmse": ratio(total["sse"], total["energy"]),
            "channel_nmse": ratio(sum(v * w for v, w in known), sum(w for _, w in known)),
            "cosine": total["cosine_sum"] / total["tokens"] if total["tokens"] else 1.0,
            "cosine_p1": min(worst, default=1.0),
        }
    )


def finite(figures: dict[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: an error relative to nothing is null."""
    return {key: value if math.isfinite(value) else None for key, value in figures.items()}


def sizes(values: int, file_bytes: int, raw_bytes: int) -> dict[str, Any]:
    """{file_bytes, raw_bytes, values, bits_per_value, ratio_fp16, ratio_fp32}; every byte of the file counts."""
    return {
        "file_bytes": file_bytes,
        "raw_bytes": raw_bytes,
        "values": values,
        "bits_per_value": 8 * file_bytes / values if values else None,
        "ratio_fp16": 2 * values / file_bytes if file_bytes else None,
        "ratio_fp32": 4 * values / file_bytes if file_bytes else None,
    }
