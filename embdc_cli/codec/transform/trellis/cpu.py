"""Viterbi search over the states of dependent quantisation compiled with numba: the levels that `reference.py` chooses.

One track after another, 16 of them gathered at a time, since neighbours in a plane share a cache line. Of each value
two bytes are kept for the way back: which of its two ways survived into each state, and which candidate each quantiser
and parity took. No operation is fused or reordered (no fastmath), and the loops release the GIL.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.transform.trellis.reference import LIMIT, Prices
from embdc_cli.entropy.dependent.states import NEXT
from embdc_cli.entropy.tables import ESCAPE

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_TILE = 16  # tracks: a cache line of float32


def _in(dtype: Any, axes: int = 1) -> Any:
    # writable arrays convert to read-only parameters, so that one compiled signature takes both
    return numba.types.Array(dtype, axes, "C", readonly=True)


_BYTES, _BLOCKS, _VALUES = _in(numba.uint8), _in(numba.int64, 2), _in(numba.float32)
_ZERO, _NONZERO = _in(numba.float64, 2), _in(numba.float64, 3)


def choose(values: np.ndarray, classes: np.ndarray, blocks: np.ndarray, prices: Prices) -> np.ndarray:
    """As in `reference.py`."""
    levels = np.zeros(values.size, np.int32)
    longest = int(blocks[:, 0].max(initial=0))
    gathered = np.empty((_TILE, longest), np.float64)
    gathered_classes = np.empty((_TILE, longest), np.uint8)
    way_back = np.empty((2, longest), np.uint8)
    chosen = np.empty((_TILE, longest), np.int32)
    _choose(values, classes, blocks, *prices, NEXT, gathered, gathered_classes, way_back, chosen, levels)
    return levels


@numba.njit(inline="always")
def _candidates(
    a: float,
    cls: int,
    quantiser: int,
    zero: np.ndarray,
    nonzero: np.ndarray,
    lagrangian: float,
    direct: np.ndarray,
    shifts: np.ndarray,
    orders: np.ndarray,
    way_back: np.ndarray,
    plane: int,
) -> tuple[float, float]:
    """The costs of even and odd symbols; which candidates they are goes to `way_back`."""
    even = a * a + zero[quantiser, cls]
    odd = np.inf
    taken_even = taken_odd = 0
    lower = np.int64(0.5 * (a + quantiser))
    for candidate in (1, 2):
        k = lower + (candidate - 1)
        distance = a - np.float64(2 * k - quantiser)
        symbol = k >> np.int64(shifts[cls])
        if symbol < np.int64(direct[cls]):
            cost = distance * distance + nonzero[quantiser, cls, symbol]
        else:
            biased = symbol - np.int64(direct[cls]) + (np.int64(1) << np.int64(orders[cls]))
            bits = -1 - np.int64(orders[cls])
            while biased > 0:
                bits += 2
                biased >>= 1
            cost = distance * distance + nonzero[quantiser, cls, ESCAPE] + lagrangian * np.float64(bits)
            symbol = np.int64(ESCAPE)
        if k == 0:
            continue
        if symbol & 1:
            if cost < odd:
                odd = cost
                taken_odd = candidate
        elif cost < even:
            even = cost
            taken_even = candidate
    way_back[1, plane] |= np.uint8((taken_odd << 2 | taken_even) << 4 * quantiser)
    return even, odd


@numba.njit(nogil=True, cache=True)
def _choose_track(
    values: np.ndarray,
    classes: np.ndarray,
    zero: np.ndarray,
    nonzero: np.ndarray,
    lagrangian: float,
    direct: np.ndarray,
    shifts: np.ndarray,
    orders: np.ndarray,
    following: np.ndarray,
    way_back: np.ndarray,
    chosen: np.ndarray,
) -> None:
    c0 = 0.0
    c1 = c2 = c3 = c4 = c5 = c6 = c7 = np.inf
    for plane in range(values.size):
        cls = int(classes[plane])
        if cls == 0:
            continue
        way_back[1, plane] = 0
        a = abs(values[plane])
        a = 0.0 if a != a else min(a, LIMIT)
        even0, odd0 = _candidates(a, cls, 0, zero, nonzero, lagrangian, direct, shifts, orders, way_back, plane)
        even1, odd1 = _candidates(a, cls, 1, zero, nonzero, lagrangian, direct, shifts, orders, way_back, plane)
        # states s and s + 4 lead to the same two states: NEXT of states.py
        l0, h0 = c0 + even0, c4 + odd0
        l1, h1 = c0 + odd0, c4 + even0
        l2, h2 = c1 + even1, c5 + odd1
        l3, h3 = c1 + odd1, c5 + even1
        l4, h4 = c2 + odd0, c6 + even0
        l5, h5 = c2 + even0, c6 + odd0
        l6, h6 = c3 + odd1, c7 + even1
        l7, h7 = c3 + even1, c7 + odd1
        upper = (h0 < l0) | (h1 < l1) << 1 | (h2 < l2) << 2 | (h3 < l3) << 3
        upper |= (h4 < l4) << 4 | (h5 < l5) << 5 | (h6 < l6) << 6 | (h7 < l7) << 7
        way_back[0, plane] = np.uint8(upper)
        c0, c1 = min(l0, h0), min(l1, h1)
        c2, c3 = min(l2, h2), min(l3, h3)
        c4, c5 = min(l4, h4), min(l5, h5)
        c6, c7 = min(l6, h6), min(l7, h7)
    state = 0
    least = c0
    for other, cost in enumerate((c0, c1, c2, c3, c4, c5, c6, c7)):
        if cost < least:
            least = cost
            state = other
    for plane in range(values.size - 1, -1, -1):
        if classes[plane] == 0:
            chosen[plane] = 0
            continue
        before = (state >> 1) + 4 * (way_back[0, plane] >> state & 1)
        quantiser = before & 1
        parity = (state ^ following[before, 0]) & 1  # the two states after one differ in this bit
        candidate = np.int64(way_back[1, plane] >> (4 * quantiser + 2 * parity) & 3)
        level = np.int64(0)
        if candidate > 0:
            a = min(abs(values[plane]), LIMIT)
            level = np.int64(0.5 * (a + quantiser)) + (candidate - 1)
        chosen[plane] = -level if values[plane] < 0 else level
        state = before


@numba.njit(
    numba.void(
        *(_VALUES, _BYTES, _BLOCKS, _ZERO, _NONZERO, numba.float64, _BYTES, _BYTES, _BYTES, _in(numba.uint8, 2)),
        *(numba.float64[:, ::1], numba.uint8[:, ::1], numba.uint8[:, ::1], numba.int32[:, ::1], numba.int32[::1]),
    ),
    nogil=True,
    cache=True,
)
def _choose(
    values: np.ndarray,
    classes: np.ndarray,
    blocks: np.ndarray,
    zero: np.ndarray,
    nonzero: np.ndarray,
    lagrangian: float,
    direct: np.ndarray,
    shifts: np.ndarray,
    orders: np.ndarray,
    following: np.ndarray,
    gathered: np.ndarray,
    gathered_classes: np.ndarray,
    way_back: np.ndarray,
    chosen: np.ndarray,
    levels: np.ndarray,
) -> None:
    start = 0
    for block in range(blocks.shape[0]):
        planes = blocks[block, 0]
        tracks = blocks[block, 1]
        for first in range(0, tracks, _TILE):
            width = min(_TILE, tracks - first)
            for plane in range(planes):
                at = start + plane * tracks + first
                for track in range(width):
                    gathered[track, plane] = values[at + track]
                    gathered_classes[track, plane] = classes[at + track]
            for track in range(width):
                _choose_track(
                    gathered[track, :planes],
                    gathered_classes[track, :planes],
                    zero,
                    nonzero,
                    lagrangian,
                    direct,
                    shifts,
                    orders,
                    following,
                    way_back,
                    chosen[track, :planes],
                )
            for plane in range(planes):
                at = start + plane * tracks + first
                for track in range(width):
                    levels[at + track] = chosen[track, plane]
        start += planes * tracks
