"""The part of a sample that mixtures are learnt from: spans of 64 rows of some tokens, evenly from everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.tracks import SPAN

_STRIDE: Final = 7919  # a prime: which tokens are taken differs from span to span


@dataclass
class _Spans:
    """Of one length. rounds: how often the places of all tokens had been gone through before, (n,) each."""

    tokens: list[np.ndarray] = field(default_factory=list)
    rounds: list[np.ndarray] = field(default_factory=list)


class Columns:
    """Keeps about `budget` of `total` values, whole spans of single tokens."""

    def __init__(self, total: int, budget: int) -> None:
        self._every = max(1, -(-total // budget))
        self._spans = 0
        self._kept: dict[int, _Spans] = {}

    def add(self, tokens: np.ndarray) -> None:
        """tokens: (F, N, D) float32 of one chunk."""
        for start in range(0, len(tokens), SPAN):
            span = tokens[start : start + SPAN]
            first, done = self._spans * _STRIDE % self._every, self._spans // self._every
            self._spans += 1
            if first < span.shape[1]:
                kept = self._kept.setdefault(len(span), _Spans())
                kept.tokens.append(np.ascontiguousarray(span[:, first :: self._every]))
                kept.rounds.append(np.full(kept.tokens[-1].shape[1], done))

    @property
    def arrays(self) -> list[np.ndarray]:
        """(R, n, D) each, one for each length of span."""
        return [np.concatenate(self._kept[rows].tokens, axis=1) for rows in self._lengths]

    @property
    def halves(self) -> list[np.ndarray]:
        """(n,) bool for each of the arrays: which of two halves a span of a token is in.

        Both have tokens of all places, at different times, if there was time enough, else every other place.
        """
        found = []
        for rows in self._lengths:
            rounds = np.concatenate(self._kept[rows].rounds)
            told_apart = rounds if self._spans >= 2 * self._every else np.arange(len(rounds))
            found.append(told_apart % 2 == 1)
        return found

    @property
    def _lengths(self) -> list[int]:
        return sorted(self._kept, reverse=True)
