"""The built-in, weight-free embedder: cosine transforms of 14 x 14 patches of luma and chroma, 384 channels each.

  1. The frame is squeezed to 224 x 224 by exact area averaging: a cell is the mean of what it covers of the frame.
  2. RGB to YCbCr (JPEG's, full range), luma relative to mid-gray; chroma averaged to 112 x 112.
  3. Each 16 x 16 patch of luma and 8 x 8 patch of Cb and Cr goes through the orthonormal DCT-II,
         F[u, v] = sum_ij b[u, i] x[i, j] b[v, j]
         b[k, i] = c_k cos(pi (2i + 1) k / 2n),  c_0 = sqrt(1/n), other c_k = sqrt(2/n)
  4. Channels 16 u + v are luma, 256 + 8 u + v Cb, 320 + 8 u + v Cr, in units of 128 pixel levels, as float16.

It tells pictures apart by their low frequencies and nothing else: it is NOT semantic. Its use is that any video can be
encoded at once, anywhere. All arithmetic is on integers (in float64 where BLAS multiplies them: below 2^53, hence
exact in any order), with one rounding to float16 at the end: the same bits on every machine and in every batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from embdc_cli.embedder.protocol import Frame, Schedule
from embdc_cli.options import PATCH_DCT
from embdc_cli.values import StreamSpec

VERSION: Final = 1
GRID: Final = 14
SIDE: Final = 224
CHANNELS: Final = 16 * 16 + 2 * 8 * 8
NOT_SEMANTIC: Final = (
    "patch-dct embeddings are not semantic (cosine transforms of patches);"
    " for those of a network use for example --encoder google/siglip2-base-patch16-224"
)

_FRACTION_BITS: Final = 8  # of a pixel level
_BASIS_BITS: Final = 14
# 128 levels = 1: 2^-7; pixels carry 8 fraction bits, the two basis factors 14 each
_UNIT: Final = 2.0 ** -(7 + _FRACTION_BITS + 2 * _BASIS_BITS)
_RGB_TO_YCBCR: Final = np.array(
    [[19595, 38470, 7471], [-11058, -21710, 32768], [32768, -27439, -5329]], np.int64
)  # 2^16 times JPEG's matrix; rows sum to 2^16, 0, 0


class PatchDct:
    """The embedder; stream `patch`: (196, 384) float16."""

    notes: Sequence[str] = (NOT_SEMANTIC,)
    batch_size = 8
    schedule: Schedule = ()
    specs: Sequence[StreamSpec] = (StreamSpec("patch", "float16", "t,n,c", (GRID * GRID, CHANNELS), None),)

    def for_size(self, height: int, width: int, schedule: Schedule = ()) -> PatchDct:
        del height, width, schedule  # every frame is squeezed to the same size, on its own
        return self

    def embed(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        return {"patch": np.stack([patch_dct(np.asarray(frame)) for frame in frames])}

    def provenance(self) -> dict[str, Any]:
        # no batch size and no library versions: they change nothing
        return {"name": PATCH_DCT, "version": VERSION, "grid": [GRID, GRID], "dtype": {"storage": "float16"}}


def patch_dct(frame: np.ndarray) -> np.ndarray:
    """Tokens (196, 384) float16 in raster order of a frame (H, W, 3) uint8."""
    luma, blue, red = _ycbcr(_area_mean(frame))
    planes = [(luma - (128 << _FRACTION_BITS), 16), (_halve(blue), 8), (_halve(red), 8)]
    tokens = np.concatenate([_dct(plane, size) for plane, size in planes], axis=-1)
    stored: np.ndarray = (tokens * _UNIT).astype(np.float16)
    return stored


def _area_mean(frame: np.ndarray) -> np.ndarray:
    """(224, 224, 3) int64 means of `frame`'s cells, in 1/256 pixel levels, rounded half up."""
    height, width = frame.shape[:2]
    columns = _area_sums(frame.reshape(height, -1)).reshape(SIDE, width, 3)
    rows = np.ascontiguousarray(columns.swapaxes(0, 1)).reshape(width, -1)
    sums = _area_sums(rows).reshape(SIDE, SIDE, 3).swapaxes(0, 1)
    weight = height * width
    means: np.ndarray = (sums * (2 << _FRACTION_BITS) + weight) // (2 * weight)
    return means


def _area_sums(x: np.ndarray) -> np.ndarray:
    """Sums of x (L, n) over 224 equal parts of its first axis, times 224: (224, n) int64.

    Part i covers [i L / 224, (i + 1) L / 224); an element that is cut counts by the fraction covered, and multiplied
    by 224 that fraction is an integer.
    """
    whole, fraction = np.divmod(np.arange(SIDE + 1) * len(x), SIDE)
    sums = np.empty((SIDE, x.shape[1]), np.int64)
    for i in range(SIDE):
        x[whole[i] : whole[i + 1]].sum(axis=0, dtype=np.int64, out=sums[i])
    cut = x[np.minimum(whole, len(x) - 1)] * fraction[:, None]
    return sums * SIDE + np.diff(cut, axis=0)


def _ycbcr(rgb: np.ndarray) -> np.ndarray:
    """Planes Y, Cb, Cr (3, H, W) of rgb (H, W, 3), int64 in the same unit, chroma around 0."""
    planes: np.ndarray = (np.moveaxis(rgb @ _RGB_TO_YCBCR.T, -1, 0) + (1 << 15)) >> 16
    return planes


def _halve(plane: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 cells, rounded half up."""
    sums: np.ndarray = plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]
    return (sums + 2) >> 2


def _dct(plane: np.ndarray, size: int) -> np.ndarray:
    """Coefficients (196, size * size) float64, integers below 2^49, of the patches of an integer plane."""
    patches = plane.reshape(GRID, size, GRID, size).swapaxes(1, 2).reshape(-1, size, size).astype(np.float64)
    basis = dct_basis(size)
    coefficients: np.ndarray = basis @ patches @ basis.T
    return coefficients.reshape(-1, size * size)


def dct_basis(size: int) -> np.ndarray:
    """The orthonormal DCT-II matrix (size, size), times 2^14 and rounded: integers in float64."""
    rows = [
        [
            math.sqrt((2 if k else 1) / size) * math.cos(math.pi * (2 * i + 1) * k / (2 * size)) * (1 << _BASIS_BITS)
            for i in range(size)
        ]
        for k in range(size)
    ]
    return np.rint(rows)
