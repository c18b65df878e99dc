"""Codewords for given codes, in closed form under plain error: the average of their tokens, less what else they have.

    c[l, k] <- c[l, k] + mean over tokens with index k of the residual of level l's coefficients, each by its weight

One level after the other, so that error never rises: a sweep of coordinate descent on least squares.
Source: Chan, Gupta, Gersho, "Enhanced multistage vector quantization by joint codebook design", IEEE T-COM 40, 1992.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embdc_cli.codebook.vector.hard import Coded, levels_sum
from embdc_cli.codebook.vector.model import FloatLevel, Model


def refitted(model: Model, coded: Sequence[Coded]) -> Model:
    """With the best codewords for these codes; those that no token uses stay."""
    left = [one.y - one.rest - levels_sum(model, one.codes) for one in coded]
    levels = []
    for number, level in enumerate(model.levels):
        count, width = level.centres.shape
        sums, weights = np.zeros((count, width)), np.zeros(count)
        users = [np.flatnonzero(one.codes[:, number]) for one in coded]
        for one, residual, used in zip(coded, left, users, strict=True):
            index = one.codes[used, number] - 1
            seen = residual[np.ix_(used, level.channels)]
            for column in range(width):
                sums[:, column] += one.weight * np.bincount(index, seen[:, column], minlength=count)
            weights += one.weight * np.bincount(index, minlength=count)
        shift = np.divide(sums, weights[:, None], out=np.zeros_like(sums), where=weights[:, None] > 0)
        for one, residual, used in zip(coded, left, users, strict=True):
            residual[np.ix_(used, level.channels)] -= shift[one.codes[used, number] - 1].astype(np.float32)
        levels.append(FloatLevel(level.channels, level.centres + shift))
    return Model(model.basis, tuple(levels))
