"""Values of known statistics, and how they are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from embdc_cli.distribution.describe import describe
from embdc_cli.distribution.sample import Sample, draw
from embdc_cli.options import EncodeOptions
from embdc_cli.source.array import open_arrays


def sample_of(x: Any, **reading: Any) -> Sample:
    """The sample of an array, or of a list of matrices."""
    return draw(open_arrays(x, EncodeOptions(**reading)).tensors[0])


def described(x: Any, **reading: Any) -> dict[str, Any]:
    """All that is said of an array."""
    return describe("x", open_arrays(x, EncodeOptions(**reading)).tensors[0], None)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """White and Gaussian, float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def walk(x: np.ndarray, rho: float, axis: int) -> np.ndarray:
    """White noise `x` made AR(1) of variance 1 along an axis."""
    y = np.moveaxis(x.astype(np.float64), axis, 0)
    for t in range(1, len(y)):
        y[t] = rho * y[t - 1] + np.sqrt(1 - rho**2) * y[t]
    return np.moveaxis(y, 0, axis).astype(np.float32)
