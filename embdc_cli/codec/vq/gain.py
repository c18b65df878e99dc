"""The gain of a token: how much larger what the learnt levels leave of it is than what Gaussian levels expect.

    y = sum over learnt levels + 2^((g - 4) / 2) (sum over Gaussian levels),   g = 0..15

Gains are a level of 16 codewords of no channels before the Gaussian levels: sent for tokens that have any of these, and
kept from the row before like any index. The search takes the half octave nearest to what a token has left, or the gain
of the row before where that is nearly as near.
Source: Sabin and Gray, "Product code vector quantizers for waveform and voice coding", IEEE T-ASSP 32, 1984 (gain and
shape). Half octaves win twice what octaves do. Networks have tokens many times larger than others ("registers", Darcet
et al., ICLR 2024); without gains these take most of the error.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codec.vq.levels import Level

COUNT: Final = 16
ONE: Final = 4
"""The gain that changes nothing."""
_ROOTS: Final = (65536, 92682)
FACTORS: Final = tuple((_ROOTS[e & 1] << 8 >> 8 - (e >> 1)) for e in range(-ONE, COUNT - ONE))
"""2^16 2^((g - 4) / 2): 65536 or 92682 times a power of 2, rounded down."""
GAINS: Final = (0.0, *(factor / 65536 for factor in FACTORS))
"""By code: 0 for none. Of 22 bits, so products with sums of 31 are exact in float64."""
INVERSES: Final = tuple((_ROOTS[-e & 1] << 8 >> 8 - (-e >> 1)) for e in range(-ONE, COUNT - ONE))
"""2^16 2^((4 - g) / 2), likewise; for the search."""
ENERGIES: Final = tuple(2.0 ** (g - ONE) for g in range(COUNT))
"""Of a token with each gain, against one with ONE."""
EDGES: Final = tuple(2.0 ** (g - ONE - 0.5) for g in range(1, COUNT))
"""Energies from which on the next gain is the nearest."""
REACH: Final = 2.0**0.8
"""How far an energy may be from that of the gain before, to keep it."""


def level() -> Level:
    """Gains as a level: nothing to add up."""
    return Level(np.zeros(0, np.int32), np.zeros((COUNT, 0), np.int32))


def nearest(energy: float, before: int) -> int:
    """The gain for an energy relative to what is expected. before: the gain of the row before, -1 for none."""
    if before >= 0 and ENERGIES[before] / REACH <= energy < ENERGIES[before] * REACH:
        return before
    found = 0
    while found < COUNT - 1 and energy >= EDGES[found]:
        found += 1
    return found


def without(left: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """int64 (n, r): `left` divided by the gains (n,), rounded."""
    return np.asarray(left.astype(np.int64) * np.array(INVERSES)[gains][:, None] + (1 << 15) >> 16)
