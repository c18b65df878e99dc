"""Walks along the tracks of dependent levels, in numpy: the definition of what `cpu.py` compiles.

A block of planes x tracks holds its levels plane by plane; track t of it is levels t, tracks + t, 2 tracks + t, ...
A position of class 0 holds a zero that is not sent, and its track stays in its state. Blocks here are never empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embdc_cli.entropy.dependent.points import points_of as points_of
from embdc_cli.entropy.dependent.states import NEXT
from embdc_cli.entropy.rans.layout import STATE_LOW, WORD_BITS
from embdc_cli.entropy.tables import ESCAPE, PROBABILITY_BITS, ROWS, TOTAL, Tables, class_rows, class_shifts


def planes_of(blocks: np.ndarray) -> Iterator[tuple[bool, slice]]:
    """For every plane in turn whether it is the first of its block, and where its levels are.

    blocks: (b, 2) int64 of planes and tracks.
    """
    start = 0
    for planes, tracks in blocks.tolist():
        for plane in range(planes):
            yield plane == 0, slice(start, start + tracks)
            start += tracks


def quantisers(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, direct: np.ndarray) -> np.ndarray:
    """The quantiser, 0 or 1, of every level, (n,) uint8; 0 under class 0.

    levels: (n,) int32 above -2^31; classes: (n,) uint8 below 64; blocks: (b, 2) int64; direct: (32,) uint8.
    """
    magnitudes = np.abs(levels) >> class_shifts()[classes]
    symbols = np.where(magnitudes < direct[class_rows()[classes]], magnitudes, ESCAPE)
    chosen = np.zeros(levels.size, np.uint8)
    state = np.zeros(0, np.uint8)
    for first, plane in planes_of(blocks):
        if first:
            state = np.zeros(plane.stop - plane.start, np.uint8)
        coded = classes[plane] > 0
        chosen[plane] = np.where(coded, state & 1, 0)
        state = np.where(coded, NEXT[state, symbols[plane] & 1], state)
    return chosen


def decode(
    states: np.ndarray, words: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The symbols (coded,) uint8, all quantisers (n,) uint8, whether the states and the words of rANS came out even.

    states: (lanes,) uint32; words: (m,) uint16; classes: (n,) uint8 below 64; blocks: (b, 2) int64;
    tables: 64 x 16, rows 32..63 for quantiser 1. Any states and words are safe.
    """
    lanes, position, done = states.size, 0, 0
    x = states.astype(np.uint64)
    symbols, chosen = np.zeros(np.count_nonzero(classes), np.uint8), np.zeros(classes.size, np.uint8)
    state = np.zeros(0, np.uint8)
    for first, plane in planes_of(blocks):
        if first:
            state = np.zeros(plane.stop - plane.start, np.uint8)
        live = np.flatnonzero(classes[plane])
        chosen[plane.start + live] = state[live] & 1
        rows = class_rows()[classes[plane][live]] + ROWS * (state[live] & 1)
        end = done + live.size
        while rows.size:  # as far as the lanes go round once: in `entropy.rans.reference` this is one step
            lane = slice(done % lanes, min(done % lanes + rows.size, lanes))
            row, rows = np.split(rows, [lane.stop - lane.start])
            slot = x[lane] & np.uint64(TOTAL - 1)
            symbol = tables.slots[row, slot]
            f, c = tables.freq[row, symbol].astype(np.uint64), tables.cum[row, symbol].astype(np.uint64)
            x[lane] = f * (x[lane] >> np.uint64(PROBABILITY_BITS)) + slot - c
            empty = lane.start + np.flatnonzero(x[lane] < STATE_LOW)
            if position + empty.size > words.size:
                return symbols, chosen, False
            x[empty] = x[empty] << np.uint64(WORD_BITS) | words[position : position + empty.size]
            position += empty.size
            symbols[done : done + row.size] = symbol
            done += row.size
        state[live] = NEXT[state[live], symbols[end - live.size : end] & 1]
    return symbols, chosen, bool(position == words.size and np.all(x == STATE_LOW))
