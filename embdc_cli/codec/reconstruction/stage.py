"""Runs the network of the codebook on decoded tokens (`network`); going forward it leaves them as they are.

It stands behind the stage that takes off the mean, so that it sees deviations. An archive keeps no more of it than what
the network has to be told: the step, how coarse that is, and how much of what it says is wanted.
x: (F, N, D) float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.reconstruction.network import Network
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.dead_zone import read_step
from embdc_cli.codec.transform.parameters import Scope, SegmentStage

FULL: Final = 16
"""Strengths are in units of a sixteenth."""
MAX_STRENGTH: Final = 2 * FULL


@dataclass(frozen=True, eq=False)
class Reconstruction(ArrayStage, SegmentStage):
    """network: of the codebook; None for a decoder that was asked to leave it out.

    step: of the quantiser. coarseness: -128..127, step over the rms of the segment's tokens, in quarter octaves.
    vector: whether the quantiser is one of vectors. strength: 1..32 sixteenths of what the network says.
    """

    stage = StageId.RECONSTRUCTION
    network: Network | None
    step: float
    coarseness: int
    vector: bool
    strength: int = FULL

    @classmethod
    def of(cls, network: Network, step: float, rms: float, *, vector: bool) -> Reconstruction:
        """At full strength. rms: > 0, of the centred tokens."""
        return cls(network, step, cls.coarseness_of(step, rms), vector)

    @staticmethod
    def coarseness_of(step: float, rms: float) -> int:
        """As a network gets it."""
        return int(np.clip(np.rint(4 * np.log2(step / rms)), -128, 127))

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return x

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        if self.network is None:
            return y
        return self.network.applied(y, self.step, self.coarseness, self.strength / FULL, vector=self.vector)

    def scaled(self, factor: float) -> Reconstruction:
        """For a quantiser whose step is `factor` times as large."""
        return replace(self, step=self.step * factor)

    def write(self, out: FieldWriter) -> None:
        """[f64] step, [i8] coarseness, [byte] vector, [byte] strength."""
        out.float64(self.step)
        out.signed_byte(self.coarseness)
        out.byte(int(self.vector))
        out.byte(self.strength)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Reconstruction:
        step = read_step(fields)
        coarseness = fields.signed_byte()
        vector = bool(fields.byte(limit=1))
        strength = fields.byte(limit=MAX_STRENGTH)
        if not strength:
            raise fields.corrupt(f"reconstruction: expected a strength of 1 to {MAX_STRENGTH}, found 0")
        network = None if scope.codebook is None else scope.codebook.network
        if network is None and scope.reconstructs:
            raise fields.corrupt("reconstruction: expected a codebook with a network")
        return cls(network if scope.reconstructs else None, step, coarseness, vector, strength)
