"""A linear classifier on pooled tokens, trained on original ones, or on tokens that came through the same coder.

There is one picture of each class, too few to learn classes from, so it tells kinds apart: dogs, other animals, things.
ImageNet's order of classes has them in runs.
"""

from __future__ import annotations

import numpy as np

from .figures import Figure, Figures
from .pooling import pooled
from .probe import Probe

_FIRST_DOG, _FIRST_AFTER_DOGS, _FIRST_THING = 151, 269, 398
_FOLDS = 5
_REPEATS = 10
_SEED = 6


def kinds(labels: np.ndarray) -> np.ndarray:
    """0 for dogs, 1 for other animals, 2 for things."""
    dogs = (labels >= _FIRST_DOG) & (labels < _FIRST_AFTER_DOGS)
    return np.where(dogs, 0, np.where(labels < _FIRST_THING, 1, 2))


def linear(original: np.ndarray, decoded: np.ndarray, kept: np.ndarray | None = None, *, labels: np.ndarray) -> Figures:
    """kind: accuracy on pictures not trained on, 5-fold cross-validation over 10 partitions; kind_retrained: the same
    of a probe that was trained on decoded tokens, as one of an archive would be.

    original, decoded: (T, 1 + N, D), CLS first, which is left out. kept: (T, N).
    """
    before, after, wanted = pooled(original[:, 1:]), pooled(decoded[:, 1:], kept), kinds(labels)
    rng = np.random.default_rng(_SEED)
    right = np.zeros(3)
    for _ in range(_REPEATS):
        folds = rng.permutation(len(wanted)) % _FOLDS
        for fold in range(_FOLDS):
            test = folds == fold
            for way, (known, asked) in enumerate(((before, before), (before, after), (after, after))):
                probe = Probe(known[~test], wanted[~test])
                right[way] += (probe.classes(asked[test]) == wanted[test]).sum()
    found, decoded_only, retrained = (float(count) / (_REPEATS * len(wanted)) for count in right)
    return {"kind": Figure(found, decoded_only), "kind_retrained": Figure(found, retrained)}
