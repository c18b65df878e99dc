"""The eight states of dependent quantisation: which of two quantisers comes next, from what was coded so far.

A track is a path through the states, from state 0 on. State s uses quantiser Q = s mod 2, and a level of symbol y leads
on to NEXT[s, y mod 2]. Q0 has the points 2k, Q1 the points 2k - sgn(k), in half steps: together they are twice as dense
as either, and as a path may not choose freely between them, rate is that of one and distortion nearly that of both.
The symbol is what rANS codes, min(|k| >> shift, escape): the decoder moves on as soon as it has that, before any raw
bit is read. Where a class sends low bits raw (mean magnitudes from 8 up) this makes the parity that of a higher bit,
which costs nothing up to 4 bits per value, 0.5 % of the rate at 5 and 0.8 % at 6.
Source: Schwarz et al., "Hybrid video coding with trellis-coded quantization", DCC 2019.
"""

from __future__ import annotations

from typing import Final

import numpy as np

STATES: Final = 8
NEXT: Final = np.array([[0, 1], [2, 3], [5, 4], [7, 6], [1, 0], [3, 2], [4, 5], [6, 7]], np.uint8)
"""(states, parity of the symbol): the state after it."""
NEXT.flags.writeable = False
