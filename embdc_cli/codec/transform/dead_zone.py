"""Uniform quantiser with a dead zone, and reconstruction points off the middle of each cell.

    q = sign(c) floor(|c| / step + theta),   theta = 1/4
    c' = sign(q) (|q| + offset[min(|q|, 3)]) step

theta < 1/2 widens the cell of zero, which rate-distortion pays for under a peaked density; the offsets are the
measured centroids of levels 1, 2 and 3 upwards, in 1/256 of a step.
Error: |c - c'| <= step (1 - theta + |offset|), as long as |c| / step < 2^30.
Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", IEEE T-IT 42, 1996.
Not here: decisions by rate, which are another encoder for these same codes (`mixture.rate_rounding`), and trellises,
whose codes mean other points (`mixture.trellis_points`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Quantiser
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.codec.transform.points import reconstruct

THETA: Final = 0.25
"""Of the encoder alone; 0.36 costs 0.3 to 2.5 % more bits at equal error (five dumps, nmse 0.03 to 0.1), mostly 1 %."""
OFFSET_UNIT: Final = 1 / 256
_MAX_OFFSET: Final = 127  # just below half a step
STEPS: Final = (2.0**-120, 2.0**120)
"""Least and greatest step: it and its reciprocal are ordinary float32 numbers."""


@dataclass(frozen=True)
class DeadZone(Quantiser, SegmentStage):
    """step: > 0, in the units of the coefficients. offsets: of levels 1, 2 and 3 upwards, -127..127 in 1/256 step."""

    stage = StageId.DEAD_ZONE
    step: float
    offsets: tuple[int, int, int]

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        with np.errstate(over="ignore"):  # limited below
            scaled = x * np.float32(1.0 / self.step)
            scaled += np.copysign(np.float32(THETA), scaled)
        # NaN (infinity minus infinity in a product that overflowed) compares false as well
        if not (scaled.max(initial=0.0) <= MAX_LEVEL and scaled.min(initial=0.0) >= -MAX_LEVEL):
            scaled = np.clip(np.nan_to_num(scaled), -MAX_LEVEL, MAX_LEVEL)
        codes: np.ndarray = scaled.astype(np.int32)  # towards zero, which is the floor of the magnitude
        return codes

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return reconstruct(y, self.points_of)

    def points_of(self, codes: np.ndarray) -> np.ndarray:
        """Reconstruction points float32 of codes."""
        magnitudes = np.abs(codes)
        shifts = np.array([0, *self.offsets], np.float32) * np.float32(OFFSET_UNIT)
        points = (magnitudes + shifts[np.minimum(magnitudes, 3)]) * np.float32(self.step)
        return np.asarray(np.copysign(points, codes).astype(np.float32))

    def write(self, out: FieldWriter) -> None:
        out.float64(self.step)
        for offset in self.offsets:
            out.signed_byte(offset)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> DeadZone:
        step = read_step(fields)
        offsets = (fields.signed_byte(), fields.signed_byte(), fields.signed_byte())
        if min(offsets) < -_MAX_OFFSET:
            raise fields.corrupt(f"reconstruction offsets: expected at least {-_MAX_OFFSET}, found {offsets}")
        return cls(step, offsets)


def read_step(fields: FieldReader) -> float:
    """A quantisation step. Raises CorruptArchive when it is not within STEPS."""
    step = fields.float64()
    if not (math.isfinite(step) and STEPS[0] <= step <= STEPS[1]):
        raise fields.corrupt(f"quantisation step: expected {STEPS[0]:g} to {STEPS[1]:g}, found {step:g}")
    return step
