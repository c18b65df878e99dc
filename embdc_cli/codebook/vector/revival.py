"""Codewords that no token uses get new work: what a badly coded token of their level would have needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embdc_cli.codebook.vector.hard import Coded, levels_sum
from embdc_cli.codebook.vector.model import FloatLevel, Model


def revived(model: Model, coded: Sequence[Coded]) -> Model:
    """With every dead codeword of a level that is in use put where the error of its users is largest."""
    left = [one.y - one.rest - levels_sum(model, one.codes) for one in coded]
    levels = []
    for number, level in enumerate(model.levels):
        centres = level.centres.copy()
        uses = sum(np.bincount(one.codes[:, number], minlength=len(centres) + 1)[1:] for one in coded)
        dead = np.flatnonzero(uses == 0)
        wanted, badness = [], []
        for one, residual in zip(coded, left, strict=True):
            used = np.flatnonzero(one.codes[:, number])
            error = residual[np.ix_(used, level.channels)]
            wanted.append(error + centres[one.codes[used, number] - 1])
            badness.append(one.weight * np.square(error, dtype=np.float64).sum(axis=1))
        worst = np.argsort(-np.concatenate(badness), kind="stable")[: len(dead)]
        centres[dead[: len(worst)]] = np.concatenate(wanted)[worst]
        levels.append(FloatLevel(level.channels, centres))
    return Model(model.basis, tuple(levels))
