"""Models as arrays and back: what a checkpoint keeps of refinement.

Every bit is kept, but not the order of axes in memory, on which the last bits of matrix products depend. So a training
goes on with what `model_of` gives, whether it was stopped or not.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.codebook.checkpoint import Arrays
from embdc_cli.codebook.vector.model import FloatLevel, Model


def arrays_of(**models: Model) -> dict[str, np.ndarray]:
    """Of one or several models, by name."""
    found: dict[str, np.ndarray] = {}
    for name, model in models.items():
        found[f"{name}.basis"] = np.ascontiguousarray(model.basis)
        for number, level in enumerate(model.levels):
            found[f"{name}.{number}.channels"] = level.channels
            found[f"{name}.{number}.centres"] = np.ascontiguousarray(level.centres)
    return found


def model_of(arrays: Arrays, name: str) -> Model:
    """The model of that name."""
    count = sum(key.startswith(f"{name}.") and key.endswith(".centres") for key in arrays)
    levels = (FloatLevel(arrays[f"{name}.{n}.channels"], arrays[f"{name}.{n}.centres"]) for n in range(count))
    return Model(arrays[f"{name}.basis"], tuple(levels))
