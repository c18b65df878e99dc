"""The basis for given codes, in closed form under plain error: the rotation that brings decoded tokens nearest.

    max over orthonormal V of  trace V^T M,   M = sum of weight y'^T x + RIDGE |M| V,   solved by the polar factor of M

x: (n, D) centred tokens, y': (n, R) decoded coefficients. What no code reaches is left as it was by the ridge.
Source: Schoenemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31, 1966; Ge, He, Ke,
Sun, "Optimized product quantization", IEEE TPAMI 36, 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codebook.vector.hard import Coded, levels_sum
from embdc_cli.codebook.vector.model import Model, orthonormal

_RIDGE: Final = 1e-2


def rotated(model: Model, coded: Sequence[Coded], tokens: Sequence[np.ndarray]) -> Model:
    """tokens: (n, D) of each."""
    product = np.zeros(model.basis.shape)
    for one, x in zip(coded, tokens, strict=True):
        decoded = one.rest + levels_sum(model, one.codes)
        product += one.weight * (decoded.T @ x)
    ridge = _RIDGE * float(np.linalg.norm(product)) / np.sqrt(len(product))
    return Model(orthonormal(product + ridge * model.basis), model.levels)
