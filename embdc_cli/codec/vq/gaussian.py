"""Levels that nothing has to be learnt or sent for: codebooks for 8 Gaussian numbers, scaled to each coefficient.

What the learnt levels leave of a coefficient is described by its deviation alone, 2^(s / 4) quanta. Blocks of 8
neighbouring coefficients share a codebook of 256 codewords a stage; stage t codes what stages before it left, which is
by 2^(OFFSETS[t] / 4) smaller, and from the last stage on always by the same factor. Integers throughout:

    codeword[k, j] = (TABLE[t, k, j] * 2^16 2^((s_j + offset_t) / 4) + 2^20) >> 21

Which block the next level refines follows from the deviations: the one with the most variance left (`order`).
Error: of 1 bit per coefficient a stage leaves .318 of the variance, and .33 of that from the second stage on.
Source: Gersho and Gray, "Vector Quantization and Signal Compression", 1992, chapters 11 and 12 (codebooks trained on
the source, multistage). Not here: lattices, which do without a table and are as good from about 2 bits on.
"""

from __future__ import annotations

import base64
import heapq
import zlib
from functools import cache
from typing import Final

import numpy as np

from embdc_cli.codec.vq.levels import Level

WIDTH: Final = 8
INDEX_BITS: Final = 8
OFFSETS: Final = (0, -3, -7, -10)
"""Quarter octaves by which what stage t codes is smaller than the coefficients."""
_EACH_FURTHER: Final = -3
_UNIT_BITS: Final = 5  # 2^-5 deviations
_ROOT_BITS: Final = 16
_FOURTH_ROOTS: Final = (65536, 77936, 92682, 110218)  # 2^16 2^(i / 4)
_SQUARE_ROOTS: Final = (65536, 92682)
LEFT: Final = 0.318
SAVED: Final = 1 - LEFT
"""Of the variance, by one level."""
MAX_SCALE: Final = 112
"""2^28 quanta."""


@cache
def table() -> np.ndarray:
    """(4, 256, 8) int64: the codewords of each stage in 2^-5 deviations."""
    from embdc_cli.codec.vq.gaussian_tables import CODEWORDS

    data = zlib.decompress(base64.b85decode(CODEWORDS))
    return np.frombuffer(data, np.int8).reshape(len(OFFSETS), -1, WIDTH).astype(np.int64)


def offset_of(stage: int) -> int:
    """Quarter octaves by which what `stage` codes is smaller than the coefficients."""
    last = len(OFFSETS) - 1
    return OFFSETS[min(stage, last)] + _EACH_FURTHER * max(0, stage - last)


def levels(scales: np.ndarray, count: int) -> list[Level]:
    """The first `count` levels for coefficients of deviations 2^(scales / 4) quanta, (r,) integers up to MAX_SCALE."""
    return [_level(scales, block, stage) for block, stage in order(scales, count)]


def order(scales: np.ndarray, count: int) -> list[tuple[int, int]]:
    """(block, stage) of each of the first `count` levels: always the block that has the most variance left."""
    waiting = []
    for block in range(-(-len(scales) // WIDTH)):
        variance = sum(_variance(int(s)) for s in scales[block * WIDTH : (block + 1) * WIDTH])
        waiting.append((-variance, block, 0))
    heapq.heapify(waiting)
    found: list[tuple[int, int]] = []
    while len(found) < count and waiting:
        variance, block, stage = waiting[0]
        found.append((block, stage))
        # a third is left, in integers
        heapq.heapreplace(waiting, (-(-variance // 3), block, stage + 1))
    return found


def block_energies(energies: np.ndarray) -> np.ndarray:
    """(blocks,): sums over the coefficients of each block."""
    return np.asarray(np.add.reduceat(energies, np.arange(0, len(energies), WIDTH)))


def saved_for(energies: np.ndarray, bits: float) -> float:
    """Squared error per token that levels would save for so many bits, of coefficients with these mean squares (r,)."""
    blocks = block_energies(energies) if len(energies) else np.zeros(1)
    saved = 0.0
    while bits > 0:
        best = int(blocks.argmax())
        saved += min(1.0, bits / INDEX_BITS) * (1 - LEFT) * float(blocks[best])
        blocks[best] *= LEFT
        bits -= INDEX_BITS
    return saved


def _variance(scale: int) -> int:
    """2^(scale / 2) in 2^-80."""
    return _SQUARE_ROOTS[scale & 1] << 64 + (scale >> 1) if scale >= -128 else 0


def _level(scales: np.ndarray, block: int, stage: int) -> Level:
    channels = np.arange(block * WIDTH, min((block + 1) * WIDTH, len(scales)), dtype=np.int32)
    deviations = scales[channels].astype(np.int64) + offset_of(stage)
    roots = np.array(_FOURTH_ROOTS)[deviations & 3]
    shifts = deviations >> 2
    factors = np.where(shifts >= 0, roots << np.maximum(shifts, 0), roots >> np.minimum(-np.minimum(shifts, 0), 62))
    words = table()[min(stage, len(OFFSETS) - 1)][:, : len(channels)]
    down = _UNIT_BITS + _ROOT_BITS
    return Level(channels, (words * factors + (1 << down - 1) >> down).astype(np.int32))
