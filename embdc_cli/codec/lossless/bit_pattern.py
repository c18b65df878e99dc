"""Elements as unsigned integers, exactly: the bits of integers and floats as they are stored.

array (F, N, D) of any storage dtype -> codes (F, N, D) of the unsigned type of the same width. Error: none; NaN
payloads, -0.0 and subnormals are bit patterns like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec.stage import Quantiser
from embdc_cli.codec.table import StageId


@dataclass(frozen=True)
class BitPattern(Quantiser):
    """dtype: name of the element type."""

    stage = StageId.BIT_PATTERN
    dtype: str

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return x.view(f"<u{x.dtype.itemsize}")

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return y.view(dtypes.storage(self.dtype))
