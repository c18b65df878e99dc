"""Dependent quantisation of a mixture's coefficients: each track takes the path that costs least.

    points of a path: even half steps under quantiser 0, odd ones and 0 under quantiser 1; the parity of each level
    moves the state, the state says which quantiser comes next (`embdc_cli.codec.transform.trellis`)

Codes are points in half steps. Both quantisers together are twice as fine as either alone, which alone is what a level
costs: 1 dB at equal rate where rates are high. Error: none is promised for a single coefficient; on average that of a
scalar quantiser of 1.2 half steps and more.
Source: Schwarz et al., "Quantization and entropy coding in the versatile video coding (VVC) standard", IEEE TCSVT 31,
2021; Marcellin and Fischer, "Trellis coded quantization of memoryless and Gauss-Markov sources", IEEE T-COM 38, 1990.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Quantiser
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform import trellis
from embdc_cli.codec.transform.dead_zone import read_step
from embdc_cli.codec.transform.mixture.entries import LAGRANGIAN
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.parameters import Scope, SegmentStage
from embdc_cli.codec.transform.points import reconstruct
from embdc_cli.entropy import dependent
from embdc_cli.entropy.tables import Tables

CENTROIDS: Final = np.array([0.0, 0.065, -0.02, -0.02], np.float32)
"""Where values lie beside points 1, 2 and 3 upwards, in half steps. By class would save 0.1 % more bits."""


@dataclass(frozen=True)
class TrellisPoints(Quantiser, SegmentStage):
    """step: D', a half step. mixture: whose coefficients they are. tables: of the entropy coder, 64 x 16."""

    stage = StageId.TRELLIS
    step: float
    mixture: Mixture
    tables: Tables

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        chunk = self.mixture.chunk(side)
        with np.errstate(over="ignore"):
            scaled = x * np.float32(1.0 / self.step)
        levels = trellis.choose(scaled, chunk.classes, chunk.paths, LAGRANGIAN, self.tables)
        return dependent.path_points(levels, chunk.classes, chunk.paths, self.tables)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return reconstruct(y, self.points_of)

    def points_of(self, codes: np.ndarray) -> np.ndarray:
        """Reconstruction points float32 of codes."""
        magnitudes = np.abs(codes)
        moved = magnitudes + CENTROIDS[np.minimum(magnitudes, 3)]
        return np.asarray(np.copysign(moved, codes).astype(np.float32) * np.float32(self.step))

    def write(self, out: FieldWriter) -> None:
        out.float64(self.step)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TrellisPoints:
        step = read_step(fields)
        if scope.mixture is None:
            raise fields.corrupt("trellis: expected a mixture before it")
        return cls(step, scope.mixture, scope.tables.paths)
