"""From a corpus and its KLT to a codebook with levels, and what refinement and an earlier codebook did for it.

start (k-means, or the levels of another codebook) -> size -> refinement -> integers -> usage
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from embdc_cli.codebook.checkpoint import Checkpoint
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import Chunk, sample_chunks
from embdc_cli.codebook.engine import HERE, Engine
from embdc_cli.codebook.vector.clips import MAX_VALUES, Clip, read_clips
from embdc_cli.codebook.vector.hard import STEPS, code, total, unit_of
from embdc_cli.codebook.vector.keeping import arrays_of, model_of
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.model import Model
from embdc_cli.codebook.vector.refine import refine
from embdc_cli.codebook.vector.size import CODEWORDS, cheapest, fitting
from embdc_cli.codebook.vector.start import first_levels
from embdc_cli.codebook.vector.usage import in_use, usage_of
from embdc_cli.errors import MissingModel, SourceError
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

REFINE_STEPS: Final = 4
"""Six steps save 1.5 % of J on further rows of the clips trained on, three save nine tenths of that."""


@dataclass(frozen=True)
class VectorOptions:
    """refine: steps. init: a codebook to start from. max_bytes: of the file. seed: of everything random."""

    refine: int = REFINE_STEPS
    init: Codebook | None = None
    max_bytes: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Learnt:
    """report: `refinement`, `init` and `levels` of the document."""

    codebook: Codebook
    report: dict[str, Any]


def learn_levels(
    plain: Codebook,
    covariance: np.ndarray,
    train: Sequence[Tensor],
    heldout: Sequence[Tensor],
    loss: Loss,
    options: VectorOptions,
    reporter: Reporter,
    checkpoint: Checkpoint | None = None,
    engine: Engine = HERE,
) -> Learnt:
    """Levels for the basis of `plain`, which may turn it. covariance: (D, D) of the corpus.

    The start and every step of refinement are kept in `checkpoint`, and those found there are not learnt again.

    Raises: SourceError for too few tokens, MissingModel for a codebook of other channels to start from.
    """
    clips = read_clips(_sample(train, plain.channels, options.seed), engine)
    judges = read_clips(_sample(heldout, plain.channels, options.seed), engine) or clips
    checkpoint = checkpoint or Checkpoint()
    start = checkpoint.find("start") or arrays_of(model=_from_scratch(plain, covariance, clips, loss, options))
    afresh = model_of(start, "model")
    if not afresh.levels:
        tokens = sum(len(clip.tokens) for clip in clips)
        raise SourceError(f"train-codebook: {tokens} tokens, expected some thousands to learn codewords from")
    checkpoint.keep("start", start)
    refined = refine(afresh, clips, options.refine, loss, options.seed, reporter, checkpoint)
    model = refined.model
    report: dict[str, Any] = {"refinement": _refinement(refined.costs, afresh, model, judges, loss), "init": None}
    if options.init is not None:
        given = fitting(_from_codebook(options.init, plain, clips, options), options.max_bytes, _as(plain, covariance))
        moved = refine(
            given, clips, options.refine, loss, options.seed, reporter, checkpoint, "refinement from init"
        ).model
        with_init, without = (_outcome(one, judges, loss) for one in (moved, model))
        report["init"] = with_init | {f"{name}_without": value for name, value in without.items()}
        model = moved
    report["levels"] = usage_of(model, code(model, judges, unit_of(judges), loss))
    return Learnt(fitted_codebook(model, plain, covariance, options.max_bytes), report)


def fitted_codebook(model: Model, plain: Codebook, covariance: np.ndarray, max_bytes: int | None) -> Codebook:
    """In integers; codewords moved by refinement may take more bytes, so the limit is looked at once more."""
    as_codebook = _as(plain, covariance)
    return as_codebook(fitting(model, max_bytes, as_codebook))


def _as(plain: Codebook, covariance: np.ndarray) -> Callable[[Model], Codebook]:
    return lambda model: model.codebook(plain, covariance)


def _sample(tensors: Sequence[Tensor], channels: int, seed: int) -> list[tuple[Tensor, list[Chunk]]]:
    return sample_chunks(tensors, MAX_VALUES // channels, seed)


def _from_scratch(
    plain: Codebook, covariance: np.ndarray, clips: Sequence[Clip], loss: Loss, options: VectorOptions
) -> Model:
    bare = Model(Model.of(plain).basis, ())
    coefficients = np.concatenate([bare.coefficients(clip.tokens) for clip in clips])
    sizes = CODEWORDS[:1] if options.max_bytes is None else CODEWORDS
    models = [Model(bare.basis, tuple(first_levels(coefficients, options.seed, size))) for size in sizes]
    unit = unit_of(clips)
    models = [in_use(model, code(model, clips, unit, loss)) for model in models if model.levels] or [bare]
    models = [fitting(model, options.max_bytes, _as(plain, covariance)) for model in models]
    return cheapest([model for model in models if model.levels] or models[:1], clips, loss)


def _from_codebook(init: Codebook, plain: Codebook, clips: Sequence[Clip], options: VectorOptions) -> Model:
    """Basis and levels of another codebook; levels in its basis where it has none."""
    if init.channels != plain.channels:
        raise MissingModel(f"--init: made for {init.channels} channels, the embeddings have {plain.channels}")
    model = Model.of(init)
    if model.levels:
        return model
    coefficients = np.concatenate([model.coefficients(clip.tokens) for clip in clips])
    return Model(model.basis, tuple(first_levels(coefficients, options.seed)))


def _refinement(
    costs: list[float], before: Model, after: Model, judges: Sequence[Clip], loss: Loss
) -> dict[str, Any] | None:
    """Shares of J saved: on what was trained on, and on what was held out."""
    if not costs:
        return None
    unit = unit_of(judges)
    held = [total(code(model, judges, unit, loss)) for model in (before, after)]
    return {
        "steps": len(costs) - 1,
        "gain_trained": 1 - min(costs) / max(costs[0], 1e-300),
        "gain_heldout": 1 - held[1] / max(held[0], 1e-300),
    }


def _outcome(model: Model, judges: Sequence[Clip], loss: Loss) -> dict[str, float]:
    """Bits and error of the judges at the middle step, and both as bits: error at the price of a bit there."""
    coded = code(model, judges, unit_of(judges), loss, (STEPS[len(STEPS) // 2],))
    values = max(1, sum(chunk.size for clip in judges for chunk in clip.chunks))
    squares = sum(float(np.square(chunk, dtype=np.float64).sum()) for clip in judges for chunk in clip.chunks)
    return {
        "bits": sum(one.bits for one in coded) / values,
        "nmse": sum(one.error for one in coded) / max(squares, 1e-300),
        "cost": total(coded) / values,
    }
