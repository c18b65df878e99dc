"""Decisions and reconstruction points of the sticky quantiser, in numpy: the definition of what `cpu.py` compiles.

Candidates for v = |x| / step with f = floor(v), in this order: 0 if f <= 2, then max(f - 1, 1) up to f + 1. Per track
(one token, one channel, all rows of the chunk) a Viterbi search over these minimises

    sum over rows of (v - point)^2 + lagrangian * bits,   point = q + offsets[min(q, 3), p, n],

where p and n say how the codes a row before and after compare (0 lower, 1 equal, 2 higher), and bits are those of the
coder's tables for the neighbours as they are at the moment; older codes of the track are those of each survivor's path.
Ties go to the first candidate. Tokens one after the other, so that later ones see what was decided for earlier ones.

Source: Forney, "The Viterbi algorithm", Proc. IEEE 61, 1973; Ramchandran, Vetterli, "Rate-distortion optimal fast
thresholding", IEEE T-IP 3, 1994, for decisions by rate and distortion.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.transform.time_context.model import FEATURES, ContextModel
from embdc_cli.codec.transform.time_context.reference import around, features_of, rows_of, symbols_after

CANDIDATES = 4
LEAST = 0.5
"""Tracks that stay below this many steps, and are zero so far, stay zero."""
WAKING_BITS = 6
"""What a change in a token that has none is taken to cost beyond itself: the token's class, and its zeros."""


def refine(
    values: np.ndarray,
    magnitudes: np.ndarray,
    width: int,
    classes: np.ndarray,
    cost: np.ndarray,
    offsets: np.ndarray,
    lagrangian: float,
    model: ContextModel,
) -> None:
    """One pass of better decisions over `magnitudes` (F, N, D) int32, in place.

    values: (F, N, D) float32, |x| / step. classes: (F, N) int64 of the tokens. cost: (ROWS, 16) int32 in 1/256 bit.
    offsets: (4, 3, 3) float64 in steps. lagrangian: squared steps per 1/256 bit.
    """
    mapped = features_of(magnitudes)
    for n in range(magnitudes.shape[1]):
        moving = np.flatnonzero((values[:, n].max(axis=0) >= LEAST) | magnitudes[:, n].any(axis=0))
        if not moving.size:
            continue
        near = [around(t, n, min(width, magnitudes.shape[1]), mapped)[:, moving] for t in range(len(values))]
        found = _track(values[:, n, moving], near, classes[:, n], cost, offsets, lagrangian, model)
        magnitudes[:, n, moving] = found
        mapped[:, n, moving] = features_of(found)


