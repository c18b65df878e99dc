"""Codes of a mixture to bytes, each under its class (`motion`): levels of the entropy coder in the order of `stage`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.entropy.levels import bits_of_levels, decode_levels, encode_levels
from embdc_cli.entropy.tables import Tables


@dataclass(frozen=True, eq=False)
class TrackPlanes(Coder, SegmentStage):
    """mixture: whose codes they are. tables: of the entropy coder."""

    stage = StageId.TRACK_PLANES
    mixture: Mixture
    tables: Tables

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        return encode_levels(codes, self.mixture.chunk(side).classes, self.tables)

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        return decode_levels(data, self.mixture.chunk(side).classes, self.tables, MAX_LEVEL)

    def plane_bits(self, codes: np.ndarray, side: bytes) -> list[np.ndarray]:
        return self.mixture.by_plane(bits_of_levels(codes, self.mixture.chunk(side).classes, self.tables), side)

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TrackPlanes:
        if scope.mixture is None:
            raise fields.corrupt("track planes: expected a mixture before them")
        return cls(scope.mixture, scope.tables.rounded)
