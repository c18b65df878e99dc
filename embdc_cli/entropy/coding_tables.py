"""The tables that coefficients are coded with: one set for each way to quantise them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from embdc_cli.entropy.dependent.tables import coefficient_path_tables
from embdc_cli.entropy.tables import ESCAPE, ROWS, SYMBOLS, Tables, rounded_tables, static_tables


@dataclass(frozen=True)
class CodingTables:
    """planes: of levels of a dead zone, rounded: of levels rounded by rate, 32 x 16; paths: of a trellis, 64 x 16.

    A class means the same to all three: what a dead zone would make of the coefficients. Raises ValueError for tables
    of another size, and for such as cannot code a zero or an escape.
    """

    planes: Tables
    rounded: Tables
    paths: Tables

    def __post_init__(self) -> None:
        for name, tables, rows in (
            ("planes", self.planes, ROWS),
            ("rounded", self.rounded, ROWS),
            ("paths", self.paths, 2 * ROWS),
        ):
            if tables.freq.shape != (rows, SYMBOLS) or not tables.freq[:, [0, ESCAPE]].all():
                raise ValueError(f"{name}: expected {rows} x {SYMBOLS} tables that can code 0 and escape")


@cache
def fixed_tables() -> CodingTables:
    """Those that are part of the format."""
    return CodingTables(static_tables(), rounded_tables(), coefficient_path_tables())
