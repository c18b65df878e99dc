"""Passes over a chunk as single kernels in Triton: classes of codes, codes to points, values to their storage type.

In torch points and values are three to six passes each (`points`, `rows`, the definitions), and the products between
them are one; classes are some for each of hundreds of blocks (`mixture.motion` is their definition). Bits are the same.
Importing this imports Triton, see `entropy.cuda`.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl

from embdc_cli.codec.device.plane_coders import TILE
from embdc_cli.codec.transform.activity import LOWEST
from embdc_cli.codec.transform.mixture.code_classes.reference import STILL
from embdc_cli.entropy.tables import CLASSES

_BLOCK: Final = 1024
_LOWEST = tl.constexpr(LOWEST)
_HIGHEST = tl.constexpr(CLASSES - 1)
_STILL = tl.constexpr(STILL)
LAUNCH: Final = {"enable_fp_fusion": False}
"""A product and a sum are rounded one by one, as numpy does."""


def points(codes: torch.Tensor, numbers: torch.Tensor, *, rounds_twice: bool) -> torch.Tensor:
    """float32 of codes int8, int16 or int32: sign (|q| + shift[min(|q|, 3)]) step, in float64.

    numbers: (5,) float64, the shifts and the step. rounds_twice: to float32 before the sum is multiplied as well.
    """
    flat = codes.contiguous().view(-1)
    found = torch.empty(codes.shape, dtype=torch.float32, device=codes.device)
    if flat.numel():
        _points[(triton.cdiv(flat.numel(), _BLOCK),)](
            *(flat, found, numbers, flat.numel()), TWICE=rounds_twice, BLOCK=_BLOCK, **LAUNCH
        )
    return found


def store(x: torch.Tensor, out: torch.Tensor, limit: float) -> torch.Tensor:
    """x (F, N, D) float32 to out (F, N, D) of float16, bfloat16 or float32, within +-limit, and a number that is NaN if
    one of x is. The last two axes of out are contiguous.
    """
    flag = torch.zeros((), dtype=torch.float32, device=x.device)
    rows, size = len(x), x[0].numel() if len(x) else 0
    if out.is_contiguous():
        rows, size = 1, rows * size
    if rows * size:
        blocks = triton.cdiv(size, _BLOCK)
        stride = out.stride(0) if rows > 1 else 0
        bits = out.dtype == torch.bfloat16
        into = out.view(torch.uint16) if bits else out
        _store[(rows * blocks,)](
            x.contiguous(), into, flag, size, blocks, stride, limit, BITS=bits, BLOCK=_BLOCK, **LAUNCH
        )
    return flag


def track_classes(
    planes: torch.Tensor, symbols: torch.Tensor, blocks: torch.Tensor, tiles: torch.Tensor, count: int
) -> torch.Tensor:
    """(count,) uint8 of the codes of a mixture: `mixture.motion.Motion.classes`. planes, symbols: as of `ClassParts`.

    blocks: (b, 7) int64, for each where its codes begin and how many they are, where its planes and its tracks begin,
    its tracks, the rank of its mode, and its first tile of TILE codes. tiles: (t,) int32, the block of each.
    """
    found = torch.empty(count, dtype=torch.uint8, device=planes.device)
    if count:
        _track_classes[(len(tiles),)](planes, symbols, blocks, tiles, found, TILE=TILE, **LAUNCH)
    return found


@triton.jit
def _track_classes(
    planes: tl.tensor,
    symbols: tl.tensor,
    blocks: tl.tensor,
    tiles: tl.tensor,
    found: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    tile = tl.program_id(0)
    block = blocks + 7 * tl.load(tiles + tile).to(tl.int64)
    first_code, size = tl.load(block), tl.load(block + 1)
    tracks, rank = tl.load(block + 4), tl.load(block + 5)
    at = (tile - tl.load(block + 6)) * TILE + tl.arange(0, TILE)
    plane = at // tracks
    base = tl.load(planes + tl.load(block + 2) + plane, mask=at < size, other=0).to(tl.int32)
    symbol = tl.load(symbols + tl.load(block + 3) + at - plane * tracks, mask=at < size, other=0).to(tl.int32)
    moved = tl.minimum(tl.maximum(base + symbol - 1 + _LOWEST, 1), _HIGHEST)
    moved = tl.where(symbol == _STILL, 0, moved)
    chosen = tl.where((plane < rank) | (base == 0), base, moved)
    tl.store(found + first_code + at, chosen.to(tl.uint8), mask=at < size)


@triton.jit
def _points(
    codes: tl.tensor,
    found: tl.tensor,
    numbers: tl.tensor,
    count: tl.tensor,
    TWICE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    q = tl.load(codes + at, mask=at < count, other=0).to(tl.int32)
    magnitude = tl.abs(q)
    step = tl.load(numbers + 4)
    moved = magnitude.to(tl.float64) + tl.load(numbers + tl.minimum(magnitude, 3))
    if TWICE:
        point = moved.to(tl.float32) * step.to(tl.float32)
    else:
        point = (moved * step).to(tl.float32)
    tl.store(found + at, tl.where(q < 0, -point, point), mask=at < count)


@triton.jit
def _store(
    x: tl.tensor,
    out: tl.tensor,
    flag: tl.tensor,
    size: tl.tensor,
    blocks: tl.tensor,
    stride: tl.tensor,
    limit: tl.tensor,
    BITS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    row = (tl.program_id(0) // blocks).to(tl.int64)
    at = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + row * size + at, mask=at < size, other=0.0)
    bad = tl.max((value != value).to(tl.int32), 0)
    tl.store(flag, float("nan"), mask=bad > 0)
    value = tl.where(value > limit, limit, tl.where(value < -limit, -limit, value))
    if BITS:  # of bfloat16, rounded to nearest even: how a cast to it rounds depends on the backend
        bits = value.to(tl.uint32, bitcast=True)
        value = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.uint16)
    tl.store(out + row * stride + at, value.to(out.dtype.element_ty), mask=at < size)
