"""Which levels of a codebook a segment borrows, and what they leave for its own.

They cost no bytes, but an index for every token that goes further. So a level is taken where it saves as much error for
a bit as a bit may cost, and as the Gaussian level that could stand in its place would save.
Not here: searching them (`search`), and whether a basis of the segment's own is cheaper after all (`fit`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codec.k_means import nearest
from embdc_cli.codec.vq import gaussian
from embdc_cli.codec.vq.borrowed import Borrowed
from embdc_cli.codec.vq.levels import LearntLevel

_TRIED: Final = 1 << 13
"""Tokens that levels are chosen by."""


def chosen(offered: tuple[LearntLevel, ...], sample: np.ndarray, least: float, most: int) -> Borrowed:
    """Up to `most` levels worth using on coefficients (n, r) float32. least: squared error that a bit has to save."""
    left = sample[:: max(1, -(-len(sample) // _TRIED))].copy()
    places: list[int] = []
    for place, level in enumerate(offered):
        if level.channels[-1] >= left.shape[1] or len(places) == most or not len(left):
            continue
        seen = np.ascontiguousarray(left[:, level.channels])
        after = after_level(level, seen)
        saved = float((np.square(seen, dtype=np.float64).sum() - np.square(after, dtype=np.float64).sum()) / len(seen))
        bits = max(1.0, float(np.log2(len(level.codes))))
        rival = gaussian.saved_for(np.square(left, dtype=np.float64).mean(axis=0), bits)
        if saved >= max(least * bits, rival):
            places.append(place)
            left[:, level.channels] = after
    return Borrowed(offered, tuple(places))


def left_by(borrowed: Borrowed, sample: np.ndarray) -> np.ndarray:
    """(n, r) float32: what the levels leave of coefficients (n, r), each token taking the nearest of every level."""
    left = sample.copy()
    for level in borrowed.levels:
        left[:, level.channels] = after_level(level, np.ascontiguousarray(left[:, level.channels]))
    return left


def after_level(level: LearntLevel, seen: np.ndarray) -> np.ndarray:
    """(n, w) float32: what the nearest codewords leave of (n, w)."""
    words = level.centres()
    return np.asarray(seen - words[nearest(seen, words)])
