"""End-to-end refinement: search as the codec does, then move codewords and basis to where these codes serve best.

Each step searches codes at several prices of a bit, revives codewords, fits codewords and rotates the basis for these
codes, and searches again. The best model seen is kept, in the sense of J (`hard`), rate included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embdc_cli.codebook.checkpoint import Checkpoint
from embdc_cli.codebook.vector.clips import Clip
from embdc_cli.codebook.vector.codewords import refitted
from embdc_cli.codebook.vector.gradient import descended
from embdc_cli.codebook.vector.hard import STEPS, Coded, code, total, unit_of
from embdc_cli.codebook.vector.keeping import arrays_of, model_of
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.model import Model
from embdc_cli.codebook.vector.revival import revived
from embdc_cli.codebook.vector.rotation import rotated
from embdc_cli.reporter import Reporter


@dataclass(frozen=True)
class Refined:
    """costs: J of the training clips before the first step and after each."""

    model: Model
    costs: list[float]


def refine(
    model: Model,
    clips: Sequence[Clip],
    steps: int,
    loss: Loss,
    seed: int,
    reporter: Reporter,
    checkpoint: Checkpoint | None = None,
    stage: str = "refinement",
) -> Refined:
    """`model` after up to so many steps; the first of equals. checkpoint: where each step is kept, under `stage`."""
    if not steps or not model.levels or not clips:
        return Refined(model, [])
    checkpoint = checkpoint or Checkpoint()
    known = checkpoint.find(stage)
    best, costs = model, list[float]()
    if known is not None:
        model, best, costs = model_of(known, "model"), model_of(known, "best"), known["costs"].tolist()
        if len(costs) > steps:
            return Refined(best, costs)
    unit = unit_of(clips)
    tokens = [clip.tokens for clip in clips for _ in STEPS]
    coded = code(model, clips, unit, loss)
    costs = costs or [total(coded)]
    for step in range(len(costs) - 1, steps):
        reporter.progress("refinement", step, steps, "steps")
        model = _moved(model, coded, tokens, loss, seed + step)
        coded = code(model, clips, unit, loss)
        costs.append(total(coded))
        if costs[-1] < min(costs[:-1]):
            best = model
        known = {"costs": np.array(costs), **arrays_of(model=model, best=best)}
        checkpoint.keep(stage, known)
        model, best = model_of(known, "model"), model_of(known, "best")
    return Refined(best, costs)


def _moved(model: Model, coded: Sequence[Coded], tokens: Sequence[np.ndarray], loss: Loss, seed: int) -> Model:
    model = revived(model, coded)
    if loss.plain:
        return rotated(refitted(model, coded), coded, tokens)
    return descended(model, coded, tokens, loss, seed)
