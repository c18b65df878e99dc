"""A bitstream of grey frames: the parameters that decide its bytes, and how coarse each quantiser is.

Frames are luma; chroma is flat, 4:2:0, since that is what hardware decodes. It costs nothing measurable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

STANDARDS: Final = ("h264", "hevc", "av1")
DEPTHS: Final = {"h264": 8, "hevc": 10, "av1": 10}
"""Bits of a sample: ten where hardware decodes ten, so that rounding to samples is not what limits quality."""
QUANTISERS: Final = {"h264": (1, 51), "hevc": (0, 51), "av1": (1, 63)}
"""Finest and coarsest; 0 of H.264 would be its lossless mode, and of SVT-AV1 the default."""
LEAST_SIDE: Final = 64
"""Smaller frames are refused by one or another encoder."""
SIDE_MULTIPLE: Final = 8
MOST_SIDE: Final = 4096
"""Width and height that every decoder takes; H.264 in hardware is the narrowest."""

KEY_INTERVAL: Final = 1 << 12
"""Frames: only the first one of a chunk is a key frame."""

_AV1_STEPS: Final = (
    (1, 1.8), (6, 8.9), (14, 23.1), (22, 36.9), (30, 60.2), (38, 108.0), (46, 186.0), (54, 330.0), (63, 700.0),
)  # fmt: skip
"""Square root of 12 times the squared error that SVT-AV1 makes of white noise at --crf, in samples of ten bits."""


@dataclass(frozen=True)
class Coding:
    """standard: one of STANDARDS. quantiser: its own unit, as in QUANTISERS. inter: frames are predicted from others.

    effort: 0..3, how hard the encoder searches.
    """

    standard: str
    quantiser: int
    inter: bool
    effort: int

    @property
    def depth(self) -> int:
        """Bits of a sample."""
        return DEPTHS[self.standard]


def step_of(standard: str, quantiser: int) -> float:
    """The quantisation step in samples.

    H.264 and H.265: 2^((q - 4) / 6) of 8-bit samples, a quarter of 10-bit ones. AV1: measured, for want of a formula.
    """
    if standard == "av1":
        at, steps = zip(*_AV1_STEPS, strict=True)
        return float(np.exp2(np.interp(quantiser, at, np.log2(steps))))
    return math.exp2((quantiser - 4) / 6 + DEPTHS[standard] - 8)
