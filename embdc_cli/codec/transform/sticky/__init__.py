"""Uniform quantiser for sparse values that change seldom, each code chosen with a view to the ones around it.

    |x| / step -> q, one of 0 (below 3), floor - 1, floor, floor + 1;   x' = sign (q + offsets[min(q, 3), p, n]) step

where p and n say how |q| a row before and a row after compare with q. The choice minimises squared error + lambda bits
over each track of a chunk (`reference.py`): a code stays what it was as long as that is cheap, hence the name. The
offsets are the measured centroids, in 1/128 step: a value about to rise lies above the middle of its cell.
Error: |x - x'| < 4 step, as long as |x| / step < 2^30; the centroids and lambda keep most of it below one step.
Meant for maps after a ReLU; negative values keep their sign. x: (F, N, D) float32; codes int32.
Source: own; decisions as in rate-distortion optimised quantisation, Sullivan and Wiegand, IEEE SPM 15, 1998.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Quantiser
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.dead_zone import STEPS
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.codec.transform.time_context import MAX_WIDTH, classes_of, cost_of
from embdc_cli.codec.transform.time_context.model import COST_UNIT, static_model
from embdc_cli.entropy.backend import kernels

LAMBDA: Final = 0.3
"""Squared steps per bit; with a step to match, 0.15 to 0.65 give the same bits at equal error within 3 %."""
PASSES: Final = 3
OFFSET_UNIT: Final = 1 / 128
MAX_ERROR: Final = 4
"""In steps, for magnitudes within MAX_LEVEL."""

_KEEP: Final = 0.7
_ROUND: Final = 0.42
_OFFSETS: Final = (4, 3, 3)
_MAX_OFFSET: Final = 127


@dataclass(frozen=True, eq=False)
class Sticky(Quantiser, SegmentStage):
    """step: > 0. offsets: (4, 3, 3) int8, 0 for a zero between zeros. width: tokens in a row of their grid, >= 1."""

    stage = StageId.STICKY
    step: float
    offsets: np.ndarray
    width: int

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        values = in_steps(x, self.step)
        magnitudes = start(values)
        for _ in range(PASSES):
            improve(values, magnitudes, self.offsets, self.width)
        return np.where(x < 0, -magnitudes, magnitudes)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        offsets = self.offsets.astype(np.float32) * np.float32(OFFSET_UNIT)
        return np.asarray(kernels(__name__).points(y, offsets, self.step))

    def write(self, out: FieldWriter) -> None:
        out.float64(self.step)
        for offset in self.offsets.ravel().tolist():
            out.signed_byte(offset)
        out.varint(self.width)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Sticky:
        step = fields.float64()
        if not (math.isfinite(step) and STEPS[0] <= step <= STEPS[1]):
            raise fields.corrupt(f"quantisation step: expected {STEPS[0]:g} to {STEPS[1]:g}, found {step:g}")
        offsets = np.array([fields.signed_byte() for _ in range(math.prod(_OFFSETS))], np.int8).reshape(_OFFSETS)
        if offsets.min() < -_MAX_OFFSET or offsets[0, 1, 1] != 0:
            raise fields.corrupt("reconstruction offsets: expected at most 127, and 0 for a zero between zeros")
        width = fields.varint(limit=MAX_WIDTH)
        if width == 0:
            raise fields.corrupt("width of the token grid: expected at least 1, found 0")
        return cls(step, offsets, width)


def in_steps(x: np.ndarray, step: float) -> np.ndarray:
    """|x| / step, float32, within MAX_LEVEL; NaN gives 0."""
    with np.errstate(over="ignore"):
        values = np.abs(x * np.float32(1.0 / step))
    if not values.max(initial=0.0) < MAX_LEVEL:
        # floats next to 2^30 are 64 apart, and a code may be one above its value
        values = np.minimum(np.nan_to_num(values), np.float32(MAX_LEVEL - 64))
    return np.ascontiguousarray(values)


def start(values: np.ndarray) -> np.ndarray:
    """Codes (F, N, D) int32 to improve upon: each stays what it was while within 0.7 step, but an exact 0 is a 0."""
    magnitudes = (values + np.float32(_ROUND)).astype(np.int32)
    for before, now, v in zip(magnitudes, magnitudes[1:], values[1:], strict=False):
        kept = (np.abs(v - before) < _KEEP) & ((v > 0) | (before == 0))
        now[kept] = before[kept]
    return magnitudes


def improve(
    values: np.ndarray, magnitudes: np.ndarray, offsets: np.ndarray, width: int, lagrangian: float = LAMBDA
) -> None:
    """One pass over `magnitudes` (F, N, D) int32, in place. values: (F, N, D) of `in_steps`; offsets: in 1/128."""
    if magnitudes.size:
        kernels(__name__).refine(
            values,
            magnitudes,
            width,
            classes_of(magnitudes),
            cost_of(magnitudes, width),
            offsets.astype(np.float64) * OFFSET_UNIT,
            lagrangian / COST_UNIT,
            static_model(),
        )


def centroids(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(4, 3, 3) int8 offsets, of sums of v - q and their numbers as the kernel `centroid_sums` gives them."""
    means = np.divide(sums, numbers, out=np.zeros(_OFFSETS), where=numbers > 0)
    means[0, 1, 1] = 0.0
    return np.asarray(np.clip(np.rint(means / OFFSET_UNIT), -_MAX_OFFSET, _MAX_OFFSET), np.int8)
