"""Byte i of every element next to each other: (a, b, c) of w bytes -> (w, a, b, c) uint8, lowest byte first, exactly.

Signs and exponents of floats are nearly the same from element to element, mantissas are noise: apart, a compressor
can use the first and leave the second alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.stage import CodeStage, Shape
from embdc_cli.codec.table import StageId


@dataclass(frozen=True)
class BytePlanes(CodeStage):
    """width: bytes per element."""

    stage = StageId.BYTE_PLANES
    width: int

    def shape(self, shape: Shape, side: bytes) -> Shape:
        return (self.width, *shape)

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        bytes_last = np.ascontiguousarray(x)[..., None].view(np.uint8)
        return np.ascontiguousarray(np.moveaxis(bytes_last, -1, 0))

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        bytes_last = np.ascontiguousarray(np.moveaxis(y, 0, -1))
        return bytes_last.view(f"<u{self.width}")[..., 0]
