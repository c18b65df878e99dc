"""Round to nearest: every value in a few bits between the least and the greatest of its token or channel; zstd -19."""

from __future__ import annotations

import numpy as np

from peers.coder import Coder, Parts, Shape, packed, unpacked


def rounding(along: str) -> Coder:
    """along: what has a range of its own, `token` or `channel`. Setting: bits.

    q = round((x - low) / step), step = (high - low) / (2^bits - 1); low and step in float16, codes channel by channel.
    """
    axis = {"token": 1, "channel": 0}[along]

    def encode(x: np.ndarray, bits: int) -> Parts:
        tokens = x.reshape(-1, x.shape[-1]).astype(np.float32)
        levels = (1 << bits) - 1
        low = tokens.min(axis=axis, keepdims=True).astype(np.float16)
        step = ((tokens.max(axis=axis, keepdims=True) - low) / levels).astype(np.float16)
        step[step == 0] = 1
        codes = np.rint((tokens - low) / step.astype(np.float32)).clip(0, levels).astype(np.uint8)
        return packed(codes.T.tobytes()), low.tobytes(), step.tobytes()

    def decode(parts: Parts, shape: Shape, bits: int) -> np.ndarray:
        codes = np.frombuffer(unpacked(parts[0]), np.uint8).reshape(shape[-1], -1).T
        low, step = (np.frombuffer(part, np.float16).astype(np.float32) for part in parts[1:])
        if along == "token":
            low, step = low[:, None], step[:, None]
        return codes * step + low

    return Coder(f"rtn {along}", (1, 2, 3, 4, 6, 8), encode, decode)
