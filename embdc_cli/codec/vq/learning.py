"""Levels learnt from a sample of coefficients, one after the other: k-means on what the levels before left.

A level takes the coefficients with the most variance left, so levels overlap where variance is concentrated and part
where it is spread: neither residual nor product quantisation is decided beforehand.
Source: as `levels`; k-means as `codec.k_means`. Not here: whether a level is worth its bytes (`fit`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from embdc_cli.codec.k_means import lloyd, nearest
from embdc_cli.codec.vq.levels import MAX_CODEWORDS

WIDTH: Final = 32
_SEED: Final = 20261122
_TOKENS_PER_CODEWORD: Final = 32
"""64 cost 8 % more error at 0.2 bits per value on one ViT dump, 17 % at 0.8; 128 another tenth."""
_SEEN_PER_CODEWORD: Final = 64
"""Tokens that codewords are averaged from."""
_LEAST_CODEWORDS: Final = 16


@dataclass(frozen=True, eq=False)
class Learnt:
    """channels: (w,) int32, rising. centres: (K, w) float32. saved: squared error per token that the level saves."""

    channels: np.ndarray
    centres: np.ndarray
    saved: float


class Learner:
    """Call `level` for one after the other. sample: (n, r) float32. tokens: of the segment."""

    def __init__(self, sample: np.ndarray, tokens: float, rounds: int) -> None:
        self._left = sample.copy()
        self._energies = [_energies(sample)]
        self._levels: list[Learnt] = []
        most = min(MAX_CODEWORDS, len(sample), tokens / _TOKENS_PER_CODEWORD)
        self._codewords = 1 << int(np.log2(max(1.0, most)))
        self._rounds = rounds
        self._rng = np.random.default_rng(_SEED)

    @cached_property
    def able(self) -> bool:
        """Whether there are tokens and coefficients enough for levels of their own."""
        return self._codewords >= _LEAST_CODEWORDS and self._left.shape[1] > 0

    def level(self, number: int) -> Learnt:
        """Level `number`; those before it are learnt first."""
        while len(self._levels) <= number:
            self._learn()
        return self._levels[number]

    def energies(self, levels: int) -> np.ndarray:
        """(r,) float64: mean square of each coefficient that the first `levels` levels leave."""
        if levels:
            self.level(levels - 1)
        return self._energies[levels]

    def _learn(self) -> None:
        energies = self._energies[-1]
        channels = np.sort(np.argsort(-energies, kind="stable")[:WIDTH]).astype(np.int32)
        seen = np.ascontiguousarray(self._left[:, channels])
        drawn = seen
        if len(seen) > _SEEN_PER_CODEWORD * self._codewords:
            chosen = self._rng.choice(len(seen), _SEEN_PER_CODEWORD * self._codewords, replace=False)
            drawn = seen[np.sort(chosen)]
        first = drawn[self._rng.choice(len(drawn), self._codewords, replace=False)]
        centres = lloyd(drawn, first, self._rounds)
        after = seen - centres[nearest(seen, centres)]
        self._left[:, channels] = after
        self._energies.append(energies.copy())
        self._energies[-1][channels] = _energies(after)
        self._levels.append(Learnt(channels, centres, float((energies - self._energies[-1]).sum())))


def _energies(tokens: np.ndarray) -> np.ndarray:
    """(w,) float64: mean squares of (n, w)."""
    return np.asarray(np.square(tokens, dtype=np.float64).mean(axis=0)) if len(tokens) else np.zeros(tokens.shape[1])
