"""Which codeword of each level, and how many levels, each token gets: squared error plus lambda times bits.

`reference.py` is the definition, `cpu.py` its compiled twin, `cuda.py` its twin on a device. All work on whole numbers:
coefficients and codewords are quanta, and a level sees them shifted so that every inner product is an integer below
2^24, exact in float32 in any order of summation. So the codes of given coefficients are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.vq.levels import Level
from embdc_cli.entropy.backend import kernels

LANES: Final = 16
"""Codewords are padded to a multiple of these."""
_LONGEST_CODEWORD: Final = 640
_LONGEST_TOKEN: Final = 1 << 12
SIDE: Final = 4
"""Channels of what is seen are padded to a multiple of these."""
NEVER: Final = -(1 << 24)
"""The score of what cannot be."""


@dataclass(frozen=True, eq=False)
class Prices:
    """Bits of each level, (L,) float64: of going on to it and of stopping before it; of the index of the row before,
    and of leaving it, after a level that kept its index [1] or did not [0], (L, 2); of an index.
    """

    go_on: np.ndarray
    stop: np.ndarray
    keep: np.ndarray
    leave: np.ndarray
    index: np.ndarray


@dataclass(frozen=True, eq=False)
class Packed:
    """Levels as the kernels take them. W: the widest level. K: the most codewords, padded.

    channels (L, W) int32, widths (L,) int32; codewords (L, K, W) int32 in quanta; seen (L, W', K) float32, padded to W'
    channels and shifted by shifts (L,) int32; halves (L, K) float32: half their squared lengths, negative; bounds (L,)
    int32: of what is seen of a coefficient. gain: the level of gains, L where there is none. expected: (r,) float64,
    for the search alone: what the square of each coefficient is divided by to compare it with the others, infinite for
    those that do not matter.
    """

    channels: np.ndarray
    widths: np.ndarray
    codewords: np.ndarray
    seen: np.ndarray
    halves: np.ndarray
    shifts: np.ndarray
    bounds: np.ndarray
    gain: int
    expected: np.ndarray

    @classmethod
    def of(cls, levels: Sequence[Level], gain: int | None = None, expected: np.ndarray | None = None) -> Packed:
        widest = max((len(level.channels) for level in levels), default=1)
        most = max((len(level.codewords) for level in levels), default=1)
        most = -(-most // LANES) * LANES
        count = len(levels)
        packed = cls(
            channels=np.zeros((count, widest), np.int32),
            widths=np.zeros(count, np.int32),
            codewords=np.zeros((count, most, widest), np.int32),
            seen=np.zeros((count, -(-widest // SIDE) * SIDE, most), np.float32),
            halves=np.full((count, most), NEVER, np.float32),
            shifts=np.zeros(count, np.int32),
            bounds=np.zeros(count, np.int32),
            gain=count if gain is None else gain,
            expected=np.zeros(0) if expected is None else expected,
        )
        for number, level in enumerate(levels):
            k, width = level.codewords.shape
            shift = _shift(level.codewords)
            seen = level.codewords.astype(np.int64)
            seen = seen + (1 << shift >> 1) >> shift
            packed.channels[number, :width] = level.channels
            packed.widths[number] = width
            packed.codewords[number, :k, :width] = level.codewords
            packed.seen[number, :width, :k] = seen.T
            packed.halves[number, :k] = -((seen**2).sum(axis=1) // 2)
            packed.shifts[number] = shift
            packed.bounds[number] = int(_LONGEST_TOKEN / max(1, width) ** 0.5)
        return packed


def _shift(codewords: np.ndarray) -> int:
    """By how many bits codewords (K, w) are seen shorter than they are."""
    longest = float((codewords.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0)) ** 0.5
    shift = 0
    while longest / 2**shift > _LONGEST_CODEWORD:
        shift += 1
    return shift


def search(y: np.ndarray, packed: Packed, prices: Prices, lagrangian: float, device: str = "cpu") -> np.ndarray:
    """Codes (F, N, L) int32 of y (F, N, r) int32: 0 from where a token stops, else 1 + the index of a codeword.

    A token that has no level after its gain has no gain either.

    lagrangian: squared quanta per bit; 0 for all levels of every token, whatever they cost. device: where, in torch's
    words; codes are the same everywhere.
    """
    shape = (*y.shape[:2], len(packed.widths))
    if 0 in shape:
        return np.zeros(shape, np.int32)
    if device != "cpu":
        from embdc_cli.codec.vq.search import cuda

        return cuda.search(y, packed, prices, lagrangian, device)
    return np.asarray(kernels(__name__).search(y, packed, prices, lagrangian))


def lookup(codes: np.ndarray, packed: Packed, rank: int, device: str = "cpu") -> np.ndarray:
    """(F, N, r) float64: the sums of the codewords that codes (F, N, L) name, and those after a gain times it.

    The sums are of 32 bits, and wrap; one product and one addition in float64 then give the same everywhere.
    """
    if not (codes.size and rank):
        return np.zeros((*codes.shape[:-1], rank))
    if device != "cpu":
        from embdc_cli.codec.vq.search import cuda

        return cuda.lookup(codes, packed, rank, device)
    return np.asarray(kernels(__name__).lookup(codes, packed, rank))
