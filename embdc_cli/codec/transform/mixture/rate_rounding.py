"""Rounding decided by rate: a dead-zone quantiser whose cells are as wide as the bits of each level make them.

    q = argmin (|c| / step - point_q)^2 + LAMBDA bits(q, class)

Codes and points are those of `dead_zone`; an encoder that knows the class of every code just chooses better.
Error: |c - c'| <= step (1/2 + LAMBDA bits of the level left for a lower one), so sparse classes have wide dead zones.
Source: Sullivan and Wiegand, "Rate-distortion optimization for video compression", IEEE SPM 15, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embdc_cli.codec.fields import FieldReader
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform import rdoq
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.parameters import Scope
from embdc_cli.entropy.tables import Tables


@dataclass(frozen=True)
class RateRounding(DeadZone):
    """mixture: whose coefficients they are. tables: of the entropy coder."""

    stage = StageId.RATE_ROUNDING
    mixture: Mixture
    tables: Tables

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        with np.errstate(over="ignore"):
            scaled = x * np.float32(1.0 / self.step)
        return rdoq.quantise(scaled, self.mixture.chunk(side).classes, self.thresholds)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """(64, K) float32, as of `rdoq.thresholds`."""
        return rdoq.thresholds(LAMBDA, self.offsets, self.tables)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> RateRounding:
        plain = DeadZone.read(fields, scope)
        if scope.mixture is None:
            raise fields.corrupt("rounding by rate: expected a mixture before it")
        return cls(plain.step, plain.offsets, scope.mixture, scope.tables.rounded)
