"""Levels split into table symbols and raw bits, in numpy: the definition of what `cpu.py` compiles.

A level of class L >= 1 and magnitude m, with s = shift_of_class(L), r = table_row_of_class(L), h = m >> s:
symbol h in row r if h is below the direct magnitudes of the row, else the escape and the excess h - direct;
the low s bits of m raw; one sign bit (1 is negative) if m > 0. A level of class 0 is 0 and sends nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embdc_cli.entropy.bits import bit_lengths, pack_bits, unpack_bits
from embdc_cli.entropy.tables import ESCAPE, FINE_COST_UNIT, FINE_IMPOSSIBLE, class_rows, class_shifts, escape_orders


class Parts(NamedTuple):
    """What levels are sent as.

    symbols, rows: (coded,) uint8; excess: (escapes,) uint32; escape_rows: (escapes,) uint8.
    """

    symbols: np.ndarray
    rows: np.ndarray
    low_bits: bytes
    signs: bytes
    excess: np.ndarray
    escape_rows: np.ndarray


def split(levels: np.ndarray, classes: np.ndarray, direct: np.ndarray) -> Parts | None:
    """The parts of the levels; None if a level of class 0 is not zero.

    levels: (n,) int32 above -2^31; classes: (n,) uint8 below 64; direct: (rows,) uint8.
    """
    coded = classes > 0
    if levels[~coded].any():
        return None
    rows, shifts = class_rows()[classes[coded]], class_shifts()[classes[coded]]
    kept = levels[coded]
    magnitudes = np.abs(kept)
    high = magnitudes >> shifts
    escaped = high >= direct[rows]
    nonzero = magnitudes > 0
    return Parts(
        symbols=np.where(escaped, ESCAPE, high).astype(np.uint8),
        rows=rows,
        low_bits=pack_bits(magnitudes & ((1 << shifts.astype(np.int32)) - 1), shifts),
        signs=np.packbits(kept[nonzero] < 0, bitorder="little").tobytes(),
        excess=(high - direct[rows])[escaped].astype(np.uint32),
        escape_rows=rows[escaped],
    )


def rows_of(classes: np.ndarray) -> tuple[np.ndarray, int]:
    """The table rows (coded,) uint8 of the levels that are coded, and how many low bits all of them send.

    classes: (n,) uint8 below 64.
    """
    coded = classes[classes > 0]
    return class_rows()[coded], int(class_shifts()[coded].sum(dtype=np.int64))


def nonzero_count(symbols: np.ndarray, classes: np.ndarray, low_bits: bytes | memoryview) -> int:
    """How many levels are not zero.

    symbols: (coded,) uint8; classes: (n,) uint8; low_bits: as many bytes as the classes say.
    """
    return int(np.count_nonzero(_magnitudes(symbols, class_shifts()[classes[classes > 0]], low_bits)))


def merge(
    symbols: np.ndarray,
    classes: np.ndarray,
    low_bits: bytes | memoryview,
    signs: bytes | memoryview,
    excess: np.ndarray,
    direct: np.ndarray,
    largest: int,
) -> np.ndarray | None:
    """The levels (n,) int32; None if a magnitude is above `largest`, at most 2^31 - 1.

    symbols, classes, low_bits: as for `nonzero_count`; signs: a bit for every level that is not zero;
    excess: (escapes,) uint32; direct: (rows,) uint8.
    """
    coded = classes > 0
    escaped = symbols == ESCAPE
    every_shift = class_shifts()[classes[coded]]
    shifts = every_shift[escaped].astype(np.int64)
    full = _magnitudes(symbols, every_shift, low_bits).astype(np.int64)
    high = excess.astype(np.int64) + direct[class_rows()[classes[coded]][escaped]]
    full[escaped] = high << shifts | full[escaped] & ((1 << shifts) - 1)
    if full.max(initial=0) > largest:
        return None
    nonzero = np.flatnonzero(full)
    negative = np.unpackbits(np.frombuffer(signs, np.uint8), count=nonzero.size, bitorder="little").astype(bool)
    full[nonzero[negative]] *= -1
    levels = np.zeros(classes.size, np.int32)
    levels[coded] = full
    return levels


def _magnitudes(symbols: np.ndarray, shifts: np.ndarray, low_bits: bytes | memoryview) -> np.ndarray:
    """(coded,) uint32 as far as symbols and low bits tell: an escape counts as 15."""
    return np.asarray(symbols.astype(np.uint32) << shifts | unpack_bits(low_bits, shifts))


def cost(levels: np.ndarray, classes: np.ndarray, symbol_cost: np.ndarray, direct: np.ndarray) -> int:
    """The ideal length of the levels in 1/65536 bit: symbols, raw bits and escapes.

    A level other than 0 in class 0 counts FINE_IMPOSSIBLE.
    levels: (n,) int32 above -2^31; classes: (n,) uint8 below 64; symbol_cost: (rows, symbols) int32; direct: (rows,).
    """
    coded = classes > 0
    forbidden = int(np.count_nonzero(levels[~coded]))
    rows, shifts = class_rows()[classes[coded]], class_shifts()[classes[coded]]
    magnitudes = np.abs(levels[coded])
    high = (magnitudes >> shifts).astype(np.int64)
    escaped = high >= direct[rows]
    orders = escape_orders()[rows[escaped]].astype(np.int64)
    lengths = bit_lengths((high - direct[rows])[escaped] + (np.int64(1) << orders))
    symbols = int(symbol_cost[rows, np.where(escaped, ESCAPE, high)].sum(dtype=np.int64))
    raw_bits = int(shifts.sum(dtype=np.int64)) + int(np.count_nonzero(magnitudes))
    escape_bits = int((2 * lengths - 1 - orders).sum())
    return symbols + FINE_COST_UNIT * (raw_bits + escape_bits) + FINE_IMPOSSIBLE * forbidden
