"""Which tracks and which modes: the cut of every token that costs least under the modes there are.

A track under a mode costs about

    sum_ki log2(1 + (y_ki / s)^2) / 2  +  |x - mean - projection|^2 / (2 ln 2 s^2)  +  TRACK_BITS

with y its coefficients and s the reach: what a coefficient costs once it is above s, and the distortion of what is
below or outside the basis. Every dyadic run of rows names a few modes (`nearest`), the best of those named is found for
each run (`exact`), then bottom-up whether two halves cost less than the whole. Encoders only; any cut decodes. Source
of the cut: Coifman and Wickerhauser, "Entropy-based algorithms for best basis selection", IEEE T-IT 38, 1992.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.search.exact import Exact
from embdc_cli.codec.transform.mixture.search.nearest import Nearest
from embdc_cli.codec.transform.mixture.tracks import LEVELS, SPAN

TRACK_BITS: Final = 3.0
"""Level, mode and activity of a track; 5 and 8 cost 0.3 and 0.6 % more bits at equal error on three dumps."""

_VALUES_AT_ONCE: Final = 1 << 23


class Searcher:
    """modes: (mean (D,), orthonormal rows (r, D)) float32 each. reach: s, in the units of the tokens."""

    def __init__(self, modes: Sequence[tuple[np.ndarray, np.ndarray]], reach: float) -> None:
        scale = 1.0 / reach**2
        self._nearest = Nearest(modes, scale)
        self._exact = Exact(modes, scale)
        self._width = max(modes[0][0].size, self._nearest.columns)

    def maps(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(levels, modes) int8 and int16 (F, N): of the track that each row of each token is in. x: (F, N, D)."""
        rows, tokens, channels = x.shape
        levels = np.zeros((rows, tokens), np.int8)
        modes = np.zeros((rows, tokens), np.int16)
        whole = rows - rows % SPAN
        if whole:  # spans side by side, as if they were more tokens
            spans = whole // SPAN
            beside = x[:whole].reshape(spans, SPAN, tokens, channels).transpose(1, 0, 2, 3)
            found = self._span(beside.reshape(SPAN, spans * tokens, channels))
            levels[:whole], modes[:whole] = (
                one.reshape(SPAN, spans, tokens).transpose(1, 0, 2).reshape(whole, tokens) for one in found
            )
        if whole < rows:
            levels[whole:], modes[whole:] = self._span(x[whole:])
        return levels, modes

    def _span(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, tokens = x.shape[:2]
        least = [np.full((rows >> level, tokens), np.inf) for level in range(rows.bit_length())][:LEVELS]
        chosen = [np.zeros(cost.shape, np.int16) for cost in least]
        step = max(1, _VALUES_AT_ONCE // (rows * max(1, self._width)))
        for start in range(0, tokens, step):
            columns = slice(start, start + step)
            part = np.ascontiguousarray(x[:, columns])
            near = self._nearest.of(part)
            self._exact.search(part, near, [cost[:, columns] for cost in least], [one[:, columns] for one in chosen])
        return _cut(least, chosen, rows, tokens)


def _cut(
    least: Sequence[np.ndarray], chosen: Sequence[np.ndarray], rows: int, tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Maps (rows, tokens) of the cheapest cut, from the cheapest mode of every run at every level."""
    best = least[0] + TRACK_BITS
    levels = np.zeros((rows, tokens), np.int8)
    modes = chosen[0].astype(np.int16)
    for level in range(1, len(least)):
        runs = len(least[level])
        halves = best[: 2 * runs].reshape(runs, 2, tokens).sum(axis=1)
        whole = least[level] + TRACK_BITS
        joined = whole < halves
        spread = np.repeat(joined, 1 << level, axis=0)
        covered = slice(0, len(spread))
        levels[covered][spread] = level
        modes[covered][spread] = np.repeat(chosen[level], 1 << level, axis=0)[spread]
        best = np.where(joined, whole, halves)  # shorter runs at the end, which no longer one covers, stay as they are
    return levels, modes
