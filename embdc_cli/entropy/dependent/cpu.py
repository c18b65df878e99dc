"""Walks along the tracks of dependent levels compiled with numba: the same arrays as `reference.py`.

Loops release the GIL. Neighbours in a plane belong to different tracks, so the chain from a symbol over the state to
the row of the next symbol is as long as a plane, and the processor looks ahead as it does without states.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.entropy.dependent.states import NEXT
from embdc_cli.entropy.rans.layout import STATE_LOW, WORD_BITS
from embdc_cli.entropy.tables import (
    ESCAPE,
    PROBABILITY_BITS,
    ROWS,
    TOTAL,
    Tables,
    class_rows,
    class_shifts,
)

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_LOW = np.uint32(STATE_LOW)
_SLOT_MASK = np.uint32(TOTAL - 1)
_BITS = np.uint32(PROBABILITY_BITS)
_WORD = np.uint32(WORD_BITS)
_HALF = np.uint32(0xFFFF)


def _in(dtype: Any, axes: int = 1) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, axes, "C", readonly=True)


_BYTES, _BYTE_ROWS, _BYTES_OUT = _in(numba.uint8), _in(numba.uint8, 2), numba.uint8[::1]
_BLOCKS, _PACKED = _in(numba.int64, 2), _in(numba.uint32, 2)


def quantisers(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, direct: np.ndarray) -> np.ndarray:
    """As in `reference.py`."""
    chosen = np.zeros(levels.size, np.uint8)
    _quantisers(levels, classes, blocks, class_rows(), class_shifts(), direct, NEXT, _track_states(blocks), chosen)
    return chosen


def points_of(levels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """As in `reference.py`."""
    points = np.empty(levels.size, np.int32)
    _points_of(levels, chosen, points)
    return points


def decode(
    states: np.ndarray, words: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables
) -> tuple[np.ndarray, np.ndarray, bool]:
    """As in `reference.py`."""
    symbols, chosen = np.zeros(np.count_nonzero(classes), np.uint8), np.zeros(classes.size, np.uint8)
    packed = tables.freq.astype(np.uint32) << _WORD | tables.cum[:, :-1]  # both in one load
    whole = _decode(
        states.copy(),
        words,
        classes,
        blocks,
        class_rows(),
        NEXT,
        packed,
        tables.slots,
        _track_states(blocks),
        symbols,
        chosen,
    )
    return symbols, chosen, bool(whole)


def _track_states(blocks: np.ndarray) -> np.ndarray:
    """Room for the state of each track of the widest block."""
    return np.zeros(blocks[:, 1].max(initial=0), np.uint8)


@numba.njit(
    numba.void(_in(numba.int32), _BYTES, _BLOCKS, _BYTES, _BYTES, _BYTES, _BYTE_ROWS, _BYTES_OUT, _BYTES_OUT),
    nogil=True,
    cache=True,
)
def _quantisers(
    levels: np.ndarray,
    classes: np.ndarray,
    blocks: np.ndarray,
    row_of: np.ndarray,
    shift_of: np.ndarray,
    direct: np.ndarray,
    following: np.ndarray,
    state: np.ndarray,
    chosen: np.ndarray,
) -> None:
    i = 0
    for block in range(blocks.shape[0]):
        tracks = blocks[block, 1]
        state[:tracks] = 0
        for _ in range(blocks[block, 0]):
            for track in range(tracks):
                cls = classes[i]
                if cls > 0:
                    s = state[track]
                    chosen[i] = s & 1
                    high = np.uint32(abs(levels[i])) >> np.uint32(shift_of[cls])
                    symbol = high if high < np.uint32(direct[row_of[cls]]) else np.uint32(ESCAPE)
                    state[track] = following[s, symbol & 1]
                i += 1


@numba.njit(numba.void(_in(numba.int32), _BYTES, numba.int32[::1]), nogil=True, cache=True)
def _points_of(levels: np.ndarray, chosen: np.ndarray, points: np.ndarray) -> None:
    for i in range(levels.size):
        level = levels[i]
        inwards = np.int32(chosen[i])
        points[i] = 2 * level - (level > 0) * inwards + (level < 0) * inwards


@numba.njit(
    numba.boolean(
        *(numba.uint32[::1], _in(numba.uint16), _BYTES, _BLOCKS, _BYTES, _BYTE_ROWS),
        *(_PACKED, _BYTE_ROWS, _BYTES_OUT, _BYTES_OUT, _BYTES_OUT),
    ),
    nogil=True,
    cache=True,
)
def _decode(
    states: np.ndarray,
    words: np.ndarray,
    classes: np.ndarray,
    blocks: np.ndarray,
    row_of: np.ndarray,
    following: np.ndarray,
    packed: np.ndarray,
    slots: np.ndarray,
    state: np.ndarray,
    symbols: np.ndarray,
    chosen: np.ndarray,
) -> bool:
    lanes = states.size
    position = lane = coded = i = 0
    for block in range(blocks.shape[0]):
        tracks = blocks[block, 1]
        state[:tracks] = 0
        for _ in range(blocks[block, 0]):
            for track in range(tracks):
                cls = classes[i]
                if cls == 0:
                    i += 1
                    continue
                s = state[track]
                chosen[i] = s & 1
                i += 1
                row = row_of[cls] + (s & 1) * ROWS
                x = states[lane]
                slot = x & _SLOT_MASK
                symbol = slots[row, slot]
                entry = packed[row, symbol]
                x = (entry >> _WORD) * (x >> _BITS) + slot - (entry & _HALF)
                if x < _LOW:
                    if position >= words.size:
                        return False
                    x = x << _WORD | np.uint32(words[position])
                    position += 1
                states[lane] = x
                symbols[coded] = symbol
                state[track] = following[s, symbol & 1]
                coded += 1
                lane = lane + 1 if lane + 1 < lanes else 0
    for lane in range(lanes):
        if states[lane] != _LOW:
            return False
    return bool(position == words.size)
