"""Tables of dependent quantisation: rows 0..31 for levels under quantiser 0, rows 32..63 for those under quantiser 1.

What tells the quantisers apart is the cell of zero: Q1 has points at +-1 half step, but a path that pays for its bits
hardly goes there while levels are rare, so below a mean of about 1/4 a zero is likelier under Q1 than under Q0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from embdc_cli.entropy.tables import ROWS, Tables


@cache
def coefficient_path_tables() -> Tables:
    """For transform coefficients, 64 x 16: classes say what a dead-zone quantiser would make of them."""
    from embdc_cli.entropy.dependent.static_tables import COEFFICIENTS

    return Tables(np.array(COEFFICIENTS, np.uint16))


@cache
def entry_path_tables() -> Tables:
    """For means and basis entries, 64 x 16: nearly Gaussian values of a known deviation."""
    from embdc_cli.entropy.dependent.static_tables import ENTRIES

    return Tables(np.array(ENTRIES, np.uint16))


def direct_magnitudes(tables: Tables) -> np.ndarray:
    """(32,) uint8: magnitudes below this have symbols under both quantisers; others are escaped under either."""
    return np.asarray(tables.direct.reshape(2, ROWS).min(axis=0))
