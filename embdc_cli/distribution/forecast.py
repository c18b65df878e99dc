"""Bits that Gaussian components of given variances take at a given error, and what a transform is worth by them.

    bits = mean of max(0, log2(v_i / theta) / 2),   theta such that sum min(theta, v_i) = nmse sum v_i

Source: Cover and Thomas, "Elements of Information Theory", section 10.3.3 (reverse water-filling). The gain of a
transform is what it saves over components that are all alike, 6.02 dB a bit: while no component is below theta it is
the coding gain, arithmetic over geometric mean of the variances (Jayant and Noll, "Digital Coding of Waveforms",
section 12.2), and a component without variance does not make it infinite. At NMSE it is 20 dB at most.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

NMSE: Final = 0.01
DB_PER_BIT: Final = 20 * math.log10(2)
PLAIN: Final = -0.5 * math.log2(NMSE)
"""Bits per value of components that are all alike."""


def bits(variances: np.ndarray, nmse: float = NMSE) -> float | None:
    """Bits per component of `variances`, each for equally many values, in any shape; None without energy."""
    v = np.sort(np.maximum(variances.astype(np.float64).ravel(), 0.0))
    allowed = nmse * v.sum()
    if not len(v) or not allowed > 0:
        return None
    # with the k smallest below the level, the others share what error those leave
    below = np.concatenate([[0.0], np.cumsum(v)[:-1]])
    levels = (allowed - below) / np.arange(len(v), 0, -1)
    k = int(np.argmax(levels <= v))
    return float(0.5 * np.log2(v[k:] / levels[k]).sum() / len(v))


def gain_db(variances: np.ndarray | None) -> float | None:
    """What components of these variances save over components that are all alike, in dB; None where nothing varies."""
    found = None if variances is None else bits(variances)
    return None if found is None else DB_PER_BIT * (PLAIN - found)
