"""Levels of dependent quantisation to bytes and back: the table row of each depends on the state of its track.

Layout as in `entropy.levels`; only rANS takes row r of a class from rows 0..31 under quantiser 0 and from rows 32..63
under quantiser 1. Shift, escape and raw bits follow from the class alone, so everything but the symbols decodes
without states. `states.py` says what a state is, `reference.py` what a track is.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy import levels as plain
from embdc_cli.entropy import rans
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.bits import (
    check_packed,
    decode_exp_golomb,
    decode_varint,
    encode_exp_golomb,
    encode_varint,
    packed_bytes,
)
from embdc_cli.entropy.dependent.tables import direct_magnitudes
from embdc_cli.entropy.rans.layout import split_payload
from embdc_cli.entropy.tables import CLASSES, ESCAPE, ROWS, Tables, class_rows, escape_orders
from embdc_cli.errors import CorruptArchive

LARGEST = plain.LARGEST


def encode(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables) -> bytes:
    """The levels as bytes.

    levels: (n,) int32, magnitudes up to 2^31 - 1; classes: (n,) uint8 below 64, 0 only where the level is 0;
    blocks: (b, 2) integers, planes and tracks of each block, n in all; tables: 64 x 16. Raises ValueError for anything
    else.
    """
    levels, classes, blocks = _checked(levels, classes, blocks)
    direct = direct_magnitudes(tables)
    parts = kernels(plain.__name__).split(levels, classes, direct)
    if parts is None:
        raise ValueError("dependent levels: expected only zeros in class 0, found another level")
    chosen = kernels(__name__).quantisers(levels, classes, blocks, direct)
    rows = parts.rows + np.uint8(ROWS) * chosen[classes > 0]
    payload = rans.encode(parts.symbols, rows, tables)
    escapes = encode_exp_golomb(parts.excess, escape_orders()[parts.escape_rows])
    return b"".join((encode_varint(len(payload)), payload, parts.low_bits, parts.signs, escapes))


def decode(
    data: bytes | memoryview, classes: np.ndarray, blocks: np.ndarray, tables: Tables, largest: int = LARGEST
) -> tuple[np.ndarray, np.ndarray]:
    """The levels (n,) int32 that `encode` wrote with these classes (n,) uint8, blocks (b, 2) and tables.

    With them the quantiser, 0 or 1, under which each stands, (n,) uint8.

    Allocates a few times n integers at most. Raises CorruptArchive unless `data` holds exactly them, and magnitudes up
    to `largest`, no less than that of any level without an escape.
    """
    classes, blocks = _checked_classes(classes, blocks)
    if classes.size and classes.max() >= CLASSES:
        raise CorruptArchive(f"dependent levels: expected classes below {CLASSES}, found {classes.max()}")
    coder = kernels(plain.__name__)
    view = memoryview(data)
    payload_bytes, start = decode_varint(view)
    rows, low_bit_count = coder.rows_of(classes)
    low_start = start + payload_bytes
    signs_start = low_start + packed_bytes(low_bit_count)
    if signs_start > len(view):
        raise CorruptArchive(f"dependent levels: expected at least {signs_start} bytes, found {len(view)}")
    symbols, chosen = _symbols(view[start:low_start], rows.size, classes, blocks, tables)
    low_bits = view[low_start:signs_start]
    check_packed(low_bits, low_bit_count)
    nonzero = coder.nonzero_count(symbols, classes, low_bits)
    signs, excess = view[signs_start : signs_start + packed_bytes(nonzero)], view[signs_start + packed_bytes(nonzero) :]
    check_packed(signs, nonzero)
    values = decode_exp_golomb(excess, escape_orders()[rows[symbols == ESCAPE]])
    levels = coder.merge(symbols, classes, low_bits, signs, values, direct_magnitudes(tables), largest)
    if levels is None:
        raise CorruptArchive(f"dependent levels: expected magnitudes up to {largest}, found a larger one")
    return np.asarray(levels), chosen


def bits_of(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables) -> np.ndarray:
    """(n,) float64: the bits that each level takes by its table. Arguments as for `encode`."""
    chosen = quantisers(levels, classes, blocks, tables).astype(np.int64)
    return plain.bits_of_levels(levels, classes, tables, class_rows()[classes] + ROWS * chosen)


def quantisers(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables) -> np.ndarray:
    """The quantiser, 0 or 1, under which each level stands, (n,) uint8. Arguments as for `encode`."""
    levels, classes, blocks = _checked(levels, classes, blocks)
    chosen: np.ndarray = kernels(__name__).quantisers(levels, classes, blocks, direct_magnitudes(tables))
    return chosen


def points_of(levels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The points (n,) int32, in half steps, of levels (n,) int32 below 2^30 under quantisers `chosen` (n,) uint8."""
    found: np.ndarray = kernels(__name__).points_of(levels, chosen)
    return found


def path_points(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables) -> np.ndarray:
    """The points (n,) int32 of levels below 2^30, in half steps. Arguments as for `encode`."""
    levels, classes, blocks = _checked(levels, classes, blocks)
    return points_of(levels, kernels(__name__).quantisers(levels, classes, blocks, direct_magnitudes(tables)))


def checked_blocks(blocks: np.ndarray, count: int) -> np.ndarray:
    """The blocks that are not empty, (b, 2) int64. Raises ValueError unless they hold `count` levels in all."""
    blocks = np.asarray(blocks)
    if blocks.ndim != 2 or blocks.shape[1] != 2 or blocks.dtype.kind not in "iu" or blocks.min(initial=0) < 0:
        raise ValueError(f"dependent levels: expected (b, 2) planes and tracks, found {blocks.shape} {blocks.dtype}")
    sizes = blocks.prod(axis=1, dtype=np.float64)  # integers might wrap round; these are exact up to 2^53
    if sizes.sum() != count:
        raise ValueError(f"dependent levels: expected blocks of {count} levels in all, found {sizes.sum():.0f}")
    return np.ascontiguousarray(blocks[sizes > 0], np.int64)


def _symbols(
    payload: memoryview, count: int, classes: np.ndarray, blocks: np.ndarray, tables: Tables
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` symbols (count,) uint8 of the rANS payload, and the quantisers (n,) uint8 of all levels."""
    if count == 0:
        return rans.decode(payload, classes[:0], tables), np.zeros(classes.size, np.uint8)
    symbols, chosen, whole = kernels(__name__).decode(*split_payload(payload), classes, blocks, tables)
    if not whole:
        raise CorruptArchive(
            f"rans payload: {len(payload)} bytes for {count} symbols, expected states and words to come out even"
        )
    return np.asarray(symbols), np.asarray(chosen)


def _checked(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if levels.dtype != np.int32 or levels.shape != classes.shape:
        raise ValueError(
            f"dependent levels: expected (n,) int32 and (n,) classes, found {levels.shape} {levels.dtype} "
            f"and {classes.shape}"
        )
    classes, blocks = _checked_classes(classes, blocks)
    if levels.size and (levels.min() < -LARGEST or classes.max() >= CLASSES):
        raise ValueError(f"dependent levels: expected magnitudes up to {LARGEST} and classes below {CLASSES}")
    return np.require(levels, requirements=("C", "A")), classes, blocks


def _checked_classes(classes: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if classes.dtype != np.uint8 or classes.ndim != 1:
        raise ValueError(f"dependent levels: expected (n,) uint8 classes, found {classes.shape} {classes.dtype}")
    return np.ascontiguousarray(classes), checked_blocks(blocks, classes.size)
