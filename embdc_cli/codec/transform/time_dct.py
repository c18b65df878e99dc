"""Orthonormal DCT-II along time within groups of G rows.

    y[k] = c_k sum_t x[t] cos(pi (2 t + 1) k / (2 G)),   c_0 = sqrt(1 / G), c_k = sqrt(2 / G)

Groups start at the first row of a chunk; the last group of a chunk may be shorter and is transformed at its own
length. x: (F, N, r) float32 -> the same shape, row t of a group holding frequency t.
Source: Ahmed, Natarajan, Rao, "Discrete Cosine Transform", IEEE Trans. Computers C-23, 1974. Not here: prediction from
earlier rows, which lost to this transform in every measurement because it predicts from quantisation noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import Scope, SegmentStage

GROUPS: Final = (1, 8, 16, 32, 64)
"""Group lengths that an encoder chooses from; 1 is no transform."""


@cache
def matrix(length: int) -> np.ndarray:
    """(length, length) float32, row k is basis function k."""
    k, t = np.mgrid[0:length, 0:length]
    c = np.cos(np.pi * (2 * t + 1) * k / (2 * length)) * np.sqrt(2.0 / length)
    c[0] = np.sqrt(1.0 / length)
    out: np.ndarray = c.astype(np.float32)
    out.flags.writeable = False
    return out


@dataclass(frozen=True)
class TimeDct(ArrayStage, SegmentStage):
    """group: rows in a full group."""

    stage = StageId.TIME_DCT
    group: int

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return self._apply(x, transposed=False)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return self._apply(y, transposed=True)

    def _apply(self, x: np.ndarray, *, transposed: bool) -> np.ndarray:
        rows, tokens, channels = x.shape
        whole = rows - rows % self.group
        flat = x.reshape(rows, tokens * channels)
        y = np.empty_like(flat)
        for start, stop, length in ((0, whole, self.group), (whole, rows, rows - whole)):
            if start < stop:
                c = matrix(length).T if transposed else matrix(length)
                grouped = flat[start:stop].reshape((stop - start) // length, length, flat.shape[1])
                np.matmul(c, grouped, out=y[start:stop].reshape(grouped.shape))
        return y.reshape(x.shape)

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TimeDct:
        return cls(scope.group)
