"""Quality along the rows: a few hundred bins whatever the length, and the worst rows.

Of a row: nmse = sum of its squared errors / sum of its (x - mu_c)^2, cosine = mean over its tokens; a bin is the same
over its rows. Rows without tokens are in no bin and never the worst.
"""

from __future__ import annotations

import heapq
import math
from typing import Any, Final

import numpy as np

from embdc_cli.comparison.block import Block, sum_rows
from embdc_cli.metrics import ratio
from embdc_cli.values import Timeline

BINS: Final = 240
WORST: Final = 5


class Series:
    """Errors by row of one stream of `rows` rows. mean: (D,) float64, of the reference."""

    def __init__(self, rows: int, mean: np.ndarray, timeline: Timeline | None) -> None:
        self._rows, self._mean, self._timeline = rows, mean, timeline
        # sse, energy, sum of cosines, tokens of every bin
        self._bins = np.zeros((min(BINS, rows), 4))
        self._worst: dict[str, list[tuple[float, int, float, float]]] = {"cosine": [], "nmse": []}

    def add(self, block: Block, cosine: np.ndarray) -> None:
        """Take in a block, and the cosine of each of its tokens (n,)."""
        sse, energy = np.zeros(len(cosine)), np.zeros(len(cosine))
        for part, x, y in block.parts():
            y -= x
            sse[part] = np.einsum("nd,nd->n", y, y)
            x -= self._mean
            energy[part] = np.einsum("nd,nd->n", x, x)
        if block.lost is not None:
            sse[block.lost.any(axis=1)] = math.inf
        by_row = sum_rows(np.stack([sse, energy, cosine, np.ones(len(cosine))], axis=1), block.counts)
        rows = block.row0 + np.arange(len(by_row))
        np.add.at(self._bins, rows * len(self._bins) // max(1, self._rows), by_row)
        filled = block.counts > 0
        self._add_worst(rows[filled], by_row[filled])

    def _add_worst(self, rows: np.ndarray, by_row: np.ndarray) -> None:
        cosine = by_row[:, 2] / by_row[:, 3]
        nmse = np.array([ratio(*pair) for pair in by_row[:, :2].tolist()])
        for by, badness in (("cosine", -cosine), ("nmse", nmse)):
            # a stable sort: of equally bad rows the first
            candidates = np.argsort(-badness, kind="stable")[:WORST]
            found = [(-float(badness[i]), int(rows[i]), float(nmse[i]), float(cosine[i])) for i in candidates]
            self._worst[by] = heapq.nsmallest(WORST, self._worst[by] + found)

    @property
    def worst(self) -> list[dict[str, Any]]:
        """The worst rows by cosine, then by nmse, the worst first."""
        return [
            {"by": by, "row": row, "seconds": self._seconds(row), "nmse": nmse, "cosine": cosine}
            for by, found in self._worst.items()
            for _, row, nmse, cosine in found
        ]

    @property
    def over_time(self) -> dict[str, list[Any] | None]:
        """{row, seconds, nmse, cosine}: of every bin its first row, when that is (None without times), its quality."""
        count = len(self._bins)
        first = [-(-number * self._rows // count) for number in range(count)]
        kept = [number for number in range(count) if self._bins[number, 3] > 0]
        bins = self._bins[kept].tolist()
        return {
            "row": [first[number] for number in kept],
            "seconds": None if self._timeline is None else [self._seconds(first[number]) for number in kept],
            "nmse": [ratio(sse, energy) for sse, energy, _, _ in bins],
            "cosine": [total / tokens for _, _, total, tokens in bins],
        }

    def _seconds(self, row: int) -> float | None:
        return None if self._timeline is None else self._timeline.seconds(row)
