"""The pictures that a video codec would be given: the sample tiled by `codec.video.tiling`, less its padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.video.tiling import Tiling
from embdc_cli.distribution.sample import Sample


@dataclass(frozen=True)
class Planes:
    """tiling: `mosaic`, a tile for every channel, where tokens form a grid; else `plane`, a line for every token.

    frames: (T, H, W) float32, of values less the mean of their channel.
    """

    tiling: str
    frames: np.ndarray


def planes(sample: Sample) -> Planes | None:
    """The planes of a sample; None where it has no values. Where a mosaic would be too large for a decoder: a plane."""
    if not sample.values.size:
        return None
    runs, rows, tokens, channels = sample.values.shape
    shape = (runs * rows, tokens, channels)
    tiling = Tiling(sample.width, shape)
    if not tiling.fits:
        tiling = Tiling(0, shape)
    height, width = tiling.picture
    frames = tiling.apply(sample.centred.reshape(shape))[:, :height, :width]
    return Planes("mosaic" if tiling.width else "plane", frames)
