"""The part of a sample that mixtures are learnt from: spans of 64 rows of some tokens, evenly from everywhere."""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.tracks import SPAN

_STRIDE: Final = 7919  # a prime: which tokens are taken differs from span to span


class Columns:
    """Keeps about `budget` of `total` values, whole spans of single tokens."""

    def __init__(self, total: int, budget: int) -> None:
        self._every = max(1, -(-total // budget))
        self._spans = 0
        self._kept: dict[int, list[np.ndarray]] = {}

    def add(self, tokens: np.ndarray) -> None:
        """tokens: (F, N, D) float32 of one chunk."""
        for start in range(0, len(tokens), SPAN):
            span = tokens[start : start + SPAN]
            first = self._spans * _STRIDE % self._every
            self._spans += 1
            if first < span.shape[1]:
                self._kept.setdefault(len(span), []).append(np.ascontiguousarray(span[:, first :: self._every]))

    @property
    def arrays(self) -> list[np.ndarray]:
        """(R, n, D) each, one for each length of span."""
        return [np.concatenate(spans, axis=1) for _, spans in sorted(self._kept.items(), reverse=True)]
