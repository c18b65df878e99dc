"""Coders of scientific floats with a bound on every error: zfp and SZ3.

Sources: Lindstrom, "Fixed-rate compressed floating-point arrays", TVCG 2014; Liang et al., "SZ3: a modular framework
for composing prediction-based error-bounded lossy compressors", IEEE Trans. Big Data 2023.
"""

from __future__ import annotations

import numpy as np

from peers.coder import Coder, Parts, Shape, grid


def zfp() -> Coder:
    """Channels by rows of the grid, so that a block of 4 x 4 x 4 is near in time and space. Setting: bound / rms."""

    def encode(x: np.ndarray, bound: float) -> Parts:
        import zfpy

        return (zfpy.compress_numpy(_planes(x), tolerance=bound * _rms(x)),)

    def decode(parts: Parts, shape: Shape, bound: float) -> np.ndarray:
        import zfpy

        height, width = grid(shape[1])
        planes = zfpy.decompress_numpy(parts[0]).reshape(shape[2], shape[0], height, width)
        return planes.transpose(1, 2, 3, 0)

    return Coder("zfp", (128, 64, 32, 16, 8, 4, 2, 1, 0.5), encode, decode, "zfpy")


def sz3() -> Coder:
    """The array (T, h, w, D) by interpolation or Lorenzo prediction. Setting: bound / rms."""

    def encode(x: np.ndarray, bound: float) -> Parts:
        from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode

        values = np.ascontiguousarray(x.reshape(len(x), *grid(x.shape[1]), -1), np.float32)
        config = szConfig(*values.shape)
        config.errorBoundMode = szErrorBoundMode.ABS
        config.absErrorBound = bound * _rms(x)
        config.cmprAlgo = szAlgorithm.INTERP_LORENZO
        data, _ = sz.compress(values, config)
        return (data.tobytes(),)

    def decode(parts: Parts, shape: Shape, bound: float) -> np.ndarray:
        from pysz import sz

        data = np.frombuffer(parts[0], np.uint8)
        values, _ = sz.decompress(data, np.float32, (shape[0], *grid(shape[1]), shape[2]))
        return np.asarray(values)

    return Coder("sz3", (4, 2.5, 1.6, 1.1, 0.75, 0.5, 0.33, 0.22, 0.15), encode, decode, "pysz")


def _planes(x: np.ndarray) -> np.ndarray:
    """(D T, h, w) float32."""
    height, width = grid(x.shape[1])
    return np.ascontiguousarray(x.transpose(2, 0, 1), np.float32).reshape(-1, height, width)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt((x.astype(np.float64) ** 2).mean()))
