"""Tables of dependent quantisation: rows 0..31 for levels under quantiser 0, rows 32..63 for those under quantiser 1.

What tells the quantisers apart is the cell of zero: Q1 has points at +-1 half step, but a path that pays for its bits
hardly goes there while levels are rare, so below a mean of about 1/4 a zero is likelier under Q1 than under Q0.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

import numpy as np

from embdc_cli.entropy.tables import ESCAPE, ROWS, SYMBOLS, Tables

ROW_OFFSETS: Final = ((1, -3, 15), (1, -1, 17))
"""Where there is one row per class only: rows up to 15 become row + 1 for Q0 and row - 3 for Q1, then up to 17 +- 1.

Change of the rate at equal error against the row itself for both, mean of Laplacian and Gaussian planes with scales
falling as i^0, i^-1/2 and i^-1, at 0.03-0.1, 0.1-0.3, 0.3-0.6, 0.6-1, 1-2 and above 2 bits per value:
    (0,  0)                      0      0      0      0      0      0
    (1, -1) up to 14            -0.2   -0.5   -1.4   -0.5    0.0    0
    (1, -2) up to 14            -0.3   -0.9   -2.0   -0.7    0.0    0
    (1, -3) up to 14            -0.4   -1.0   -2.3   -0.9   -0.1    0
    (1, -3) to 15, (1, -1) to 17 -0.4  -1.4   -2.8   -1.4   -0.9    0
    (0, -3) up to 14            -0.1   -0.7   -1.1   -0.5    0.0    0
Offsets in every class lose, (0, 1) 0.3 to 0.7 % and (-1, 1) up to 0.6 %. Rows of each
quantiser's own save 2 to 3 % more.
"""


def paired(tables: Tables | None) -> Tables:
    """Tables of 64 rows: the static ones for None, tables of 64 rows themselves, of 32 rows by `ROW_OFFSETS`.

    Raises ValueError for other shapes, and where a row cannot code 0 or the escape.
    """
    if tables is None:
        return static_dependent_tables()
    rows, symbols = tables.freq.shape
    if symbols != SYMBOLS or rows not in (ROWS, 2 * ROWS) or not tables.freq[:, [0, ESCAPE]].all():
        raise ValueError(f"dependent levels: expected {2 * ROWS} or {ROWS} x {SYMBOLS} tables, found {tables}")
    return tables if rows == 2 * ROWS else _by_offsets(tables)


def direct_magnitudes(tables: Tables) -> np.ndarray:
    """(32,) uint8: magnitudes below this have symbols under both quantisers; others are escaped under either."""
    return np.asarray(tables.direct.reshape(2, ROWS).min(axis=0))


@cache
def static_dependent_tables() -> Tables:
    """The tables of dependent quantisation that ship with embdc."""
    from embdc_cli.entropy.dependent.static_tables import FREQUENCIES

    return Tables(np.array(FREQUENCIES, np.uint16))


@lru_cache(maxsize=8)
def _by_offsets(tables: Tables) -> Tables:
    row = np.arange(ROWS)
    halves = []
    for quantiser in (0, 1):
        moved = row.copy()
        for *offsets, last in reversed(ROW_OFFSETS):
            moved = np.where(row <= last, row + offsets[quantiser], moved)
        halves.append(tables.freq[np.maximum(moved, np.minimum(row, 1))])
    return Tables(np.concatenate(halves))
