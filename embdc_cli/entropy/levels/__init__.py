"""Signed integers with a class each, to bytes and back: coefficients, bases and means.

Levels on the paths of a trellis (`entropy.dependent`) and codes under time contexts have coders of their own.

Layout: [varint] bytes of the rANS payload; the rANS payload of the symbols; low bits of the shifted classes; signs; the
excess of the escapes in Exp-Golomb. Each starts at a byte. The length of the low bits follows from the classes, that of
the signs from symbols and low bits, and the excess is the rest. `reference.py` says what becomes a symbol.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy import rans
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.bits import (
    bit_lengths,
    check_packed,
    decode_exp_golomb,
    decode_varint,
    encode_exp_golomb,
    encode_varint,
    packed_bytes,
)
from embdc_cli.entropy.tables import (
    CLASSES,
    COST_UNIT,
    ESCAPE,
    FINE_COST_UNIT,
    IMPOSSIBLE,
    ROWS,
    SYMBOLS,
    Tables,
    class_rows,
    class_shifts,
    escape_orders,
    static_tables,
)
from embdc_cli.errors import CorruptArchive

LARGEST = 2**31 - 1  # magnitude of a level


def encode_levels(levels: np.ndarray, classes: np.ndarray, tables: Tables | None = None) -> bytes:
    """The levels as bytes, about `cost_levels / 2048` of them.

    levels: (n,) int32, magnitudes up to 2^31 - 1; classes: (n,) uint8 below 64, 0 only where the level is 0;
    tables: 32 x 16, the static ones by default. Raises ValueError for anything else.
    """
    tables = checked_tables(tables)
    levels, classes = _checked(levels, classes)
    parts = kernels(__name__).split(levels, classes, tables.direct)
    if parts is None:
        raise ValueError("levels: expected only zeros in class 0, found another level")
    payload = rans.encode(parts.symbols, parts.rows, tables)
    escapes = encode_exp_golomb(parts.excess, escape_orders()[parts.escape_rows])
    return b"".join((encode_varint(len(payload)), payload, parts.low_bits, parts.signs, escapes))


def decode_levels(
    data: bytes | memoryview, classes: np.ndarray, tables: Tables | None = None, largest: int = LARGEST
) -> np.ndarray:
    """The levels (n,) int32 that `encode_levels` wrote with these classes (n,) uint8 and tables.

    Allocates a few times n integers at most. Raises CorruptArchive unless `data` holds exactly them, and magnitudes up
    to `largest`, no less than that of any level without an escape.
    """
    tables = checked_tables(tables)
    if classes.dtype != np.uint8 or classes.ndim != 1:
        raise ValueError(f"levels: expected (n,) uint8 classes, found {classes.shape} {classes.dtype}")
    if classes.size and classes.max() >= CLASSES:
        raise CorruptArchive(f"levels: expected classes below {CLASSES}, found {classes.max()}")
    classes = np.ascontiguousarray(classes)
    coder = kernels(__name__)
    view = memoryview(data)
    payload_bytes, start = decode_varint(view)
    rows, low_bit_count = coder.rows_of(classes)
    low_start = start + payload_bytes
    signs_start = low_start + packed_bytes(low_bit_count)
    if signs_start > len(view):
        raise CorruptArchive(f"levels: expected at least {signs_start} bytes, found {len(view)}")
    symbols = rans.decode(view[start:low_start], rows, tables)
    low_bits = view[low_start:signs_start]
    check_packed(low_bits, low_bit_count)
    nonzero = coder.nonzero_count(symbols, classes, low_bits)
    signs, excess = view[signs_start : signs_start + packed_bytes(nonzero)], view[signs_start + packed_bytes(nonzero) :]
    check_packed(signs, nonzero)
    escape_rows = rows[symbols == ESCAPE]
    values = decode_exp_golomb(excess, escape_orders()[escape_rows])
    levels = coder.merge(symbols, classes, low_bits, signs, values, tables.direct, largest)
    if levels is None:
        raise CorruptArchive(f"levels: expected magnitudes up to {largest}, found a larger one")
    return np.asarray(levels)


def cost_levels(levels: np.ndarray, classes: np.ndarray, tables: Tables | None = None) -> int:
    """The length of `encode_levels` in 1/256 bit, exact but for rounding, state flush and padding.

    A level that class 0 cannot hold counts 4096 bits. Arguments as for `encode_levels`.
    """
    tables = checked_tables(tables)
    levels, classes = _checked(levels, classes)
    return int(kernels(__name__).cost(levels, classes, tables.fine_cost, tables.direct)) >> 8


def bits_of_levels(
    levels: np.ndarray, classes: np.ndarray, tables: Tables | None = None, under: np.ndarray | None = None
) -> np.ndarray:
    """(n,) float64: the bits that each level takes by its table, with raw bits, sign and escape; 0 under class 0.

    under: (n,) rows of the tables in place of those of the classes, as for dependent levels. Other arguments as for
    `encode_levels`.
    """
    tables = tables or static_tables()
    rows, shifts = class_rows()[classes].astype(np.int64), class_shifts()[classes].astype(np.int64)
    magnitudes = np.abs(levels.astype(np.int64))
    high = magnitudes >> shifts
    direct = tables.direct[rows] if under is None else tables.direct.reshape(2, ROWS).min(axis=0)[rows]
    escaped = high >= direct
    orders = escape_orders()[rows].astype(np.int64)
    excess = np.where(escaped, high - direct, 0)
    escape_bits = np.where(escaped, 2 * bit_lengths(excess + (np.int64(1) << orders)) - 1 - orders, 0)
    symbol_bits = tables.fine_cost[rows if under is None else under, np.where(escaped, ESCAPE, high)] / FINE_COST_UNIT
    return np.where(classes > 0, symbol_bits + shifts + (magnitudes > 0) + escape_bits, 0.0)


def magnitude_costs(tables: Tables | None = None, largest: int = 63) -> np.ndarray:
    """(64, largest + 1) int32: the cost of a level by class and magnitude in 1/256 bit, with sign and escape.

    Class 0 costs 0 for magnitude 0 and 4096 bits for the others. For rate-distortion decisions by table.
    """
    tables = checked_tables(tables)
    magnitudes = np.arange(largest + 1, dtype=np.int64)
    rows, shifts = class_rows()[:, None], class_shifts()[:, None].astype(np.int64)
    high = magnitudes >> shifts
    escaped = high >= tables.direct[rows]
    orders = escape_orders()[rows].astype(np.int64)
    excess = np.where(escaped, high - tables.direct[rows], 0)
    escape_bits = np.where(escaped, 2 * bit_lengths(excess + (np.int64(1) << orders)) - 1 - orders, 0)
    raw_bits = shifts + (magnitudes > 0) + escape_bits
    costs: np.ndarray = tables.cost[rows, np.where(escaped, ESCAPE, high)] + COST_UNIT * raw_bits
    costs[0] = np.where(magnitudes > 0, IMPOSSIBLE, 0)
    return costs.astype(np.int32)


def _checked(levels: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if levels.dtype != np.int32 or classes.dtype != np.uint8 or levels.ndim != 1 or levels.shape != classes.shape:
        raise ValueError(
            "levels: expected (n,) int32 with (n,) uint8 classes, "
            f"found {levels.shape} {levels.dtype} with {classes.shape} {classes.dtype}"
        )
    if levels.size and (levels.min() < -LARGEST or classes.max() >= CLASSES):
        raise ValueError(f"levels: expected magnitudes up to {LARGEST} and classes below {CLASSES}")
    return np.require(levels, requirements=("C", "A")), np.ascontiguousarray(classes)


def checked_tables(tables: Tables | None) -> Tables:
    if tables is None:
        return static_tables()
    if tables.freq.shape != (ROWS, SYMBOLS) or not tables.freq[:, [0, ESCAPE]].all():
        raise ValueError(f"levels: expected {ROWS} x {SYMBOLS} tables that can code 0 and escape, found {tables}")
    return tables
