"""rANS: symbols from states and words, embdc-codec(5), rANS."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from tests.conformance.reader.errors import check

Row = Sequence[int]
"""Frequencies of the symbols of a row of a table."""


def cumulative(row: Row) -> list[int]:
    """The sums of the frequencies before each symbol, and of all."""
    return [0, *accumulate(row)]


class Payload:
    """Takes one symbol after the other. bits: frequencies sum to 2^bits."""

    def __init__(self, data: bytes, bits: int = 12) -> None:
        self.bits = bits
        lanes = data[0] if data else 0
        check(lanes in (1, 2, 4, 8, 16, 32), f"{lanes} lanes")
        check(len(data) >= 1 + 4 * lanes and len(data) % 2, "states or words are cut")
        self.states = list(struct.unpack_from(f"<{lanes}I", data, 1))
        check(min(self.states) >= 1 << 16, "a state is too small")
        words = data[1 + 4 * lanes :]
        self.words = struct.unpack(f"<{len(words) // 2}H", words)
        self.taken = 0
        self.symbols = 0

    def symbol(self, sums: Sequence[int]) -> int:
        """The next symbol, under a row with these cumulative frequencies."""
        lane = self.symbols % len(self.states)
        x = self.states[lane]
        slot = x & (1 << self.bits) - 1
        found = bisect_right(sums, slot) - 1
        x = (sums[found + 1] - sums[found]) * (x >> self.bits) + slot - sums[found]
        if x < 1 << 16:
            check(self.taken < len(self.words), "words run out")
            x = x << 16 | self.words[self.taken]
            self.taken += 1
        self.states[lane] = x
        self.symbols += 1
        return found

    def end(self) -> None:
        check(self.taken == len(self.words), "words are left")
        check(all(x == 1 << 16 for x in self.states), "states do not end where encoding began")


def symbols(data: bytes, count: int, row: Row) -> list[int]:
    """`count` symbols under one row."""
    if not count:
        check(not data, "a payload of no symbols")
        return []
    payload, sums = Payload(data), cumulative(row)
    found = [payload.symbol(sums) for _ in range(count)]
    payload.end()
    return found
