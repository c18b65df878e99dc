"""Points of a trellis to bytes: each track of a mixture is one path through the states of dependent quantisation.

Codes here are points in half steps, so that they mean the same whatever path led to them (`entropy.dependent.points`).
Their levels go to the entropy coder, whose decoder follows the states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.entropy import dependent
from embdc_cli.entropy.dependent.points import levels_of
from embdc_cli.entropy.tables import Tables


@dataclass(frozen=True, eq=False)
class TrackPaths(Coder, SegmentStage):
    """mixture: whose points they are. tables: of the entropy coder, 64 x 16."""

    stage = StageId.TRACK_PATHS
    mixture: Mixture
    tables: Tables

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        chunk = self.mixture.chunk(side)
        return dependent.encode(levels_of(codes), chunk.classes, chunk.paths, self.tables)

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        chunk = self.mixture.chunk(side)
        levels, chosen = dependent.decode(data, chunk.classes, chunk.paths, self.tables, MAX_LEVEL - 1)
        return dependent.points_of(levels, chosen)

    def plane_bits(self, codes: np.ndarray, side: bytes) -> list[np.ndarray]:
        chunk = self.mixture.chunk(side)
        return self.mixture.by_plane(dependent.bits_of(levels_of(codes), chunk.classes, chunk.paths, self.tables), side)

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TrackPaths:
        if scope.mixture is None:
            raise fields.corrupt("track paths: expected a mixture before them")
        return cls(scope.mixture, scope.tables.paths)
