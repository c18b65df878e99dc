"""How much of each level is used: the share of its codewords that some token takes, and their perplexity.

perplexity = 2^H,   H = entropy of the indices of the tokens that have the level, in bits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from embdc_cli.codebook.vector.hard import Coded
from embdc_cli.codebook.vector.model import Model

_LEAST: Final = 0.02
"""Of tokens that have a level worth its bytes in the codebook, at the finest step."""


def in_use(model: Model, coded: Sequence[Coded]) -> Model:
    """The model without its last levels that hardly any token comes to, but with the first one."""
    shares = np.max([(one.codes > 0).mean(axis=0) for one in coded], axis=0)
    return Model(model.basis, model.levels[: 1 + int(np.flatnonzero(shares[1:] >= _LEAST).max(initial=-1)) + 1])


def usage_of(model: Model, coded: Sequence[Coded]) -> list[dict[str, Any]]:
    """For each level {codewords, width, used, perplexity, tokens}; tokens: the share of them that have the level."""
    found = []
    every = max(1, sum(len(one.codes) for one in coded))
    for number, level in enumerate(model.levels):
        count, width = level.centres.shape
        uses = np.zeros(count)
        for one in coded:
            uses += np.bincount(one.codes[:, number], minlength=count + 1)[1:]
        shares = uses[uses > 0] / max(1.0, uses.sum())
        found.append(
            {
                "codewords": count,
                "width": width,
                "used": float((uses > 0).mean()),
                "perplexity": float(np.exp2(-(shares * np.log2(shares)).sum())) if len(shares) else 0.0,
                "tokens": float(uses.sum() / every),
            }
        )
    return found
