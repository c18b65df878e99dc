"""CRC-32 of codes that stay on a device, which sums up blocks of them side by side (`cuda_codes.remainders`).

A CRC without its first and last inversion is a remainder of polynomials over GF(2), of degree below 32: that of what
precedes, times x^(32 n), and that of the n words of 32 bits behind it, add up. Zeros in front change nothing, so blocks
are counted from the end. Numbers are as in CRC-32, reflected: the top bit is the coefficient of x^0.
Source: Williams, "A painless guide to CRC error detection algorithms", 1993; zlib's crc32_combine.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final

import numpy as np

_POLYNOMIAL: Final = 0xEDB88320
_ALL: Final = 0xFFFFFFFF
_ONE: Final = 1 << 31


def product(a: int, b: int) -> int:
    """Of two remainders."""
    found = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            found ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return found


@lru_cache(maxsize=4096)
def power(exponent: int) -> int:
    """The remainder of x^exponent."""
    if exponent < 32:
        return _ONE >> exponent
    half = power(exponent // 2)
    square = product(half, half)
    return product(square, _ONE >> 1) if exponent % 2 else square


@cache
def multiples(exponent: int) -> np.ndarray:
    """(4, 256) uint32: x^exponent times each value of each byte of a remainder, lowest byte first."""
    factor, found = power(exponent), np.zeros((4, 256), np.uint32)
    for byte in range(4):
        for bit in range(8):
            found[byte, 1 << bit] = product(1 << 8 * byte + bit, factor)
        for value in range(256):
            found[byte, value] = found[byte, value & -value] ^ found[byte, value & (value - 1)]
    return found


def joined(remainders: Iterable[int], words: int) -> int:
    """The remainder of blocks of `words` words, of which these are the remainders, last block first."""
    tables = multiples(32 * words).tolist()
    found = 0
    for one in reversed(list(remainders)):
        moved = tables[0][found & 255] ^ tables[1][found >> 8 & 255]
        found = moved ^ tables[2][found >> 16 & 255] ^ tables[3][found >> 24] ^ one
    return found


def crc_behind(crc: int, remainder: int, words: int) -> int:
    """`zlib.crc32(data, crc)` of data of so many words and this remainder."""
    return product(crc ^ _ALL, power(32 * words)) ^ remainder ^ _ALL