def _track(
    v: np.ndarray,
    near: list[np.ndarray],
    classes: np.ndarray,
    cost: np.ndarray,
    offsets: np.ndarray,
    lagrangian: float,
    model: ContextModel,
) -> np.ndarray:
    """The best codes (F, D) of one token. v: (F, D); near: of every row, features 1..12 (12, D)."""
    levels = np.stack([_candidates(row) for row in v])  # (F, 4, D), -1 where there is none
    every = np.arange(v.shape[1])
    first = np.concatenate([np.zeros_like(near[0][:1]), near[0], np.zeros_like(near[0][:3])])
    rate = cost[rows_of(None, first, 0, model), symbols_after(levels[0], np.zeros_like(levels[0]))]
    totals = np.where(levels[0] >= 0, lagrangian * rate, np.inf)
    older, change = levels[0].copy(), np.zeros_like(levels[0])
    level = 4 * features_of(np.maximum(levels[0], 0))
    back = np.zeros(levels.shape, np.int64)
    for t in range(1, len(v)):
        sums = np.full((CANDIDATES, CANDIDATES, v.shape[1]), np.inf)  # from, to
        for s, p in enumerate(levels[t - 1]):
            known = np.maximum(p, 0)
            found = np.zeros((FEATURES, v.shape[1]), np.int32)
            found[0], found[1:13], found[13] = features_of(np.maximum(older[s], 0)), near[t], features_of(known)
            found[14], found[15] = change[s], level[s]
            rows = rows_of(known, found, max(int(classes[t]), 1), model)
            rise = 1 + np.sign(older[s] - p) if t > 1 else np.ones_like(p)
            for z, q in enumerate(levels[t]):
                points = p + offsets[np.minimum(known, 3), rise, 1 + np.sign(q - p)]
                bits = cost[rows, symbols_after(np.maximum(q, 0), known)]
                if classes[t] == 0:
                    bits = np.where(p == q, 0, bits + 256 * WAKING_BITS)
                missed = v[t - 1].astype(np.float64) - points
                sums[s, z] = np.where((p >= 0) & (q >= 0), totals[s] + missed * missed + lagrangian * bits, np.inf)
        back[t] = sums.argmin(axis=0)
        totals = sums.min(axis=0)
        older = levels[t - 1][back[t], every]
        moved = 256 * (levels[t] != older).astype(np.int32)
        change, level = change[back[t], every], level[back[t], every]
        change = change + (moved - change >> 2)
        level = level + (4 * features_of(np.maximum(levels[t], 0)) - level >> 2)
    rise = 1 + np.sign(older - levels[-1]) if len(v) > 1 else np.ones_like(levels[-1])
    missed = v[-1].astype(np.float64) - levels[-1] - offsets[np.clip(levels[-1], 0, 3), rise, 1]
    best = (totals + missed * missed).argmin(axis=0)
    codes = np.empty(v.shape, np.int32)
    for t in reversed(range(len(v))):
        codes[t] = levels[t, best, every]
        best = back[t, best, every]
    return codes


def _candidates(v: np.ndarray) -> np.ndarray:
    """(4, D) int32 candidates for v (D,) float32; -1 where there are fewer."""
    f = v.astype(np.int32)
    lowest = np.maximum(f - 1, 1)
    others = [np.where(lowest + i <= f + 1, lowest + i, -1) for i in range(3)]
    return np.stack([np.where(f <= 2, 0, -1), *others]).astype(np.int32)


def _neighbours(magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F, N, D) int8 each: the code a row before, and after, lower (0), equal (1) or higher (2); 1 at the ends."""
    turn = np.sign(np.diff(magnitudes, axis=0)).astype(np.int8)
    edge = np.zeros((1, *magnitudes.shape[1:]), np.int8)
    return 1 - np.concatenate([edge, turn]), 1 + np.concatenate([turn, edge])


def centroid_sums(values: np.ndarray, magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(4, 3, 3) float64 sums of v - q, and int64 numbers, by min(q, 3), row before, row after. values: (F, N, D) v."""
    before, after = _neighbours(magnitudes)
    kind = (np.minimum(magnitudes, 3) * 3 + before) * 3 + after
    excess = values.astype(np.float64) - magnitudes
    sums = np.bincount(kind.ravel(), excess.ravel(), minlength=36)
    return sums.reshape(4, 3, 3), np.bincount(kind.ravel(), minlength=36).reshape(4, 3, 3)


def points(codes: np.ndarray, offsets: np.ndarray, step: float) -> np.ndarray:
    """(F, N, D) float32 reconstruction points of codes (F, N, D) int32. offsets: (4, 3, 3) float32 in steps.

    A zero takes the sign of the code a row before, or where that is zero, of the one after.
    """
    magnitudes = np.abs(codes)
    before, after = _neighbours(magnitudes)
    found = magnitudes.astype(np.float32) + offsets[np.minimum(magnitudes, 3), before, after]
    signs = np.sign(codes)
    for shifted in (1, -1):
        beside = np.zeros_like(signs)
        if shifted == 1:
            beside[1:] = np.sign(codes[:-1])
        else:
            beside[:-1] = np.sign(codes[1:])
        signs = np.where(signs == 0, beside, signs)
    return np.asarray(np.where(signs < 0, -found, found) * np.float32(step))
