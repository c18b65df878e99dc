"""What a linear head makes of decoded tokens against the original ones: the loss of a task, not of a signal.

top-1     share of tokens with the same arg max of the head's logits
KL        mean over tokens of KL(original || decoded) of its class probabilities, in nats

Every token of the sample is judged on its own; `embdc compare --probe` also judges rows, and labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.comparison.probe import Head, log_softmax

_BLOCK_TOKENS: Final = 4096


@dataclass
class ProbeSums:
    """What the head has said of original and decoded tokens so far."""

    head: Head
    tokens: int = 0
    agreeing: int = 0
    divergence: float = 0.0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in original x and decoded y, both (n, D) float32; tokens that are not finite are left out."""
        for start in range(0, len(x), _BLOCK_TOKENS):
            original, decoded = x[start : start + _BLOCK_TOKENS], y[start : start + _BLOCK_TOKENS]
            finite = np.isfinite(original).all(axis=1)
            p, q = (log_softmax(self._logits(tokens[finite])) for tokens in (original, decoded))
            self.tokens += len(p)
            self.agreeing += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
            self.divergence += float((np.exp(p) * (p - q)).sum())

    def _logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.asarray(tokens.astype(np.float64) @ self.head.weight.T + self.head.bias)

    def summary(self) -> dict[str, float | None]:
        """{top1_agreement, kl}; None without tokens."""
        if not self.tokens:
            return {"top1_agreement": None, "kl": None}
        return {"top1_agreement": self.agreeing / self.tokens, "kl": self.divergence / self.tokens}
