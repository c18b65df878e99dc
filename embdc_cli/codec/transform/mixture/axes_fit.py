"""A mixture of one mode whose vectors are the axes, every row on its own: values as they are, and no basis is sent.

What it saves over the principal axes is their price, what it loses is their gain. Both follow from what a Gaussian
variable of variance v costs at the slope of distortion theta, rate and distortion together in bits,

    J(v) = (log2(max(1, v / theta)) + min(1, v / theta) / ln 2) / 2

with s_c the variances of the channels, l_i those along the principal axes, and n tokens; an entry of axis i, of which
there are D - i, reaches all tokens with l_i / D:

    gain = n (sum_c J(s_c) - sum_i J(l_i))        price = sum_{i: l_i > theta} (D - i) J(n l_i / D)

White tensors, which weights of networks nearly are, gain nothing. This only tells whether counting is worth its time;
what is counted foretells the cost. Not here: transforms along time, which `bases.identity` has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.learning import Maps
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.statistics import ModeStatistics, Principal

_DISTORTIONS: Final = np.exp2(-np.arange(0.0, 15.0))
"""Of the mean variance: theta at which the axes may win, from nothing coded to 7 bits per value."""
_MARGIN: Final = 2.0
"""Gain over price up to which the axes are counted: rows alike make coefficients fewer, and the gain with them."""


class AxesFit(MixtureFit):
    """sample: (R, n, D) float32 arrays, centred. mean: (D,) of the tokens before centring."""

    def __init__(self, sample: Sequence[np.ndarray], mean: np.ndarray, unit: float, *, dependent: bool) -> None:
        channels = sample[0].shape[2]
        none = Principal(np.zeros(0), np.zeros((channels, 0), np.float32))
        super().__init__(sample, none, 1, mean, unit, dependent=dependent)

    def _learnt(self, sample: Sequence[np.ndarray], modes: int, reach: float) -> tuple[int, list[Maps]]:
        shapes = [array.shape[:2] for array in sample]
        return modes, [(np.zeros(shape, np.int8), np.zeros(shape, np.int16)) for shape in shapes]

    @property
    def _kinds(self) -> int:
        return 1

    @property
    def _tables(self) -> None:
        return None

    def _mode_statistics(self, tokens: np.ndarray, first: int) -> ModeStatistics:
        return ModeStatistics.on_axes(tokens)


def axes_may_win(variances: np.ndarray, principal: np.ndarray, tokens: float) -> bool:
    """Whether the price of the principal axes is near their gain at any rate. variances: (D,). principal: (R,)."""
    channels = len(variances)
    theta = _DISTORTIONS[:, None] * max(float(variances.mean()), 1e-300)
    gain = tokens * (_costs(variances / theta).sum(axis=1) - _costs(principal / theta).sum(axis=1))
    entries = np.where(principal > theta, channels - np.arange(len(principal)), 0)
    price = (entries * _costs(tokens / channels * principal / theta)).sum(axis=1)
    return bool((gain < _MARGIN * price).any())


def _costs(ratios: np.ndarray) -> np.ndarray:
    """J of v / theta."""
    return np.asarray(0.5 * np.log2(np.maximum(1.0, ratios)) + np.minimum(1.0, ratios) / (2 * np.log(2)))
