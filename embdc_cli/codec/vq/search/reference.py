"""The definition of search and lookup, in numpy.

A level is searched for a token in all rows of a chunk at once. With the score of codeword k in row t half of what it
saves of the squared error, and prices in the same unit, the path that is best over all rows keeps

    V(t, k)    = score(t, k) - go_on + max(V(t-1, k) - keep,  max_j V(t-1, j) - leave - index,  V(t-1, none) - index)
    V(t, none) = max(max_j V(t-1, j), V(t-1, none)) - stop

in float32, less the largest of row t - 1. Rows that have stopped before stay stopped. Of equals the first is taken.
A level that serves a row badly must not hide those after it: score also has half of what these may still save, at least
what Gaussian levels would of what is left if it were spread evenly, (.682 left / blocks - lambda index) a level.
Then the next level goes on with what is left. At the level of gains every token gets the one of its energy, and all
after it see what is left divided by it, a bit as much dearer, and scores that count as much more.
Source: Viterbi, "Error bounds for convolutional codes", IEEE T-IT 13, 1967; a change costs the same whatever it leads
to, so a row takes K steps and not K^2.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.vq import gain
from embdc_cli.codec.vq.gaussian import SAVED, WIDTH
from embdc_cli.codec.vq.search import NEVER, Packed, Prices

_NONE = -1


def search(y: np.ndarray, packed: Packed, prices: Prices, lagrangian: float) -> np.ndarray:
    """As the package's."""
    rows, count, _ = y.shape
    codes = np.zeros((rows, count, len(packed.widths)), np.int32)
    for n in range(count):
        left = y[:, n].astype(np.int64)
        energy = (left**2).sum(axis=1)
        active, kept = np.ones(rows, bool), np.ones(rows, bool)
        weights = np.ones(rows)
        for level in range(codes.shape[2]):
            if level == packed.gain:
                gains = _gains(left, active, packed.expected)
                codes[:, n, level] = np.where(active, gains + 1, 0)
                kept = np.append(False, active[1:] & active[:-1] & (gains[1:] == gains[:-1]))
                left = gain.without(left, gains)
                energy = (left**2).sum(axis=1)
                weights = np.array(gain.ENERGIES)[gains]
                continue
            width = int(packed.widths[level])
            channels = packed.channels[level, :width]
            unit = np.float64(lagrangian) / (2.0 * 4.0 ** float(packed.shifts[level]))
            levels_after = min(codes.shape[2] - 1 - level, -(-y.shape[2] // WIDTH))
            bit = lagrangian / weights
            to_come = SAVED / -(-y.shape[2] // WIDTH) * energy - bit * float(prices.index[level])
            hope = np.maximum(0.0, to_come) * levels_after / (2.0 * 4.0 ** float(packed.shifts[level]))
            hope *= lagrangian > 0  # else none may stop, and rounding would make different scores equal
            scores = np.stack([_scores(row[channels], packed, level) for row in left])
            scores += hope.astype(np.float32)[:, None]
            scores *= weights.astype(np.float32)[:, None]
            path = _path(scores, active, kept, prices, level, unit)
            codes[:, n, level] = path + 1
            active = path != _NONE
            kept = np.append(False, active[1:] & (path[1:] == path[:-1]))
            for t in np.flatnonzero(active):
                before = left[t, channels]
                left[t, channels] = before - packed.codewords[level, path[t], :width]
                energy[t] += (left[t, channels] ** 2).sum() - (before**2).sum()
            if not active.any():
                break
        if packed.gain + 1 < codes.shape[2]:
            codes[codes[:, n, packed.gain + 1] == 0, n, packed.gain] = 0
    return codes


def _gains(left: np.ndarray, active: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(F,) of what is left (F, r); ONE where a token has stopped."""
    found = np.full(len(left), gain.ONE)
    energies = np.zeros(len(left))
    for j, one in enumerate(expected):  # in this order, so that sums round alike everywhere
        energies += left[:, j].astype(np.float64) * left[:, j] / one
    for t in np.flatnonzero(active):
        found[t] = gain.nearest(float(energies[t]), int(found[t - 1]) if t and active[t - 1] else -1)
    return found


def _scores(seen: np.ndarray, packed: Packed, level: int) -> np.ndarray:
    """(K,) float32: inner products less half the squared lengths; exact."""
    shift, bound = int(packed.shifts[level]), int(packed.bounds[level])
    x = np.clip(seen + (1 << shift >> 1) >> shift, -bound, bound).astype(np.float32)
    return np.asarray(x @ packed.seen[level, : len(x)] + packed.halves[level])


def _path(
    scores: np.ndarray, active: np.ndarray, kept: np.ndarray, prices: Prices, level: int, unit: float
) -> np.ndarray:
    """(F,) codeword of each row, _NONE where it stops. active, kept: at the level before."""
    rows, most = scores.shape
    go_on, stop, index = (np.float32(p[level] * unit) for p in (prices.go_on, prices.stop, prices.index))
    never = np.float32(NEVER)
    stay = np.zeros((rows, most), bool)  # whether a codeword is best reached from itself
    source = np.full(rows, _NONE)  # where else it is reached from
    ends = np.full(rows, _NONE)  # the best codeword of each row, _NONE if none is better than it
    best, best_k, none = never, _NONE, np.float32(0)
    value = np.full(most, never)
    for t in range(rows):
        keep = np.float32(prices.keep[level, int(kept[t])] * unit)
        leave = np.float32(prices.leave[level, int(kept[t])] * unit)
        anew = best - leave
        source[t] = best_k
        if none >= anew:
            anew, source[t] = none, _NONE
        anew = anew - index
        stopped = max(best, none)
        if active[t]:
            same = value - keep
            stay[t] = same >= anew
            value = scores[t] - go_on + np.where(stay[t], same, anew)
            none = never if unit == 0 else stopped - stop
            best_k = int(np.argmax(value))
            best = value[best_k]
            top = max(best, none)
            value, best, none = value - top, best - top, none - top
            ends[t] = best_k if best > none else _NONE
        else:
            value, best, best_k, none = np.full(most, never), never, _NONE, np.float32(0)
    return _back(stay, source, ends, active)


def _back(stay: np.ndarray, source: np.ndarray, ends: np.ndarray, active: np.ndarray) -> np.ndarray:
    """The path from its last row to its first."""
    rows = len(ends)
    path = np.full(rows, _NONE, np.int32)
    state = int(ends[rows - 1]) if rows else _NONE
    for t in range(rows - 1, -1, -1):
        path[t] = state if active[t] else _NONE
        if t == 0:
            break
        if not active[t] or state == _NONE:
            state = int(ends[t - 1])
        elif not stay[t, state]:
            state = int(source[t])
    return path


def lookup(codes: np.ndarray, packed: Packed, rank: int) -> np.ndarray:
    """As the package's."""
    flat = codes.reshape(-1, codes.shape[-1])
    learnt, after_gain = np.zeros((2, len(flat), rank), np.int32)
    for level, width in enumerate(packed.widths):
        coded = np.flatnonzero(flat[:, level])
        words = packed.codewords[level, flat[coded, level] - 1, :width]
        sums = learnt if level <= packed.gain else after_gain
        sums[np.ix_(coded, packed.channels[level, :width])] += words
    y = learnt.astype(np.float64)
    if packed.gain < len(packed.widths):
        y += after_gain * np.array(gain.GAINS)[flat[:, packed.gain]][:, None]
    return y.reshape(*codes.shape[:-1], rank)
