"""Codes to the values that they stand for, by a table of those of small codes: one pass over a chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from embdc_cli.entropy.backend import kernels

LARGEST: Final = 1 << 12
"""Magnitude of a code that the table has a place for, which then stays in the processor's caches."""


def reconstruct(codes: np.ndarray, points_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """points_of(codes), float32 of the shape of codes (..) int32 within +-2^30.

    points_of: elementwise, int32 to float32.
    """
    table = points_of(np.arange(-LARGEST, LARGEST + 1, dtype=np.int32))
    values = kernels(__name__).look_up(np.require(codes, np.int32, ("C", "A")).reshape(-1), table)
    return points_of(codes) if values is None else np.asarray(values).reshape(codes.shape)
