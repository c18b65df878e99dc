"""Planes as tiles of one picture for each row, and channels coded so."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from peers.coder import Coder, Parts, Shape, grid
from peers.video import Video

_LEAST: Final = 64  # a side of a picture, for SVT-AV1
_MULTIPLE: Final = 8


def tiled(planes: np.ndarray) -> np.ndarray:
    """planes: (T, N, K), tokens in a grid by rows, to (T, H, W): a tile for each of K, edges repeated."""
    rows, tokens, count = planes.shape
    height, width = grid(tokens)
    down, across = _layout(count)
    whole = np.zeros((rows, tokens, down * across), planes.dtype)
    whole[..., :count] = planes
    whole[..., count:] = planes[..., -1:]
    frames = whole.reshape(rows, height, width, down, across).transpose(0, 3, 1, 4, 2)
    frames = frames.reshape(rows, down * height, across * width)
    more = [max(_LEAST, -(-side // _MULTIPLE) * _MULTIPLE) - side for side in frames.shape[1:]]
    return np.pad(frames, ((0, 0), (0, more[0]), (0, more[1])), mode="edge")


def untiled(frames: np.ndarray, tokens: int, count: int) -> np.ndarray:
    """(T, N, K) back."""
    height, width = grid(tokens)
    down, across = _layout(count)
    cut = frames[:, : down * height, : across * width].reshape(-1, down, height, across, width)
    return cut.transpose(0, 2, 4, 1, 3).reshape(-1, tokens, down * across)[..., :count]


def padded_height(tokens: int, count: int) -> int:
    """Of the pictures of `tiled`."""
    return max(_LEAST, -(-_layout(count)[0] * grid(tokens)[0] // _MULTIPLE) * _MULTIPLE)


def channels() -> Coder:
    """Channels as they are, 8 bits from the least to the greatest value of each, through x265. Setting: QP."""
    video = Video("hevc", depth=8)

    def encode(x: np.ndarray, quantiser: int) -> Parts:
        wide = x.astype(np.float32)
        low = wide.min(axis=(0, 1)).astype(np.float16)
        step = np.maximum((wide.max(axis=(0, 1)) - low) / 255, 1e-6).astype(np.float16)
        planes = np.rint((wide - low) / step.astype(np.float32)).clip(0, 255).astype(np.uint8)
        return video.encoded(tiled(planes), quantiser), low.tobytes(), step.tobytes()

    def decode(parts: Parts, shape: Shape, quantiser: int) -> np.ndarray:
        low, step = (np.frombuffer(part, np.float16).astype(np.float32) for part in parts[1:])
        frames = video.decoded(parts[0], padded_height(*shape[1:]))
        return untiled(frames, *shape[1:]).astype(np.float32) * step + low

    return Coder("x265 channels", (48, 42, 36, 30, 26, 22, 18, 14, 8), encode, decode)


def _layout(count: int) -> tuple[int, int]:
    """Tiles down and across."""
    across = math.ceil(math.sqrt(count))
    return -(-count // across), across
