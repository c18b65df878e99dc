"""Triangular equations in numpy: the definition of what `cpu.py` compiles."""

from __future__ import annotations

import numpy as np


def solve(gram: np.ndarray, right: np.ndarray) -> None:
    """Puts X in place of `right` (r, r) float64, upper triangular, where (striu(gram) + diag(gram) / 2) X = right.

    gram: (r, r) float64; nothing on its diagonal is 0.
    """
    for i in reversed(range(len(right))):
        right[i, i:] *= 2 / gram[i, i]
        right[:i, i:] -= np.multiply.outer(gram[:i, i], right[i, i:])
