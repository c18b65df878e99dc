"""Temporal frequencies of a track in half octaves, and which of a vector's classes each of these bands has.

    {0} {1} {2} {3} {4, 5} {6, 7} {8..11} {12..15} {16..23} {24..31} {32..47} {48..63}

Octaves alone cost 2 % more bits where the spectrum falls as that of a first-order process.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.tracks import LEVELS

_STARTS: Final = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48])
BANDS: Final = len(_STARTS)


@cache
def band_of(rows: int) -> np.ndarray:
    """(rows,) int64: the band of each frequency."""
    return np.asarray(np.searchsorted(_STARTS, np.arange(rows), side="right") - 1)


def band_count(rows: int) -> int:
    """Bands of a track of that many rows."""
    return int(band_of(rows)[-1]) + 1


@cache
def kind_of(kinds: int) -> np.ndarray:
    """(BANDS,) int64: which of a vector's `kinds` classes serves a band: an octave's own, the last for all others."""
    octaves = np.array([int(start).bit_length() for start in _STARTS])
    return np.asarray(np.minimum(octaves, kinds - 1))


@cache
def occurring() -> tuple[np.ndarray, np.ndarray]:
    """(levels, bands) of all bands that tracks of some level have, as indices into (LEVELS, BANDS)."""
    levels, bands = np.nonzero(_STARTS[None] < 1 << np.arange(LEVELS)[:, None])
    return levels, bands
