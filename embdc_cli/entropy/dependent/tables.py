"""Tables of dependent quantisation: rows 0..31 for levels under quantiser 0, rows 32..63 for those under quantiser 1.

What tells the quantisers apart is the cell of zero: Q1 has points at +-1 half step, but a path that pays for its bits
hardly goes there while levels are rare, so below a mean of about 1/4 a zero is likelier under Q1 than under Q0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from embdc_cli.entropy.tables import ROWS, Tables


@cache
def static_dependent_tables() -> Tables:
    """The tables of dependent quantisation that ship with embdc, 64 x 16."""
    from embdc_cli.entropy.dependent.static_tables import FREQUENCIES

    return Tables(np.array(FREQUENCIES, np.uint16))


@cache
def direct_magnitudes() -> np.ndarray:
    """(32,) uint8: magnitudes below this have symbols under both quantisers; others are escaped under either."""
    direct = np.asarray(static_dependent_tables().direct.reshape(2, ROWS).min(axis=0))
    direct.flags.writeable = False
    return direct
