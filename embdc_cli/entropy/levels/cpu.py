"""Levels split into table symbols and raw bits, compiled with numba: the same arrays and bytes as `reference.py`.

One pass over the levels each way; the loops release the GIL. Everything read is sized by the caller: `low_bits` and
`signs` are checked against the number of bits before a loop runs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.entropy.bits import packed_bytes
from embdc_cli.entropy.levels.reference import Parts
from embdc_cli.entropy.tables import ESCAPE, FINE_COST_UNIT, FINE_IMPOSSIBLE, class_rows, class_shifts, escape_orders

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_ONE = np.uint64(1)
_BYTE = np.uint64(8)


def _in(dtype: Any, axes: int = 1) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, axes, "C", readonly=True)


_BYTES = _in(numba.uint8)
_LEVELS, _MAGNITUDES, _COSTS = _in(numba.int32), _in(numba.uint32), _in(numba.int32, 2)
_BYTES_OUT, _MAGNITUDES_OUT = numba.uint8[::1], numba.uint32[::1]


def split(levels: np.ndarray, classes: np.ndarray, direct: np.ndarray) -> Parts | None:
    """As in `reference.py`."""
    escapes = int(_count_escapes(levels, classes, class_rows(), class_shifts(), direct))
    if escapes < 0:
        return None
    symbols, rows = np.empty(levels.size, np.uint8), np.empty(levels.size, np.uint8)
    excess, escape_rows = np.empty(escapes, np.uint32), np.empty(escapes, np.uint8)
    low_bits = np.empty(packed_bytes(int(_low_bits(classes, class_shifts()))), np.uint8)
    signs = np.empty(packed_bytes(int(np.count_nonzero(levels))), np.uint8)
    coded = _split(
        levels, classes, class_rows(), class_shifts(), direct, symbols, rows, low_bits, signs, excess, escape_rows
    )
    return Parts(symbols[:coded], rows[:coded], low_bits.tobytes(), signs.tobytes(), excess, escape_rows)


def rows_of(classes: np.ndarray) -> tuple[np.ndarray, int]:
    """As in `reference.py`."""
    rows = np.empty(classes.size, np.uint8)
    low_bits = np.zeros(1, np.int64)
    coded = _rows_of(classes, class_rows(), class_shifts(), rows, low_bits)
    return rows[:coded], int(low_bits[0])


def nonzero_count(symbols: np.ndarray, classes: np.ndarray, low_bits: bytes | memoryview) -> int:
    """As in `reference.py`."""
    if not low_bits:  # the usual case: the symbols are the magnitudes
        return int(np.count_nonzero(symbols))
    return int(_nonzero_count(symbols, classes, class_shifts(), np.frombuffer(low_bits, np.uint8)))


def merge(
    symbols: np.ndarray,
    classes: np.ndarray,
    low_bits: bytes | memoryview,
    signs: bytes | memoryview,
    excess: np.ndarray,
    direct: np.ndarray,
    largest: int,
) -> np.ndarray | None:
    """As in `reference.py`."""
    levels = np.zeros(classes.size, np.int32)
    # one byte more: the loop below reads the bit after the last sign
    sign_bytes = np.append(np.frombuffer(signs, np.uint8), np.uint8(0))
    low_bytes = np.frombuffer(low_bits, np.uint8)
    split = symbols, classes, class_rows(), class_shifts(), low_bytes, sign_bytes, excess
    fits = _merge(*split, direct, largest, levels)
    return levels if fits else None


def cost(levels: np.ndarray, classes: np.ndarray, symbol_cost: np.ndarray, direct: np.ndarray) -> int:
    """As in `reference.py`."""
    return int(_cost(levels, classes, class_rows(), class_shifts(), escape_orders(), symbol_cost, direct))


@numba.njit(numba.int64(_BYTES, _BYTES), nogil=True, cache=True)
def _low_bits(classes: np.ndarray, shift_of: np.ndarray) -> int:
    total = 0
    for i in range(classes.size):
        total += shift_of[classes[i]]
    return total


@numba.njit(numba.int64(_BYTES, _BYTES, _BYTES, _BYTES_OUT, numba.int64[::1]), nogil=True, cache=True)
def _rows_of(
    classes: np.ndarray, row_of: np.ndarray, shift_of: np.ndarray, rows: np.ndarray, low_bits: np.ndarray
) -> int:
    coded = total = 0
    for i in range(classes.size):
        cls = classes[i]
        rows[coded] = row_of[cls]
        total += shift_of[cls]
        coded += cls > 0
    low_bits[0] = total
    return coded


@numba.njit(numba.int64(_LEVELS, _BYTES, _BYTES, _BYTES, _BYTES), nogil=True, cache=True)
def _count_escapes(
    levels: np.ndarray, classes: np.ndarray, row_of: np.ndarray, shift_of: np.ndarray, direct: np.ndarray
) -> int:
    escapes = 0
    forbidden = 0
    for i in range(levels.size):
        cls = classes[i]
        high = np.uint32(abs(levels[i])) >> np.uint32(shift_of[cls])
        escapes += (cls > 0) & (high >= np.uint32(direct[row_of[cls]]))
        forbidden |= (cls == 0) & (high > 0)
    return -1 if forbidden else escapes


@numba.njit(
    numba.int64(*(_LEVELS, *4 * (_BYTES,), *4 * (_BYTES_OUT,), _MAGNITUDES_OUT, _BYTES_OUT)),
    nogil=True,
    cache=True,
)
def _split(
    levels: np.ndarray,
    classes: np.ndarray,
    row_of: np.ndarray,
    shift_of: np.ndarray,
    direct: np.ndarray,
    symbols: np.ndarray,
    rows: np.ndarray,
    low_bits: np.ndarray,
    signs: np.ndarray,
    excess: np.ndarray,
    escape_rows: np.ndarray,
) -> int:
    coded = escapes = low_bytes = sign_bytes = 0
    low_buffer = sign_buffer = np.uint64(0)
    low_held = sign_held = np.uint64(0)
    for i in range(levels.size):
        cls = classes[i]
        level = levels[i]
        if cls == 0:
            continue
        magnitude = np.uint64(abs(level))
        shift = np.uint64(shift_of[cls])
        row = row_of[cls]
        high = magnitude >> shift
        rows[coded] = row
        if high < np.uint64(direct[row]):
            symbols[coded] = np.uint8(high)
        else:
            symbols[coded] = ESCAPE
            excess[escapes] = np.uint32(high - np.uint64(direct[row]))
            escape_rows[escapes] = row
            escapes += 1
        coded += 1
        if shift > 0:
            low_buffer |= (magnitude & ((_ONE << shift) - _ONE)) << low_held
            low_held += shift
            while low_held >= _BYTE:
                low_bits[low_bytes] = np.uint8(low_buffer & np.uint64(255))
                low_bytes += 1
                low_buffer >>= _BYTE
                low_held -= _BYTE
        sign_buffer |= np.uint64(level < 0) << sign_held
        sign_held += np.uint64(magnitude > 0)
        if sign_held == _BYTE:
            signs[sign_bytes] = np.uint8(sign_buffer)
            sign_bytes += 1
            sign_buffer = np.uint64(0)
            sign_held = np.uint64(0)
    if low_held > 0:
        low_bits[low_bytes] = np.uint8(low_buffer)
    if sign_held > 0:
        signs[sign_bytes] = np.uint8(sign_buffer)
    return coded


@numba.njit(numba.int64(_BYTES, _BYTES, _BYTES, _BYTES), nogil=True, cache=True)
def _nonzero_count(symbols: np.ndarray, classes: np.ndarray, shift_of: np.ndarray, low_bits: np.ndarray) -> np.int64:
    coded = low_bytes = 0
    nonzero = np.int64(0)
    buffer = held = np.uint64(0)
    for i in range(classes.size):
        cls = classes[i]
        if cls == 0:
            continue
        magnitude = np.uint64(symbols[coded])
        shift = np.uint64(shift_of[cls])
        if shift > 0:
            while held < shift:
                buffer |= np.uint64(low_bits[low_bytes]) << held
                low_bytes += 1
                held += _BYTE
            magnitude |= buffer & ((_ONE << shift) - _ONE)
            buffer >>= shift
            held -= shift
        nonzero += magnitude > 0
        coded += 1
    return nonzero


@numba.njit(
    numba.boolean(*6 * (_BYTES,), _MAGNITUDES, _BYTES, numba.uint64, numba.int32[::1]),
    nogil=True,
    cache=True,
)
def _merge(
    symbols: np.ndarray,
    classes: np.ndarray,
    row_of: np.ndarray,
    shift_of: np.ndarray,
    low_bits: np.ndarray,
    signs: np.ndarray,
    excess: np.ndarray,
    direct: np.ndarray,
    largest: int,
    levels: np.ndarray,
) -> bool:
    coded = escapes = low_bytes = 0
    sign = np.int64(0)
    buffer = held = np.uint64(0)
    for i in range(classes.size):
        cls = classes[i]
        if cls == 0:
            continue
        magnitude = np.uint64(symbols[coded])
        shift = np.uint64(shift_of[cls])
        if symbols[coded] == ESCAPE:
            magnitude = np.uint64(excess[escapes]) + np.uint64(direct[row_of[cls]])
            escapes += 1
        if shift > 0:
            while held < shift:
                buffer |= np.uint64(low_bits[low_bytes]) << held
                low_bytes += 1
                held += _BYTE
            magnitude = magnitude << shift | (buffer & ((_ONE << shift) - _ONE))
            buffer >>= shift
            held -= shift
        if magnitude > largest:
            return False
        coded += 1
        # without a branch on zero, which would be mispredicted; zero takes no sign and has none
        negative = np.int32(signs[sign >> 3] >> (sign & 7) & 1)
        levels[i] = (np.int32(magnitude) ^ -negative) + negative
        sign += magnitude > 0
    return True


@numba.njit(numba.int64(_LEVELS, _BYTES, _BYTES, _BYTES, _BYTES, _COSTS, _BYTES), nogil=True, cache=True)
def _cost(
    levels: np.ndarray,
    classes: np.ndarray,
    row_of: np.ndarray,
    shift_of: np.ndarray,
    order_of: np.ndarray,
    symbol_cost: np.ndarray,
    direct: np.ndarray,
) -> np.int64:
    total = np.int64(0)
    for i in range(levels.size):
        cls = classes[i]
        magnitude = np.uint64(abs(levels[i]))
        if cls == 0:
            total += FINE_IMPOSSIBLE * (magnitude > 0)
            continue
        row = row_of[cls]
        high = magnitude >> np.uint64(shift_of[cls])
        bits = np.int64(shift_of[cls]) + (magnitude > 0)
        symbol = np.int64(ESCAPE)
        if high < np.uint64(direct[row]):
            symbol = np.int64(high)
        else:
            biased = high - np.uint64(direct[row]) + (_ONE << np.uint64(order_of[row]))
            bits -= np.int64(order_of[row]) + 1
            while biased > 0:
                bits += 2
                biased >>= _ONE
        total += symbol_cost[row, symbol] + FINE_COST_UNIT * bits
    return total
