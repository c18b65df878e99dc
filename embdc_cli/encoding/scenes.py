"""Where one scene ends and another begins: rows whose mean token jumps far more than its neighbours do.

d_t = |s_t - s_(t-1)|^2 of the signatures s of rows; row t begins a scene when d_t is more than JUMP times the median of
the differences around it and more than SHARE of what two unrelated rows would differ by. Chunks begin at scenes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

JUMP: Final = 6.0
SHARE: Final = 0.3
SHORTEST: Final = 8  # rows: a chunk's framing costs more than a shorter scene saves
_AROUND: Final = 8  # rows on either side
DIMENSIONS: Final = 16
_SEED: Final = 20261122


def signatures(rows: np.ndarray) -> np.ndarray:
    """(F, DIMENSIONS) float64: the mean token of each row (F, N, D), projected at random."""
    channels = rows.shape[2]
    signs = np.random.default_rng(_SEED).choice((-1.0, 1.0), (channels, DIMENSIONS))
    return np.asarray(rows.mean(axis=1, dtype=np.float64) @ signs)


def scene_starts(found: np.ndarray) -> list[int]:
    """Rows that begin a scene, 0 left out. found: (T, DIMENSIONS) signatures of all rows."""
    differences = (np.diff(found, axis=0) ** 2).sum(axis=1)
    unrelated = 2 * found.var(axis=0).sum()
    starts, last = [], 0
    for row in (np.flatnonzero(differences > SHARE * unrelated) + 1).tolist():
        around = np.concatenate([differences[max(0, row - 1 - _AROUND) : row - 1], differences[row : row + _AROUND]])
        jumps = not around.size or differences[row - 1] > JUMP * np.median(around)
        if jumps and row - last >= SHORTEST and len(found) - row >= SHORTEST:
            starts.append(row)
            last = row
    return starts
