"""KLT under an arbitrary metric between channels: basis vectors need not be orthogonal, so each is sent in full.

Row i of the synthesis S (r, D) is integers in units of 2^e_i. The encoder analyses with the least-squares solution in
the metric R of the weighting (embdc(1), --weighting), A = R S^T (S R S^T)^-1, so that what S cannot represent costs as
little as possible under R; the decoder needs S alone. x: (F, N, D) float32 -> (F, N, r).
Not here: the orthonormal basis of plain error, which `klt` codes in fewer bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.basis import Basis, entry_class, read_exponents, write_exponents
from embdc_cli.codec.transform.parameters import Scope, check_room, read_levels, write_levels
from embdc_cli.entropy.tables import entry_tables


@dataclass(frozen=True, eq=False)
class FreeKlt(Basis):
    """codes: (r, D) int32. exponents: (r,) never falling. metric: (D, D) float64, None for plain error."""

    stage = StageId.FREE_KLT
    codes: np.ndarray
    exponents: np.ndarray
    metric: np.ndarray | None

    @classmethod
    def fit(cls, vectors: np.ndarray, exponents: np.ndarray, metric: np.ndarray | None) -> FreeKlt:
        """The stage for rows `vectors` (r, D) float64, each at the precision 2^exponents[i]."""
        return cls(np.rint(np.ldexp(vectors, -exponents[:, None])).astype(np.int32), exponents, metric)

    @cached_property
    def synthesis(self) -> np.ndarray:
        return np.asarray(np.ldexp(self.codes.astype(np.float64), self.exponents[:, None]).astype(np.float32))

    @cached_property
    def analysis(self) -> np.ndarray:
        return least_squares(self.synthesis.astype(np.float64), self.metric)

    def write(self, out: FieldWriter) -> None:
        write_exponents(out, self.exponents)
        channels = self.codes.shape[1]
        write_levels(out, self.codes.ravel(), np.repeat(_classes(self.exponents, channels), channels), entry_tables())

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> FreeKlt:
        channels = scope.channels
        exponents = read_exponents(fields, scope)
        classes = _classes(exponents, channels)
        check_room(fields, classes, channels, entry_tables())
        codes = read_levels(fields, np.repeat(classes, channels), entry_tables())
        return cls(codes.reshape(len(exponents), channels), exponents, scope.metric)


def least_squares(synthesis: np.ndarray, metric: np.ndarray | None) -> np.ndarray:
    """(D, r) float32: the analysis whose coefficients give the smallest error in `metric` for rows (r, D) float64."""
    if metric is None:
        return np.ascontiguousarray(np.linalg.pinv(synthesis), dtype=np.float32)
    weighted = synthesis @ metric
    return np.ascontiguousarray((np.linalg.pinv(weighted @ synthesis.T) @ weighted).T, dtype=np.float32)


def _classes(exponents: np.ndarray, channels: int) -> np.ndarray:
    """(r,) uint8, of the vectors."""
    return np.array([entry_class(int(e), channels) for e in exponents], np.uint8)
