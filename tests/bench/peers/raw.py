"""The dump itself through zstd: nothing is lost, and little won."""

from __future__ import annotations

import numpy as np

from peers.coder import Coder, Parts, Shape, packed, unpacked


def zstd() -> Coder:
    """float16 through zstd. Setting: its level."""

    def encode(x: np.ndarray, level: int) -> Parts:
        return (packed(x.astype(np.float16).tobytes(), level),)

    def decode(parts: Parts, shape: Shape, level: int) -> np.ndarray:
        return np.frombuffer(unpacked(parts[0]), np.float16).reshape(shape)

    return Coder("fp16-zstd", (19,), encode, decode, as_is=True)
