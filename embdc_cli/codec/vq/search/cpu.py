"""Search and lookup compiled with numba: the same codes and sums as `reference.py`.

Some places of the grid at a time: each level scores all tokens there that have come to it, then finds the best path of
each place through the rows of the chunk. Values of all rows are kept, so that only the way back asks which codeword was
best, and only of the rows where it needs to know.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numba.core import config

from embdc_cli.codec.vq import gain
from embdc_cli.codec.vq.gaussian import SAVED, WIDTH
from embdc_cli.codec.vq.search import NEVER, SIDE, Packed, Prices
from embdc_cli.codec.vq.search.cpu_loops import advance, first_of, score

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_TOKENS: Final = 64
"""That are searched together, where one place has fewer rows: codewords are read once for all of them."""
_GO_ON, _STOP, _INDEX, _KEEP, _LEAVE = 0, 1, 2, 3, 5
"""Columns of what answers cost; of keeping and leaving there are two."""
_TOKEN: Final = np.dtype(
    [
        ("energy", np.int64),  # squared length of what is left
        ("code", np.int32),  # codeword of the level, -1 for none
        ("place", np.int32),  # among the scores
        ("active", np.bool_),  # has come to the level
        ("kept", np.bool_),  # its index, at the level before
        ("begins", np.bool_),  # best anew from a row that has stopped
        ("ends", np.bool_),  # best with a codeword
        ("energy_of_gain", np.float64),
        ("hope", np.float32),
        ("keep", np.float32),
        ("anew", np.float32),
        ("greatest", np.float32),  # of its values
        ("highest", np.float32),  # what is taken from them
    ],
    align=True,
)


def _in(dtype: Any, axes: int) -> Any:
    return numba.types.Array(dtype, axes, "C", readonly=True)


_GAINS: Final = np.array(gain.GAINS)
_INVERSES: Final = np.array(gain.INVERSES)
_ENERGIES: Final = np.array(gain.ENERGIES)
_nearest: Any = numba.njit(cache=True)(gain.nearest)
_TOKENS1 = numba.from_dtype(_TOKEN)[::1]
_INTS1, _INTS2, _INTS3 = (_in(numba.int32, axes) for axes in (1, 2, 3))
_FLOATS1, _FLOATS2, _FLOATS3 = (_in(numba.float32, axes) for axes in (1, 2, 3))
_DOUBLES1 = _in(numba.float64, 1)
_LEVELS = (_INTS2, _INTS1, _INTS3)


def search(y: np.ndarray, packed: Packed, prices: Prices, lagrangian: float) -> np.ndarray:
    """As in `reference.py`."""
    levels = len(packed.widths)
    codes = np.zeros((*y.shape[:2], levels), np.int32)
    scales = 2.0 * 4.0**packed.shifts
    answers = np.column_stack([prices.go_on, prices.stop, prices.index, prices.keep, prices.leave])
    costs = (answers * (lagrangian / scales)[:, None]).astype(np.float32)
    levels_after = np.minimum(np.arange(levels)[::-1], -(-y.shape[2] // WIDTH))
    if lagrangian == 0:  # none may stop, so nothing is to be hoped for
        costs[:, _STOP] = np.inf
        levels_after = np.zeros(levels)
    _search(
        np.ascontiguousarray(y),
        packed.channels,
        packed.widths,
        packed.codewords,
        packed.seen,
        packed.halves,
        packed.shifts,
        packed.bounds,
        costs,
        lagrangian * prices.index,
        levels_after / scales,
        packed.gain,
        packed.expected,
        codes,
    )
    return codes


def lookup(codes: np.ndarray, packed: Packed, rank: int) -> np.ndarray:
    """As in `reference.py`."""
    y = np.zeros((*codes.shape[:-1], rank))
    if codes.size and rank:
        flat = np.ascontiguousarray(codes).reshape(-1, codes.shape[-1])
        _lookup(flat, packed.channels, packed.widths, packed.codewords, packed.gain, y.reshape(-1, rank))
    return y


@numba.njit(numba.void(_TOKENS1, numba.float32[:, ::1], numba.float32[::1], _FLOATS1), nogil=True, cache=True)
def _path(tokens: np.ndarray, scores: np.ndarray, nothing: np.ndarray, costs: np.ndarray) -> None:
    """The codes of the tokens of one place (F,), whose scores become values. nothing: values before the first row."""
    best, none, highest, before = np.float32(NEVER), np.float32(0), np.float32(0), nothing
    for token in tokens:
        if not token.active:
            best, none, highest, before = np.float32(NEVER), np.float32(0), np.float32(0), nothing
            continue
        anew = best - costs[_LEAVE + token.kept]
        token.begins = none >= anew
        token.anew = max(none, anew) - costs[_INDEX]
        token.keep = costs[_KEEP + token.kept]
        none = max(best, none) - costs[_STOP]
        values = scores[token.place]
        times = np.float32(token.energy_of_gain)
        token.greatest = advance(values, before, highest, token.keep, token.anew, token.hope, times, costs[_GO_ON])
        before, highest = values, max(token.greatest, none)
        best, none = token.greatest - highest, none - highest
        token.highest = highest
        token.ends = best > none
    code = np.int32(-1)  # of the row after
    for t in range(tokens.size - 1, -1, -1):
        token = tokens[t]
        stops, stays = not token.active, False
        if token.active and code >= 0:
            after = tokens[t + 1]
            stays = scores[token.place, code] - token.highest - after.keep >= after.anew
            stops = not stays and after.begins
        elif token.active:
            stops = not token.ends
        if stops:
            code = np.int32(-1)
        elif not stays:
            code = first_of(scores[token.place], token.greatest)
        token.code = code


@numba.njit(nogil=True, cache=True)
def _take_gains(tokens: np.ndarray, left: np.ndarray, expected: np.ndarray, codes: np.ndarray) -> None:
    """Gains of the tokens of one place (F,); from here on what is left (F, r) is divided by them."""
    before = -1
    for t in range(tokens.size):
        token = tokens[t]
        if not token.active:
            before = -1
            continue
        total = 0.0
        for j in range(expected.size):
            total += np.float64(left[t, j]) * np.float64(left[t, j]) / expected[j]
        found = _nearest(total, before)
        codes[t] = found + 1
        token.kept = found == before
        token.energy_of_gain = _ENERGIES[found]
        energy = np.int64(0)
        for j in range(expected.size):
            value = np.int64(left[t, j]) * _INVERSES[found] + (1 << 15) >> 16
            left[t, j] = value
            energy += value * value
        token.energy = energy
        before = found


@numba.njit(
    numba.void(
        _INTS3,
        *_LEVELS,
        _FLOATS3,
        _FLOATS2,
        _INTS1,
        _INTS1,
        _FLOATS2,
        _DOUBLES1,
        _DOUBLES1,
        numba.int64,
        _DOUBLES1,
        numba.int32[:, :, ::1],
    ),
    nogil=True,
    cache=True,
)
def _search(
    y: np.ndarray,
    channels: np.ndarray,
    widths: np.ndarray,
    codewords: np.ndarray,
    seen: np.ndarray,
    halves: np.ndarray,
    shifts: np.ndarray,
    bounds: np.ndarray,
    costs: np.ndarray,
    index_costs: np.ndarray,
    hopes: np.ndarray,
    gain_level: int,
    expected: np.ndarray,
    codes: np.ndarray,
) -> None:
    rows, count, rank = y.shape
    together = max(1, _TOKENS // rows)
    blocks = (rank + WIDTH - 1) // WIDTH
    tokens = np.empty(together * rows, _TOKEN)
    left = np.empty((tokens.size, rank), np.int32)
    x = np.zeros((tokens.size + SIDE - 1, seen.shape[1]), np.float32)
    scores = np.empty((len(x), halves.shape[1]), np.float32)
    nothing = np.full(halves.shape[1], np.float32(NEVER), np.float32)
    for start in range(0, count, together):
        places = min(together, count - start)
        for n in range(places):
            for t in range(rows):
                token = tokens[n * rows + t]
                token.active = token.kept = True
                energy = np.int64(0)
                for j in range(rank):
                    value = np.int64(y[t, start + n, j])
                    left[n * rows + t, j] = value
                    energy += value * value
                token.energy = energy
                token.energy_of_gain = 1.0
        for level in range(widths.size):
            if level == gain_level:
                for n in range(places):
                    part = slice(n * rows, (n + 1) * rows)
                    _take_gains(tokens[part], left[part], expected, codes[:, start + n, level])
                continue
            half, bound = np.int32(1) << shifts[level] >> 1, bounds[level]
            active = 0
            for number in range(places * rows):
                token = tokens[number]
                if token.active:
                    for j in range(widths[level]):
                        value = left[number, np.uint32(channels[level, j])] + half >> shifts[level]
                        x[active, j] = min(max(value, -bound), bound)
                    to_come = SAVED / blocks * np.float64(token.energy) - index_costs[level] / token.energy_of_gain
                    token.hope = np.float32(max(0.0, to_come) * hopes[level])
                    token.place = active
                    active += 1
            if active == 0:
                break
            score(x, seen[level], halves[level], scores, active, widths[level])
            for n in range(places):
                _path(tokens[n * rows : (n + 1) * rows], scores, nothing, costs[level])
                before = np.int32(-1)
                for t in range(rows):
                    number = n * rows + t
                    token = tokens[number]
                    code = token.code
                    codes[t, start + n, level] = code + 1
                    token.active = code >= 0
                    token.kept = code >= 0 and code == before
                    before = code
                    if code >= 0:
                        energy = token.energy
                        for j in range(widths[level]):
                            channel = np.uint32(channels[level, j])
                            was = np.int64(left[number, channel])
                            now = was - codewords[level, np.uint32(code), j]
                            left[number, channel] = now
                            energy += now * now - was * was
                        token.energy = energy
        if gain_level + 1 < widths.size:
            for n in range(start, start + places):
                for t in range(rows):
                    if codes[t, n, gain_level + 1] == 0:
                        codes[t, n, gain_level] = 0


@numba.njit(nogil=True, cache=True)
def sum_codewords(
    codes: np.ndarray,
    channels: np.ndarray,
    widths: np.ndarray,
    codewords: np.ndarray,
    gain_level: int,
    sums: np.ndarray,
    y: np.ndarray,
) -> None:
    """y (r,) float64 of the codes (L,) of a token. sums: (2, r) int32 zeros, and left so."""
    for level in range(widths.size):
        code = codes[level]
        if code > 0:
            to = sums[0] if level <= gain_level else sums[1]
            for j in range(widths[level]):
                to[channels[level, j]] += codewords[level, code - 1, j]
    times = _GAINS[codes[gain_level]] if gain_level < widths.size else 0.0
    for j in range(y.size):
        y[j] = sums[0, j] + sums[1, j] * times
    sums[:] = 0


@numba.njit(numba.void(_INTS2, *_LEVELS, numba.int64, numba.float64[:, ::1]), nogil=True, cache=True)
def _lookup(
    codes: np.ndarray, channels: np.ndarray, widths: np.ndarray, codewords: np.ndarray, gain_level: int, y: np.ndarray
) -> None:
    sums = np.zeros((2, y.shape[1]), np.int32)
    for token in range(codes.shape[0]):
        sum_codewords(codes[token], channels, widths, codewords, gain_level, sums, y[token])
