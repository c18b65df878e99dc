"""Integers with classes: levels, uniform levels, dependent levels; tables inside archives. embdc-codec(5), INTEGERS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt

from tests.conformance.reader import bits, rans
from tests.conformance.reader.errors import check
from tests.conformance.reader.fields import Fields, bounded
from tests.conformance.reader.pages import numbers

Table = Sequence[rans.Row]
LARGEST = 1 << 30
_AFTER = ((0, 2, 5, 7, 1, 3, 4, 6), (1, 3, 4, 6, 0, 2, 5, 7))
"""State after an even and an odd symbol."""


def shift_of(level_class: int) -> int:
    return 0 if level_class < 26 else (level_class - 26) // 2 + 1


def row_of(level_class: int) -> int:
    return level_class if level_class < 32 else 30 + level_class % 2


def order_of(level_class: int) -> int:
    row = row_of(level_class)
    return 0 if row < 21 else 1 if row < 24 else 2


def direct_of(row: rans.Row) -> int:
    """Symbols before the first one of frequency 0, the escape apart."""
    return next((symbol for symbol in range(15) if not row[symbol]), 15)


def levels(data: bytes, classes: Sequence[int], table: Table) -> list[int]:
    """An integer for each class, from all of `data`."""
    sums = [rans.cumulative(row) for row in table]
    direct = [direct_of(row) for row in table]
    fields = Fields(data)
    coded = [one for one in classes if one]
    packed = fields.blob()
    check(bool(packed) == bool(coded), "a payload of no symbols, or none of some")
    symbols = []
    if coded:
        payload = rans.Payload(packed)
        symbols = [payload.symbol(sums[row_of(one)]) for one in coded]
        payload.end()
    return _merged(fields, classes, symbols, direct)


def uniform(fields: Fields, count: int) -> list[int]:
    """Uniform levels."""
    one = fields.byte(63)
    return levels(fields.blob(), [one] * count, numbers("PLAIN TABLES"))


def dependent(data: bytes, classes: Sequence[int], blocks: Sequence[tuple[int, int]], table: Table) -> list[int]:
    """The points of dependent levels. blocks: planes and tracks of each."""
    sums = [rans.cumulative(row) for row in table]
    direct = [min(direct_of(table[row]), direct_of(table[row + 32])) for row in range(32)]
    fields = Fields(data)
    packed = fields.blob()
    check(bool(packed) == any(classes), "a payload of no symbols, or none of some")
    symbols, quantisers = [], []
    if packed:
        payload = rans.Payload(packed)
        for one, states, track in _walk(classes, blocks):
            quantiser = states[track] % 2 if one else 0
            quantisers.append(quantiser)
            if one:
                symbols.append(payload.symbol(sums[row_of(one) + 32 * quantiser]))
                states[track] = _AFTER[symbols[-1] % 2][states[track]]
        payload.end()
    else:
        quantisers = [0] * len(classes)
    found = _merged(fields, classes, symbols, direct)
    check(all(abs(level) < LARGEST for level in found), "a level is too large")
    return [point_of(level, quantiser) for level, quantiser in zip(found, quantisers, strict=True)]


def point_of(level: int, quantiser: int) -> int:
    """What a dependent level stands for, in half steps."""
    return 2 * level - quantiser if level > 0 else 2 * level + quantiser if level < 0 else 0


def _walk(classes: Sequence[int], blocks: Sequence[tuple[int, int]]) -> Iterator[tuple[int, list[int], int]]:
    """Every integer in turn: its class, the states of its block, its track."""
    at = 0
    for planes, tracks in blocks:
        states = [0] * tracks
        for _ in range(planes):
            for track in range(tracks):
                yield classes[at], states, track
                at += 1
    check(at == len(classes), "blocks of another number of integers")


def _merged(fields: Fields, classes: Sequence[int], symbols: Sequence[int], direct: Sequence[int]) -> list[int]:
    """Integers of symbols, and of what follows them."""
    coded = [one for one in classes if one]
    shifts = [shift_of(one) for one in coded]
    low = bits.packed(fields.raw(-(-sum(shifts) // 8)), shifts)
    some = sum(1 for symbol, rest in zip(symbols, low, strict=True) if symbol or rest)
    signs = bits.packed(fields.raw(-(-some // 8)), [1] * some)
    escapes = bits.exp_golomb(
        fields.rest(), [order_of(one) for one, symbol in zip(coded, symbols, strict=True) if symbol == 15]
    )
    next_sign, next_escape = iter(signs), iter(escapes)
    found = []
    for one, symbol, rest in zip(coded, symbols, low, strict=True):
        high = direct[row_of(one)] + next(next_escape) if symbol == 15 else symbol
        magnitude = bounded(high << shift_of(one) | rest, 0, LARGEST)
        # an escape is never 0: rows can code a zero without
        found.append(-magnitude if magnitude and next(next_sign) else magnitude)
    every = iter(found)
    return [next(every) if one else 0 for one in classes]


def table_in(data: bytes) -> list[list[int]]:
    """A table inside an archive or codebook."""
    fields = Fields(data)
    rows, count = fields.byte() + 1, fields.byte() + 1
    folded = bits.exp_golomb(fields.rest(), [2] * (rows * (count - 1)))
    found: list[list[int]] = []
    before = [0] * (count - 1)
    for place in range(rows):
        steps = folded[place * (count - 1) : (place + 1) * (count - 1)]
        before = [old + (-(one + 1) // 2 if one % 2 else one // 2) for old, one in zip(before, steps, strict=True)]
        found.append([*before, 4096 - sum(before)])
    check(all(0 <= one <= 4096 for row in found for one in row), "frequencies outside 0 to 4096")
    return found


def class_of_entry(length: int, k: int, odd: int = 0) -> int:
    """The class of entries of a unit vector of `length` numbers in units of 2^-k, or 2^-(k + 1/2) where `odd`."""
    scale = 3277 * ((92682 if odd else 65536) << k) // 4096
    root = isqrt(length << 32)
    return min(max((((scale**4 << 41) // root**4).bit_length() - 1) // 2, 1), 63)
