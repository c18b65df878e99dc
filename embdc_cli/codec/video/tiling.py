"""Where every sample lies in the frames: samples (F, N, r) to frames (T, H, W) and back.

    mosaic   tokens form a grid of h x w, and rows are time: frame t holds row t, a tile of h x w for every channel,
             tiles in raster order, so that the codec's motion and time are those of the video
    plane    a matrix of N lines and r columns for every row, which is time, cut into strips that stand side by side
             until a frame is about square; where that is less than a frame, one matrix of F N lines

Frames are padded on the right and at the bottom by their edge to multiples of 8 and at least 64.
Not here: tiles in the order of a space-filling curve, which neighbours of unlike statistics would not gain from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.video.stream import LEAST_SIDE, MOST_SIDE, SIDE_MULTIPLE


@dataclass(frozen=True)
class Tiling:
    """width: tokens in a row of the grid for a mosaic, 0 for a plane. shape: (F, N, r) of the samples."""

    width: int
    shape: tuple[int, int, int]

    @property
    def frames(self) -> tuple[int, int, int]:
        """(T, H, W), padded."""
        height, width = self.picture
        return self._parts[0], _padded(height), _padded(width)

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of a frame without its padding."""
        _, down, across, height, width = self._parts
        return down * height, across * width

    @property
    def fits(self) -> bool:
        """Whether every decoder takes frames of this size."""
        return max(self.frames[1:]) <= MOST_SIDE

    @property
    def _parts(self) -> tuple[int, int, int, int, int]:
        """(T, tiles or strips down, across, height and width of one)."""
        rows, tokens, channels = self.shape
        if self.width:
            height = tokens // self.width
            across = max(1, min(channels, round(math.sqrt(channels * height / self.width))))
            return rows, -(-channels // across), across, height, self.width
        lines = rows * tokens // self._matrices
        across = max(1, min(MOST_SIDE // max(1, channels), round(math.sqrt(lines / max(1, channels)))))
        count = -(-lines // (across * MOST_SIDE))
        return self._matrices * count, 1, across, -(-lines // (across * count)), channels

    @property
    def _matrices(self) -> int:
        """Of a plane: one for every row, or one of all."""
        rows, tokens, channels = self.shape
        return rows if tokens * channels >= LEAST_SIDE**2 else 1

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """Frames of samples (F, N, r)."""
        count, down, across, height, width = self._parts
        if self.width:
            tiles = np.zeros((count, down * across, height, width), samples.dtype)
            planes = samples.reshape(count, height, width, -1).transpose(0, 3, 1, 2)
            tiles[:, : planes.shape[1]] = planes
            tiles[:, planes.shape[1] :] = tiles[:, planes.shape[1] - 1 : planes.shape[1]]
            pictures = tiles.reshape(count, down, across, height, width).transpose(0, 1, 3, 2, 4)
        else:
            matrices = samples.reshape(self._matrices, -1, width)
            missing = count // self._matrices * across * height - matrices.shape[1]
            lines = np.pad(matrices, ((0, 0), (0, missing), (0, 0)), mode="edge")
            pictures = lines.reshape(count, 1, across, height, width).transpose(0, 1, 3, 2, 4)
        pictures = pictures.reshape(count, down * height, across * width)
        _, full_height, full_width = self.frames
        edges = ((0, 0), (0, full_height - pictures.shape[1]), (0, full_width - pictures.shape[2]))
        return np.pad(pictures, edges, mode="edge")

    def undo(self, frames: np.ndarray) -> np.ndarray:
        """The samples (F, N, r) of `frames`."""
        count, down, across, height, width = self._parts
        pictures = frames[:, : down * height, : across * width].reshape(count, down, height, across, width)
        if self.width:
            planes = pictures.transpose(0, 2, 4, 1, 3).reshape(count, height * width, down * across)
            return np.ascontiguousarray(planes[..., : self.shape[2]])
        lines = pictures.transpose(0, 1, 3, 2, 4).reshape(self._matrices, -1, width)
        kept = self.shape[0] * self.shape[1] // self._matrices
        return np.ascontiguousarray(lines[:, :kept].reshape(self.shape))


def _padded(side: int) -> int:
    return max(LEAST_SIDE, -(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE)
