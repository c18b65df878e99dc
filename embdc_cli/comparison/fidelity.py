"""How far values and directions are from those of the reference: the measures of `metrics`, and those beside them.

    centred_cosine = mean over tokens of cos(x - mu, y - mu), mu the channel means of the reference
    norm_drift     = mean over tokens with x != 0 of |y| / |x| - 1; negative where vectors shrank

A value that only the other input has lost (NaN, infinity) is infinitely wrong and counts as 0 in directions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from embdc_cli.comparison.block import Block
from embdc_cli.metrics import ChannelMoments, ErrorSums, cosines, snr_db


class Fidelity:
    """Sums over the tokens of one stream."""

    def __init__(self, channels: int) -> None:
        self.sums = ErrorSums(channels)
        self.max_abs_error = 0.0
        self.lost = 0
        self.identical = True

    def add(self, block: Block) -> np.ndarray:
        """Take in a block; returns the cosine of every token, (n,) float64."""
        cosine = self.sums.add(block.x, block.y)
        for _, x, y in block.parts():
            self.max_abs_error = max(self.max_abs_error, float(np.abs(x - y).max(initial=0.0)))
        if block.lost is not None:
            self.lost += int(np.count_nonzero(block.lost))
            self.sums.channel_sse[block.lost.any(axis=0)] = math.inf
            self.max_abs_error = math.inf
        self.identical = self.identical and block.identical
        return cosine


class Directions:
    """Centred cosines and lengths of the tokens of one stream. mean: (D,) float64, of the reference."""

    def __init__(self, mean: np.ndarray) -> None:
        self._mean = mean
        self._tokens = 0
        self._centred_sum = 0.0
        self._ratio_sum = 0.0
        self._nonzero = 0

    def add(self, block: Block) -> None:
        """Take in a block."""
        for _, x, y in block.parts():
            lengths, others = (np.sqrt(np.einsum("nd,nd->n", z, z)) for z in (x, y))
            some = lengths > 0
            self._ratio_sum += float((others[some] / lengths[some]).sum())
            self._nonzero += int(np.count_nonzero(some))
            self._centred_sum += float(cosines(x - self._mean, y - self._mean).sum())
            self._tokens += len(x)

    @property
    def centred_cosine(self) -> float:
        return self._centred_sum / self._tokens if self._tokens else 1.0

    @property
    def norm_drift(self) -> float:
        return self._ratio_sum / self._nonzero - 1 if self._nonzero else 0.0


def figures(fidelity: Fidelity, directions: Directions, moments: ChannelMoments) -> dict[str, Any]:
    """The fields of both in the `--json` document; an error relative to nothing is infinite."""
    nmse = fidelity.sums.nmse(moments)
    return {
        "identical": fidelity.identical,
        "nonfinite": fidelity.lost,
        "nmse": nmse,
        "snr_db": snr_db(nmse),
        "channel_nmse": fidelity.sums.channel_nmse(moments),
        "max_abs_error": fidelity.max_abs_error,
        "cosine": fidelity.sums.cosine,
        "cosine_p1": fidelity.sums.cosine_p1,
        "centred_cosine": directions.centred_cosine,
        "norm_drift": directions.norm_drift,
    }
