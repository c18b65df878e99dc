"""Rounding to float16, in numpy: the definition of what `cpu.py` compiles."""

from __future__ import annotations

import numpy as np

LARGEST = np.float32(65504)


def narrow(values: np.ndarray) -> np.ndarray | None:
    """(n,) float16 nearest to values (n,) float32, ties to even; None when one is NaN or beyond +-LARGEST."""
    # of a NaN both are NaN, which compares false
    if not (values.min(initial=0.0) >= -LARGEST and values.max(initial=0.0) <= LARGEST):
        return None
    return values.astype(np.float16)
