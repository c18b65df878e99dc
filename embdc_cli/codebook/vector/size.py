"""How many vectors, levels and codewords a size limit allows.

Vectors first, up to VECTOR_SHARE of the limit: without them there is nothing for levels to work in. Then as many
levels as fit, of as many codewords each as makes the corpus cheapest to code (`hard`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.vector.clips import Clip
from embdc_cli.codebook.vector.hard import code, total, unit_of
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.model import Model

VECTOR_SHARE: Final = 0.5
CODEWORDS: Final = (256, 64, 16)


def fitting(model: Model, max_bytes: int | None, as_codebook: Callable[[Model], Codebook]) -> Model:
    """The model with as many of its first levels as fit; all of them without a limit."""
    if max_bytes is None:
        return model
    low, high = 0, len(model.levels) + 1
    while high - low > 1:
        count = (low + high) // 2
        if len(as_codebook(Model(model.basis, model.levels[:count])).file_bytes) <= max_bytes:
            low = count
        else:
            high = count
    return Model(model.basis, model.levels[:low])


def cheapest(models: Sequence[Model], clips: Sequence[Clip], loss: Loss) -> Model:
    """The one by which clips cost least; the first of equals."""
    if len(models) == 1:
        return models[0]
    unit = unit_of(clips)
    costs = [total(code(model, clips, unit, loss)) for model in models]
    return models[int(np.argmin(costs))]
