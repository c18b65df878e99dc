"""Interleaved rANS compiled with numba: the same words as `reference.py`, a few nanoseconds per symbol.

The loops release the GIL, so that chunks run side by side in threads. The word pointer is checked before every read:
once per step while a whole step of words is left, else once per word.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.entropy.rans.layout import STATE_LOW, WORD_BITS
from embdc_cli.entropy.tables import PROBABILITY_BITS, TOTAL, Tables

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_LOW = np.uint32(STATE_LOW)
_SLOT_MASK = np.uint32(TOTAL - 1)
_BITS = np.uint32(PROBABILITY_BITS)
_WORD = np.uint32(WORD_BITS)
_FULL_SHIFT = np.uint32(32 - PROBABILITY_BITS)
_HALF = np.uint32(0xFFFF)


def _in(dtype: Any, axes: int = 1) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, axes, "C", readonly=True)


_BYTES, _BYTE_ROWS = _in(numba.uint8), _in(numba.uint8, 2)
_WORDS = _in(numba.uint16)
_PACKED, _COSTS = _in(numba.uint32, 2), _in(numba.int32, 2)


def total_cost(symbols: np.ndarray, rows: np.ndarray, tables: Tables) -> tuple[int, int]:
    """As in `reference.py`."""
    result = np.zeros(2, np.int64)
    _total_cost(symbols, rows, tables.cost, result)
    return int(result[0]), int(result[1])


def encode(symbols: np.ndarray, rows: np.ndarray, tables: Tables, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """As in `reference.py`."""
    words = np.empty(symbols.size, np.uint16)  # at most one word per symbol
    states = np.full(lanes, STATE_LOW, np.uint32)
    first = _encode(symbols, rows, _packed(tables), states, words)
    return states, words[first:]


def decode(
    states: np.ndarray, words: np.ndarray, position: int, rows: np.ndarray, tables: Tables, done: int = 0
) -> tuple[np.ndarray, int]:
    """As in `reference.py`."""
    symbols = np.zeros(rows.size, np.uint8)
    lane = done % states.size
    position = _decode(states, words, position, lane, rows, _packed(tables), tables.slots, symbols)
    return symbols, int(position)


def _packed(tables: Tables) -> np.ndarray:
    """(rows, symbols) uint32: frequency in the high half, cumulative frequency in the low half; one load for both."""
    packed: np.ndarray = tables.freq.astype(np.uint32) << _WORD | tables.cum[:, :-1]
    return packed


@numba.njit(numba.void(_BYTES, _BYTES, _COSTS, numba.int64[::1]), nogil=True, cache=True)
def _total_cost(symbols: np.ndarray, rows: np.ndarray, cost: np.ndarray, result: np.ndarray) -> None:
    total = np.int64(0)
    dearest = np.int32(0)
    for i in range(symbols.size):
        one = cost[rows[i], symbols[i]]
        total += one
        dearest = max(dearest, one)
    result[0] = total
    result[1] = dearest


@numba.njit(numba.int64(_BYTES, _BYTES, _PACKED, numba.uint32[::1], numba.uint16[::1]), nogil=True, cache=True)
def _encode(symbols: np.ndarray, rows: np.ndarray, packed: np.ndarray, states: np.ndarray, words: np.ndarray) -> int:
    lanes = states.size
    position = words.size
    i = symbols.size
    lane = i % lanes
    while i > 0:
        i -= 1
        lane = lane - 1 if lane > 0 else lanes - 1
        entry = packed[rows[i], symbols[i]]
        f = entry >> _WORD
        x = states[lane]
        if x >> _FULL_SHIFT >= f:  # x >= f 2^20 without overflow at f = 4096
            position -= 1
            words[position] = np.uint16(x & _HALF)
            x >>= _WORD
        quotient = x // f
        states[lane] = (quotient << _BITS) + (x - quotient * f) + (entry & _HALF)
    return position


@numba.njit(
    numba.int64(numba.uint32[::1], _WORDS, numba.int64, numba.int64, _BYTES, _PACKED, _BYTE_ROWS, numba.uint8[::1]),
    nogil=True,
    cache=True,
)
def _decode(
    states: np.ndarray,
    words: np.ndarray,
    position: int,
    lane: int,
    rows: np.ndarray,
    packed: np.ndarray,
    slots: np.ndarray,
    symbols: np.ndarray,
) -> int:
    lanes = states.size
    count = rows.size
    i = 0
    while i < count:
        while lane == 0 and i + lanes <= count and position + lanes <= words.size:
            for at in range(lanes):
                x = states[at]
                slot = x & _SLOT_MASK
                row = rows[i + at]
                symbol = slots[row, slot]
                symbols[i + at] = symbol
                entry = packed[row, symbol]
                x = (entry >> _WORD) * (x >> _BITS) + slot - (entry & _HALF)
                # read in any case: a branch would often be mispredicted
                refilled = x << _WORD | np.uint32(words[position])
                states[at] = refilled if x < _LOW else x
                position += x < _LOW
            i += lanes
        if i == count:
            break
        x = states[lane]
        slot = x & _SLOT_MASK
        row = rows[i]
        symbol = slots[row, slot]
        symbols[i] = symbol
        entry = packed[row, symbol]
        x = (entry >> _WORD) * (x >> _BITS) + slot - (entry & _HALF)
        if x < _LOW:
            if position >= words.size:
                return -1
            x = x << _WORD | np.uint32(words[position])
            position += 1
        states[lane] = x
        i += 1
        lane = lane + 1 if lane + 1 < lanes else 0
    return position
