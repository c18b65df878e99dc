"""KLT whose basis is the first r vectors of a codebook, named by digest in the models; no basis bytes in the archive.

The codebook's vectors are integers, of unit length and orthogonal only within their rounding, so the analysis is the
pseudo-inverse. x: (F, N, D) float32 -> (F, N, r).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import Codebook, StageId
from embdc_cli.codec.transform.basis import Basis
from embdc_cli.codec.transform.free_klt import least_squares
from embdc_cli.codec.transform.parameters import Scope


@dataclass(frozen=True, eq=False)
class CodebookKlt(Basis):
    """rank: how many of the codebook's vectors are used."""

    stage = StageId.CODEBOOK_KLT
    codebook: Codebook
    rank: int

    @cached_property
    def synthesis(self) -> np.ndarray:
        return np.ascontiguousarray(self.codebook.vectors()[: self.rank], dtype=np.float32)

    @cached_property
    def analysis(self) -> np.ndarray:
        return least_squares(self.codebook.vectors()[: self.rank], None)

    def write(self, out: FieldWriter) -> None:
        out.varint(self.rank)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> CodebookKlt:
        if scope.codebook is None or scope.codebook.channels != scope.channels:
            raise fields.corrupt(f"basis: expected a codebook of {scope.channels} channels")
        rank = fields.varint(limit=min(scope.codebook.rank, scope.limits.max_rank))
        scope.channels = rank
        return cls(scope.codebook, rank)
