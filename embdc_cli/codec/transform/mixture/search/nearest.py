"""Which modes are worth an exact look: for every run of rows the few that cost least by their leading vectors.

What a run x_t of L rows costs under a mode is foretold from z = sum_t x_t / sqrt(L), its frequency 0 of a DCT, and
the first q vectors of the mode, as if all that they leave were spread evenly over the coefficients that are left:

    sum_{i<q} log2(1 + y_i^2 / s^2) + o log2(1 + e / (o s^2)) + (L - 1) o log2(1 + f / ((L - 1) o s^2))

with y_i = (z - sqrt(L) mean) . v_i, e and f the energies that the q vectors leave, of z and of the rest of the rows,
and o = D - q. All of it is linear or quadratic in x, so longer runs follow from sums over shorter ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.tracks import LEVELS
from embdc_cli.entropy.backend import kernels

UNIT_LEVEL: Final = 2
UNIT: Final = 1 << UNIT_LEVEL
"""Rows that share their candidates."""
LEADING: Final = 8
"""q. 4 costs 0.1 % more bits at equal error where much moves."""
NEAREST: Final = (4, *[2] * (LEVELS - 1))
"""How many modes every run of each level names: 3 for one row cost 0.1 % more, 3 for all others win nothing."""
_KERNELS: Final = "embdc_cli.codec.transform.mixture.search"


class Nearest:
    """modes: (mean (D,), orthonormal rows (r, D)) float32 each, leading first. scale: 1 / s^2."""

    def __init__(self, modes: Sequence[tuple[np.ndarray, np.ndarray]], scale: float) -> None:
        channels = modes[0][0].size
        places = 1 + max(min(LEADING, len(basis)) for _, basis in modes)
        directions = np.zeros((places, len(modes), channels), np.float32)
        self._shifts = np.zeros((places, len(modes)), np.float32)
        self._others = np.ones(len(modes))
        for number, (mean, basis) in enumerate(modes):
            leading = basis[: places - 1]
            directions[: len(leading), number] = leading
            directions[-1, number] = mean
            self._shifts[: len(leading), number] = leading @ mean
            self._shifts[-1, number] = mean.astype(np.float64) @ mean / 2  # |z|^2 less twice this place: |z - mean|^2
            self._others[number] = max(channels - len(leading), 1)
        self._directions = directions.reshape(-1, channels).T
        self._scale = scale
        self.columns = self._directions.shape[1]

    def of(self, x: np.ndarray) -> np.ndarray:
        """(ceil(R / UNIT), n, modes) bool: what each unit of rows (R, n, D) and the runs that it is in name."""
        rows, tokens, channels = x.shape
        near = np.zeros((-(-rows // UNIT), tokens, len(self._others)), bool)
        if len(self._others) <= NEAREST[0]:
            near[:] = True
            return near
        projected = (x.reshape(rows * tokens, channels) @ self._directions).reshape(rows, tokens, *self._shifts.shape)
        projected -= self._shifts
        levels = min(rows.bit_length(), LEVELS)
        kernels(_KERNELS).mark_nearest(
            projected, _energies(x, levels), self._others, self._scale, np.array(NEAREST[:levels]), UNIT, near
        )
        return near


def _energies(x: np.ndarray, levels: int) -> np.ndarray:
    """(runs of all levels, n): |z|^2 of every run, level after level."""
    found = []
    for level in range(levels):
        if level:
            whole = len(x) - len(x) % 2
            x = (x[0:whole:2] + x[1:whole:2]) * np.float32(np.sqrt(0.5))
        found.append(np.einsum("rnd,rnd->rn", x, x))
    return np.concatenate(found)
