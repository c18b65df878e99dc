"""What a linear head makes of the vectors: top-1 agreement, KL divergence, and accuracy where labels are known.

logits = W v + b,  agreement = share of vectors with the same arg max,
kl = mean of sum_k p_k (log p_k - log q_k) in nats, p = softmax(logits of the reference), q of the other input
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from embdc_cli.comparison.block import Block
from embdc_cli.comparison.sampling import inside, stratified
from embdc_cli.metrics import BLOCK_VALUES

MAX_TOKENS: Final = 1 << 18


@dataclass(frozen=True)
class Head:
    """A linear classifier of K classes: weight (K, D), bias (K,), both float64."""

    weight: np.ndarray
    bias: np.ndarray

    @property
    def classes(self) -> int:
        return len(self.weight)

    @property
    def channels(self) -> int:
        return int(self.weight.shape[1])


class Probe:
    """The outcome of `head` on one stream.

    on: "pooled" (mean of the tokens of every row), "first" (first token of every row), "tokens" (a sample of all).
    labels: classes of the rows, (T,) int64, or None.
    """

    def __init__(self, head: Head, on: str, tokens: int, labels: np.ndarray | None) -> None:
        self._head, self._on, self._labels = head, on, labels
        self._chosen = stratified(tokens, MAX_TOKENS)
        self._vectors = self._agreed = self._correct_before = self._correct_after = 0
        self._kl = 0.0

    def add(self, block: Block) -> None:
        """Take in a block."""
        filled = np.flatnonzero(block.counts)
        if self._on == "tokens":
            taken = inside(self._chosen, block.token0, len(block.x))
            x, y = block.x[taken], block.y[taken]
        elif self._on == "first":
            first = (np.cumsum(block.counts) - block.counts)[filled]
            x, y = block.x[first], block.y[first]
        else:
            x, y = (pooled[filled] for pooled in block.pooled)
        labels = None if self._labels is None else self._labels[block.row0 + filled]
        size = max(1, BLOCK_VALUES // max(1, self._head.classes, self._head.channels))
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            self._add_vectors(x[part], y[part], None if labels is None else labels[part])

    def _add_vectors(self, x: np.ndarray, y: np.ndarray, labels: np.ndarray | None) -> None:
        before, after = (vectors.astype(np.float64) @ self._head.weight.T + self._head.bias for vectors in (x, y))
        best, best_after = before.argmax(axis=1), after.argmax(axis=1)
        self._vectors += len(x)
        self._agreed += int(np.count_nonzero(best == best_after))
        log_p, log_q = log_softmax(before), log_softmax(after)
        self._kl += float(np.einsum("nk,nk->", np.exp(log_p), log_p - log_q))
        if labels is not None:
            self._correct_before += int(np.count_nonzero(best == labels))
            self._correct_after += int(np.count_nonzero(best_after == labels))

    @property
    def figures(self) -> dict[str, Any]:
        """{on, vectors, agreement, kl}; the latter None without vectors."""
        return {
            "on": self._on,
            "vectors": self._vectors,
            "agreement": self._share(self._agreed),
            "kl": max(0.0, self._kl / self._vectors) if self._vectors else None,
        }

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """{rows, before, after, loss}: shares of rows whose arg max is their label; None without labels."""
        if self._labels is None:
            return None
        return {
            "rows": self._vectors,
            "before": self._share(self._correct_before),
            "after": self._share(self._correct_after),
            "loss": self._share(self._correct_before - self._correct_after),
        }

    def _share(self, count: int) -> float | None:
        return count / self._vectors if self._vectors else None


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(n, K), of logits (n, K)."""
    shifted: np.ndarray = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
