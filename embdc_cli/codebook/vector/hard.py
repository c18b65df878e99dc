"""What the codec makes of clips with a model: its own search, at the price of bits that a step means.

    J = error / (LAMBDA step^2) + bits        bits as entropy coded, indices and flags; error in the sense of `losses`

Gaussian levels follow those of the model, as in a segment, with scales and flags of the clip's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codebook.vector.clips import Clip
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.model import Model
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.vq.borrowed import Borrowed
from embdc_cli.codec.vq.fit import counted, gaussian_levels, quantum_exponent, scales_of
from embdc_cli.codec.vq.lending import left_by
from embdc_cli.codec.vq.levels import MAX_LEVELS
from embdc_cli.codec.vq.quantiser import VectorIndices, VectorQuantiser, even_classes

STEPS: Final = (2.0, 1.0, 0.5)
"""In units of the rms of the clips: from a few hundredths of a bit per value to one, what a codebook is for."""
_SCALED: Final = 1 << 13
"""Tokens that scales are found by."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A clip at one step. y: (n, R) float32 coefficients. codes: (n, L) int32 of the model's levels.

    rest: (n, R) float32, what the Gaussian levels add. weight: of an error in J. error: unweighted. bits: of all codes.
    """

    y: np.ndarray
    codes: np.ndarray
    rest: np.ndarray
    weight: float
    error: float
    bits: float

    @property
    def cost(self) -> float:
        """J."""
        return self.error * self.weight + self.bits


def unit_of(clips: Sequence[Clip]) -> float:
    """Root mean square of a value of the clips."""
    squares = sum(float(np.square(chunk, dtype=np.float64).sum()) for clip in clips for chunk in clip.chunks)
    return float(np.sqrt(squares / max(1, sum(chunk.size for clip in clips for chunk in clip.chunks))))


def code(model: Model, clips: Sequence[Clip], unit: float, loss: Loss, steps: Sequence[float] = STEPS) -> list[Coded]:
    """Every clip at every step, in units of `unit`."""
    return [_code(model, clip, unit * step, loss) for clip in clips for step in steps]


def _code(model: Model, clip: Clip, step: float, loss: Loss) -> Coded:
    chunks = [model.coefficients(chunk) for chunk in clip.chunks]
    y = np.concatenate([chunk.reshape(-1, chunk.shape[-1]) for chunk in chunks])
    offered = tuple(level.rounded() for level in model.levels)
    borrowed = Borrowed(offered, tuple(range(len(offered))))
    left = left_by(borrowed, y[:: max(1, -(-len(y) // _SCALED))])
    energies = np.square(left, dtype=np.float64).mean(axis=0)
    largest = max([float(np.abs(y).max()), *(float(np.abs(level.centres()).max()) for level in offered)])
    exponent = quantum_exponent(step, largest)
    further = max(0, min(gaussian_levels(energies, LAMBDA * step**2), MAX_LEVELS - 1 - len(offered)))
    quantiser = counted(
        VectorQuantiser(
            step=step,
            exponent=exponent,
            rank=y.shape[1],
            learnt=(),
            scales=scales_of(energies, exponent),
            gaussian=further,
            width=clip.width,
            classes=even_classes(0),
            borrowed=borrowed,
        ),
        chunks,
        times=1,
    )
    bits, codes, decoded = 0.0, [], []
    for chunk in chunks:
        found = quantiser.forward(chunk, b"")
        bits += 8.0 * len(VectorIndices(quantiser).encode(found, b""))
        codes.append(found.reshape(-1, found.shape[-1])[:, : len(offered)])
        decoded.append(quantiser.inverse(found, b"").reshape(-1, y.shape[1]))
    every, sums = np.concatenate(codes), np.concatenate(decoded)
    error = loss.error(clip.tokens, (sums.astype(np.float64) @ model.basis).astype(np.float32))
    return Coded(y, every, sums - levels_sum(model, every), 1 / (LAMBDA * step**2), error, bits)


def levels_sum(model: Model, codes: np.ndarray) -> np.ndarray:
    """(n, R) float32: what the model's levels add up to."""
    total = np.zeros((len(codes), len(model.basis)), np.float32)
    for number, level in enumerate(model.levels):
        used = np.flatnonzero(codes[:, number])
        total[np.ix_(used, level.channels)] += level.centres[codes[used, number] - 1].astype(np.float32)
    return total


def total(coded: Sequence[Coded]) -> float:
    """J of all."""
    return sum(one.cost for one in coded)
