"""What is made of the codes of a chunk on a device before they are packed, each in one kernel in Triton.

    plane_levels   codes in the order of planes, which of these are not all zeros, and sums of magnitudes along tracks:
                   a code is read once and written once
    remainders     what a CRC-32 of the codes needs: a code is read once, with four reads of tables of 1 KiB

Importing this imports Triton, see `entropy.cuda`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import torch
import triton
import triton.language as tl

from embdc_cli.codec.device.symbol_crc import multiples, power
from embdc_cli.entropy.rans.cuda import LAUNCH, device_of, kernel

_LANES: Final = 1024
_STEPS: Final = 64
REMAINDER_WORDS: Final = _LANES * _STEPS
"""Codes of one remainder."""
_TILE: Final = 32
_POLYNOMIAL = tl.constexpr(0xEDB88320)


def plane_levels(codes: torch.Tensor, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of codes (F, N, r) int32, contiguous: levels (F N r,) int32 in plane order, (G r,) int32, 1 for planes that are
    not all zeros, and (groups, N) int64, what `activity.measure` gives.
    """
    rows, tokens, rank = codes.shape
    groups, rest = divmod(rows, group)
    levels = torch.empty(codes.numel(), dtype=torch.int32, device=codes.device)
    present = torch.zeros(group * rank, dtype=torch.int32, device=codes.device)
    sums = torch.zeros((groups + (rest > 0), tokens), dtype=torch.int64, device=codes.device)
    token_tiles, rank_tiles = triton.cdiv(tokens, _TILE), triton.cdiv(rank, _TILE)
    if codes.numel():
        with device_of(codes):
            _plane_levels[(rows * token_tiles * rank_tiles,)](
                *(codes, levels, present, sums, tokens, rank, group, groups, rest, token_tiles, rank_tiles),
                TILE=_TILE,
                **LAUNCH,
            )
    return levels, present, sums


def remainders(codes: torch.Tensor) -> torch.Tensor:
    """(b,) int32 of contiguous int32 codes: of every REMAINDER_WORDS of them, counted from the end, for `symbol_crc`.

    Bits are those of uint32.
    """
    flat = codes.view(-1)
    found = torch.empty(triton.cdiv(flat.numel(), REMAINDER_WORDS), dtype=torch.int32, device=codes.device)
    if len(found):
        with device_of(codes):
            advance, ends = crc_tables(_LANES, codes.device)
            _remainders[(len(found),)](flat, found, advance, ends, flat.numel(), LANES=_LANES, STEPS=_STEPS, **LAUNCH)
    return found


@lru_cache(maxsize=16)
def crc_tables(lanes: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(4, 256) and (lanes,) int32: what a remainder becomes in a step, and what that of a lane is multiplied by."""
    ends = np.array([power(32 * (lanes - lane)) for lane in range(lanes)], np.uint32)
    advance, last = (torch.from_numpy(one.view(np.int32)).to(device) for one in (multiples(32 * lanes), ends))
    return advance, last


@kernel
def _plane_levels(
    codes: tl.tensor,
    levels: tl.tensor,
    present: tl.tensor,
    sums: tl.tensor,
    tokens: tl.tensor,
    rank: tl.tensor,
    group: tl.tensor,
    groups: tl.tensor,
    rest: tl.tensor,
    token_tiles: tl.tensor,
    rank_tiles: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    """Of one row, TILE tokens and TILE vectors."""
    program = tl.program_id(0)
    tile = program % (token_tiles * rank_tiles)
    row = program // (token_tiles * rank_tiles)
    g, k = row // group, row % group
    n = ((tile // rank_tiles) * TILE + tl.arange(0, TILE))[:, None]
    i = ((tile % rank_tiles) * TILE + tl.arange(0, TILE))[None, :]
    inside = (n < tokens) & (i < rank)
    code = tl.load(codes + (row.to(tl.int64) * tokens + n) * rank + i, mask=inside, other=0)
    plane = k.to(tl.int64) * rank + i
    shared = rest.to(tl.int64) * rank  # planes of one group more
    at = (plane * groups + tl.minimum(plane, shared) + g) * tokens + n
    tl.store(levels + at, code, mask=inside)
    some = tl.max((code != 0).to(tl.int32), 0)[None, :]
    tl.store(present + plane, some, mask=(some > 0) & (i < rank))
    moved = tl.sum(tl.abs(code.to(tl.int64)), 1)[:, None]
    tl.atomic_add(sums + g.to(tl.int64) * tokens + n, moved, mask=(moved > 0) & (k > 0), sem="relaxed")


@kernel
def _remainders(
    codes: tl.tensor,
    found: tl.tensor,
    advance: tl.tensor,
    ends: tl.tensor,
    count: tl.tensor,
    LANES: tl.constexpr,
    STEPS: tl.constexpr,
) -> None:
    """Lane l takes every LANES-th word from word l of its block on; products of lanes come last."""
    program = tl.program_id(0)
    lane = tl.arange(0, LANES)
    at = count - (program.to(tl.int64) + 1) * (LANES * STEPS) + lane
    state = tl.zeros((LANES,), tl.uint32)
    for _ in range(STEPS):
        word = tl.load(codes + at, mask=at >= 0, other=0).to(tl.uint32, bitcast=True)
        moved = tl.load(advance + (state & 255).to(tl.int32))
        moved ^= tl.load(advance + 256 + ((state >> 8) & 255).to(tl.int32))
        moved ^= tl.load(advance + 512 + ((state >> 16) & 255).to(tl.int32))
        moved ^= tl.load(advance + 768 + (state >> 24).to(tl.int32))
        state = moved.to(tl.uint32, bitcast=True) ^ word
        at += LANES
    factor = tl.load(ends + lane).to(tl.uint32, bitcast=True)
    total = tl.zeros((LANES,), tl.uint32)
    for bit in tl.static_range(32):
        total ^= tl.where(((state >> (31 - bit)) & 1) > 0, factor, 0)
        factor = (factor >> 1) ^ tl.where((factor & 1) > 0, _POLYNOMIAL, 0).to(tl.uint32)
    tl.store(found + program, tl.xor_sum(total, 0).to(tl.int32, bitcast=True))
