"""Viterbi search over the states of dependent quantisation, in numpy: the definition of what `cpu.py` compiles.

For a value v, a = |v| limited to 2^31 - 2 half steps, NaN as 0, and quantiser Q: the candidates are k = 0 and the two
neighbours of a among the points 2k - Q, k = floor((a + Q) / 2) and k + 1, with the sign of v. A candidate costs

    (a - point)^2 + nonzero[Q, class, symbol]  (and for an escape + lagrangian x escape bits);
    a^2 + zero[Q, class]  for level 0;

and for each quantiser and parity of the symbol the cheapest is kept, of equal ones the smallest. Of two ways into a
state the cheaper one survives, of equal ones that from the lower state; the path ends in the cheapest state, of equal
ones the lowest. All in float64 and in this order, so that both kernels choose alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.entropy.bits import bit_lengths
from embdc_cli.entropy.dependent.reference import planes_of
from embdc_cli.entropy.dependent.states import NEXT, STATES
from embdc_cli.entropy.tables import ESCAPE

LIMIT = 2.0 * MAX_LEVEL - 2  # then both neighbours are within MAX_LEVEL


class Prices(NamedTuple):
    """What symbols cost, in squared half steps, and what tells symbols apart.

    zero: (2, 64) float64, by quantiser and class; nonzero: (2, 64, 16) float64, by symbol too, sign
    included; lagrangian: of a bit; direct, shifts, orders: (64,) uint8, by class: magnitudes with a symbol, low bits,
    order of the Exp-Golomb code of an escape.
    """

    zero: np.ndarray
    nonzero: np.ndarray
    lagrangian: float
    direct: np.ndarray
    shifts: np.ndarray
    orders: np.ndarray


def choose(values: np.ndarray, classes: np.ndarray, blocks: np.ndarray, prices: Prices) -> np.ndarray:
    """The levels (n,) int32 of values (n,) float32 in half steps; classes: (n,) uint8; blocks: (b, 2) int64."""
    levels = np.zeros(values.size, np.int32)
    planes: list[slice] = []
    for first, plane in planes_of(blocks):
        if first and planes:
            _choose_block(values, classes, planes, prices, levels)
            planes = []
        planes.append(plane)
    if planes:
        _choose_block(values, classes, planes, prices, levels)
    return levels


def _choose_block(
    values: np.ndarray, classes: np.ndarray, planes: list[slice], prices: Prices, levels: np.ndarray
) -> None:
    """The levels of one block; all its tracks side by side."""
    tracks = np.arange(planes[0].stop - planes[0].start)
    paths = np.full((STATES, tracks.size), np.inf)
    paths[0] = 0.0
    history = []
    for plane in planes:
        costs, found = _candidates(values[plane], classes[plane], prices)
        best = np.full((STATES, tracks.size), np.inf)
        came_from = np.zeros((STATES, tracks.size), np.intp)
        for state in range(STATES):  # rising, so that the lower of two equal ones stays
            for parity in (0, 1):
                after = NEXT[state, parity]
                cost = paths[state] + costs[state & 1, parity]
                cheaper = cost < best[after]
                best[after] = np.where(cheaper, cost, best[after])
                came_from[after] = np.where(cheaper, state, came_from[after])
        coded = classes[plane] > 0
        paths = np.where(coded, best, paths)
        history.append((coded, came_from, found))
    state = paths.argmin(axis=0)
    for plane, (coded, came_from, found) in zip(reversed(planes), reversed(history), strict=True):
        before = came_from[state, tracks]
        parity = (NEXT[before, 1] == state).astype(np.intp)
        magnitudes = found[before & 1, parity, tracks]
        levels[plane] = np.where(coded, np.where(values[plane] < 0, -magnitudes, magnitudes), 0)
        state = np.where(coded, before, state)


def _candidates(values: np.ndarray, classes: np.ndarray, prices: Prices) -> tuple[np.ndarray, np.ndarray]:
    """(costs, magnitudes) (2, 2, tracks) float64 and int64, by quantiser and parity of the symbol."""
    a = np.minimum(np.abs(np.nan_to_num(values.astype(np.float64), posinf=LIMIT, neginf=-LIMIT)), LIMIT)
    costs = np.full((2, 2, values.size), np.inf)
    magnitudes = np.zeros((2, 2, values.size), np.int64)
    direct, shifts, orders = (table[classes].astype(np.int64) for table in prices[3:])
    for quantiser in (0, 1):
        costs[quantiser, 0] = a * a + prices.zero[quantiser, classes]
        lower = (0.5 * (a + quantiser)).astype(np.int64)
        for k in (lower, lower + 1):
            distance = a - (2 * k - quantiser)
            high = k >> shifts
            escaped = high >= direct
            symbol = np.where(escaped, ESCAPE, high)
            cost = distance * distance + prices.nonzero[quantiser, classes, symbol]
            biased = np.where(escaped, high - direct, 0) + (np.int64(1) << orders)
            escape_bits = (2 * bit_lengths(biased) - 1 - orders).astype(np.float64)
            cost = np.where(escaped, cost + prices.lagrangian * escape_bits, cost)
            for parity in (0, 1):
                cheaper = (k > 0) & (symbol & 1 == parity) & (cost < costs[quantiser, parity])
                costs[quantiser, parity] = np.where(cheaper, cost, costs[quantiser, parity])
                magnitudes[quantiser, parity] = np.where(cheaper, k, magnitudes[quantiser, parity])
    return costs, magnitudes
