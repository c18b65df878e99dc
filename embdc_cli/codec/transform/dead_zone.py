"""Uniform quantiser with a dead zone, and reconstruction points off the middle of each cell.

    q = sign(c) floor(|c| / step + theta),   theta = 0.36
    c' = sign(q) (|q| + offset[min(|q|, 3)]) step

theta < 1/2 widens the cell of zero, which rate-distortion pays for under a peaked density; the offsets are the
measured centroids of levels 1, 2 and 3 upwards, in 1/256 of a step.
Error: |c - c'| <= step (1 - theta + |offset|), as long as |c| / step < 2^30.
Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", IEEE T-IT 42, 1996.
Not here: rate-distortion optimised or trellis decisions; they are other encoders for these same codes.
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

THETA: Final = 0.36
OFFSET_UNIT: Final = 1 / 256
_STEPS: Final = (2.0**-120, 2.0**120)


@dataclass(frozen=True)
class DeadZone(Quantiser, SegmentStage):
    """step: > 0, in the units of the coefficients. offsets: of levels 1, 2 and 3 upwards, -64..64 in 1/256 step."""

    stage = StageId.DEAD_ZONE
    step: float
    offsets: tuple[int, int, int]

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        magnitudes = np.abs(x)
        magnitudes *= np.float32(1.0 / self.step)
        magnitudes += np.float32(THETA)
        # NaN (infinity minus infinity in a product that overflowed) compares false and becomes the limit as well
        if not magnitudes.max(initial=0.0) <= MAX_LEVEL:
            magnitudes = np.where(magnitudes <= MAX_LEVEL, magnitudes, np.float32(MAX_LEVEL))
        codes = magnitudes.astype(np.int32)
        np.negative(codes, out=codes, where=x < 0)
        return codes

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        magnitudes = np.abs(y)
        points = np.array([0, *self.offsets], np.float32) * np.float32(OFFSET_UNIT)
        x = points[np.minimum(magnitudes, 3)]
        x += magnitudes
        x *= np.float32(self.step)
        np.negative(x, out=x, where=y < 0)
        return x

    def write(self, out: FieldWriter) -> None:
        out.float64(self.step)
        for offset in self.offsets:
            out.signed_byte(offset)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> DeadZone:
        step = fields.float64()
        if not (math.isfinite(step) and _STEPS[0] <= step <= _STEPS[1]):
            raise fields.corrupt(f"quantisation step: expected {_STEPS[0]:g} to {_STEPS[1]:g}, found {step:g}")
        offsets = (fields.signed_byte(), fields.signed_byte(), fields.signed_byte())
        if max(map(abs, offsets)) > 64:
            raise fields.corrupt(f"reconstruction offsets: expected at most 64, found {offsets}")
        return cls(step, offsets)
