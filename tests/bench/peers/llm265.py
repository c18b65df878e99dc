"""Rows as pictures of tokens by channels, through x265 in 8 bits.

Source: Xu et al., "LLM.265: video codecs are secretly tensor codecs", MICRO 2025. Here for embeddings: a picture for
each row of the dump; `inter` predicts them from each other, `rotated` turns channels by Hadamard matrices before.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from peers.coder import Coder, Parts, Shape
from peers.video import Video

_SIDE: Final = 64  # of the Hadamard matrices, and the least side of a picture
_MIDDLE: Final = 128
_MULTIPLE: Final = 8


def rows_as_pictures(variant: str) -> Coder:
    """variant: `intra`, `inter`, `rotated intra` or `rotated inter`. Setting: QP. A float16 scale for each row."""
    rotated = variant.startswith("rotated")
    video = Video("hevc", depth=8, inter=variant.endswith("inter"))

    def encode(x: np.ndarray, quantiser: int) -> Parts:
        values = _rotated(x) if rotated else x
        scale = (np.abs(values).max(axis=(1, 2)) / (_MIDDLE - 1)).astype(np.float16)
        scale[scale == 0] = 1
        codes = np.rint(values / scale[:, None, None].astype(np.float32)) + _MIDDLE
        more = [max(_SIDE, -(-side // _MULTIPLE) * _MULTIPLE) - side for side in x.shape[1:]]
        frames = np.pad(codes.clip(0, 255).astype(np.uint8), ((0, 0), (0, more[0]), (0, more[1])), mode="edge")
        return video.encoded(frames, quantiser), scale.tobytes()

    def decode(parts: Parts, shape: Shape, quantiser: int) -> np.ndarray:
        frames = video.decoded(parts[0], max(_SIDE, -(-shape[1] // _MULTIPLE) * _MULTIPLE))
        scale = np.frombuffer(parts[1], np.float16).astype(np.float32)
        values = (frames[:, : shape[1], : shape[2]].astype(np.float32) - _MIDDLE) * scale[:, None, None]
        return _rotated(values) if rotated else values

    return Coder(f"llm265 {variant}", (46, 42, 38, 34, 30, 26, 22, 18, 14, 10, 6, 2), encode, decode)


def _rotated(x: np.ndarray) -> np.ndarray:
    """Each whole run of channels times the Hadamard matrix, which is its own inverse."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < _SIDE:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    whole = x.shape[-1] // _SIDE * _SIDE
    runs = x[..., :whole].reshape(*x.shape[:-1], -1, _SIDE) @ (matrix / np.sqrt(np.float32(_SIDE)))
    return np.concatenate([runs.reshape(*x.shape[:-1], whole), x[..., whole:]], axis=-1)
