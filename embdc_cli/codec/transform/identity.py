"""The identity basis: channels are coded as they are.

Right for maps after a ReLU, whose exact zeros any mixing of channels would destroy, and wherever there are too few
tokens to pay for a basis (D > n / 2, about). x: (F, N, D) float32 -> the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import Scope, SegmentStage


@dataclass(frozen=True)
class Identity(ArrayStage, SegmentStage):
    """No parameters."""

    stage = StageId.IDENTITY

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return x

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return y

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Identity:
        return cls()
