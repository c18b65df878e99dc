"""A network's own classifier: top-1 of the rest of a ViT on decoded tokens. Dropped tokens leave the sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .figures import Figure, Figures


def classification(
    original: np.ndarray,
    decoded: np.ndarray,
    kept: np.ndarray | None = None,
    *,
    labels: np.ndarray,
    logits: Callable[[np.ndarray], Any],
) -> Figures:
    """top1 against `labels`; agreement of the two best classes; kl_nats: mean KL(original || decoded).

    original, decoded: (T, 1 + N, D), CLS first. kept: (T, N), equally many in every row. logits: of tokens.
    """
    before, after = (logits(x).double().log_softmax(-1) for x in (original, present(decoded, kept)))
    known, best = before.argmax(-1).numpy(), after.argmax(-1).numpy()
    divergence = (before.exp() * (before - after)).sum(-1).mean().item()
    return {
        "top1": Figure(float((known == labels).mean()), float((best == labels).mean())),
        "agreement": Figure(1.0, float((best == known).mean())),
        "kl_nats": Figure(0.0, divergence, is_share=False),
    }


def present(tokens: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """(T, 1 + K, D): tokens (T, 1 + N, D) without those dropped."""
    if kept is None:
        return tokens
    with_cls = np.concatenate([np.ones((len(kept), 1), bool), kept], axis=1)
    return tokens[with_cls].reshape(len(tokens), -1, tokens.shape[-1])
