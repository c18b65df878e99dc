"""Where refinement starts: levels by k-means on what the levels before left, in the basis of the codebook.

As in a segment (`codec.vq.learning`), a level takes the coefficients with the most variance left. But it takes only
WIDTH of them: wide codewords tell one clip from another, and what they learn does not hold in a third clip.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codebook.vector.model import FloatLevel
from embdc_cli.codec.k_means import lloyd, nearest
from embdc_cli.codec.vq import gaussian
from embdc_cli.codec.vq.levels import MAX_CODEWORDS

WIDTH: Final = 16
MAX_LEVELS: Final = 32
ROUNDS: Final = 8
_CLUSTERED: Final = 1 << 14
_TOKENS_PER_CODEWORD: Final = 32
_LEAST_CODEWORDS: Final = 16


def first_levels(coefficients: np.ndarray, seed: int, codewords: int = MAX_CODEWORDS) -> list[FloatLevel]:
    """Levels for coefficients (n, r) float32, as long as one saves more than a Gaussian level in its place."""
    rng = np.random.default_rng(seed)
    left = coefficients.copy()
    codewords = min(codewords, 1 << int(np.log2(max(1, len(left) // _TOKENS_PER_CODEWORD))))
    levels: list[FloatLevel] = []
    while codewords >= _LEAST_CODEWORDS and len(levels) < MAX_LEVELS:
        energies = np.square(left, dtype=np.float64).mean(axis=0)
        channels = np.sort(np.argsort(-energies, kind="stable")[:WIDTH]).astype(np.int32)
        seen = np.ascontiguousarray(left[:, channels])
        drawn = seen
        if len(seen) > _CLUSTERED:
            drawn = seen[np.sort(rng.choice(len(seen), _CLUSTERED, replace=False))]
        centres = lloyd(drawn, drawn[rng.choice(len(drawn), codewords, replace=False)], ROUNDS)
        after = seen - centres[nearest(seen, centres)]
        saved = float((np.square(seen, dtype=np.float64).sum() - np.square(after, dtype=np.float64).sum()) / len(seen))
        if saved <= gaussian.saved_for(energies, float(np.log2(codewords))):
            break
        left[:, channels] = after
        levels.append(FloatLevel(channels, centres.astype(np.float64)))
    return levels
