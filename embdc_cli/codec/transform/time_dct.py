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
COLUMNS: Final = 4096
"""Columns of a product, so that what it gives is written while it is in the cache: half the time of a product of all,
whose rows lie whole powers of two apart.
"""


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
        return self._apply(x, np.empty_like(x), transposed=False)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        """Writes over `y`, which is as large as the chunk and which nobody but the chain holds."""
        return self._apply(y, y, transposed=True)

    def _apply(self, x: np.ndarray, out: np.ndarray, *, transposed: bool) -> np.ndarray:
        columns = x.shape[1] * x.shape[2]
        for start in range(0, len(x), self.group):
            part = slice(start, start + self.group)
            length = len(x[part])
            c = matrix(length).T if transposed else matrix(length)
            flat, into = x[part].reshape(length, columns), out[part].reshape(length, columns)
            for first in range(0, columns, COLUMNS):
                into[:, first : first + COLUMNS] = c @ flat[:, first : first + COLUMNS]
        return out

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TimeDct:
        return cls(scope.group)
