"""Bits that Gaussian components of given variances take at a given error, and what a transform is worth by them.

    bits = mean of max(0, log2(v_i / theta) / 2),   theta such that sum min(theta, v_i) = nmse sum v_i

Source: Cover and Thomas, "Elements of Information Theory", section 10.3.3 (reverse water-filling). The gain of a
transform is what it saves over components that are all alike, 6.02 dB a bit: while no component is below theta it is
the coding gain, arithmetic over geometric mean of the variances (Jayant and Noll, "Digital Coding of Waveforms",
section 12.2), and a component without variance does not make it infinite. At NMSE it is 20 dB at most.

A KLT is learnt, and its basis is paid for: of n tokens, component i is n coefficients of variance v_i and D entries of
a basis vector, of variance 1 / D, whose error the n coefficients multiply, as if they were of variance n v_i / D. Water
is filled over both.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

NMSE: Final = 0.01
DB_PER_BIT: Final = 20 * math.log10(2)
PLAIN: Final = -0.5 * math.log2(NMSE)
"""Bits per value of components that are all alike."""


def bits(variances: np.ndarray) -> float | None:
    """Bits per value at NMSE of components `variances`, each of equally many values; None without energy."""
    flat = variances.astype(np.float64).ravel()
    return _filled(flat, np.ones(len(flat)), NMSE * flat.sum(), len(flat))


def bits_with_basis(variances: np.ndarray, tokens: int) -> float | None:
    """Bits per value at NMSE, the basis among them, of a KLT that is used for as many components as pay.

    variances: (D,) falling. tokens: of the whole tensor. What is not rotated counts as all alike.
    """
    total, found = len(variances), []
    for count in sorted({0, total, *(1 << power for power in range(total.bit_length()))}):
        kept, rest = variances[:count], variances[count:]
        alike = np.full(len(rest), rest.mean() if len(rest) else 0.0)
        components = np.concatenate([kept, alike, kept * (tokens / total)])
        counts = np.concatenate([np.full(total, float(tokens)), np.full(count, float(total))])
        found.append(_filled(components, counts, NMSE * tokens * variances.sum(), tokens * total))
    known = [one for one in found if one is not None]
    return min(known, default=None)


def gain_db(found: float | None) -> float | None:
    """What so many bits save over components that are all alike, in dB; None where nothing varies."""
    return None if found is None else DB_PER_BIT * (PLAIN - found)


def _filled(variances: np.ndarray, counts: np.ndarray, allowed: float, values: int) -> float | None:
    """Bits per value of components (m,) that stand for so many numbers each, at `allowed` squared error in all."""
    if not allowed > 0:
        return None
    order = np.argsort(variances)
    v, counts = variances[order], counts[order]
    # with the smallest below the level, the others share what error those leave
    below = np.concatenate([[0.0], np.cumsum(v * counts)[:-1]])
    levels = (allowed - below) / np.cumsum(counts[::-1])[::-1]
    first = int(np.argmax(levels <= v))
    above = 0.5 * np.log2(v[first:] / levels[first])
    return float((above * counts[first:]).sum() / values)
