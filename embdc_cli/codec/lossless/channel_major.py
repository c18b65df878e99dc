"""Values of one channel next to each other: (F, N, D) -> (D, N, F), exactly.

A channel of one token over time changes little, and all values of a channel share sign and exponent patterns, which a
byte compressor only sees when they are neighbours: 5 to 12 % of byte planes on video, 44 % on a ReLU map, nothing on
unrelated images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.stage import CodeStage, Shape
from embdc_cli.codec.table import StageId


@dataclass(frozen=True)
class ChannelMajor(CodeStage):
    """No parameters; its own inverse."""

    stage = StageId.CHANNEL_MAJOR

    def shape(self, shape: Shape, side: bytes) -> Shape:
        return shape[::-1]

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return np.ascontiguousarray(x.transpose(2, 1, 0))

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return np.ascontiguousarray(y.transpose(2, 1, 0))
