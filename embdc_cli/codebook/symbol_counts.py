"""What coding tables are made of: how often each symbol is sent under each row, in what the codec really codes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from embdc_cli.codec.chain import Chain, Coded
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.entropy import dependent
from embdc_cli.entropy.dependent.points import levels_of
from embdc_cli.entropy.dependent.tables import direct_magnitudes
from embdc_cli.entropy.tables import ESCAPE, ROWS, SYMBOLS, Tables, class_rows, class_shifts

TableKind = Literal["planes", "rounded", "paths"]
"""A field of `CodingTables`."""


def chain_counts(chain: Chain, coded: Coded) -> tuple[TableKind, np.ndarray] | None:
    """Which tables `chain` codes with, and (rows, SYMBOLS) int64 counts of `coded`; None for coders without tables."""
    coder = chain.coder
    if isinstance(coder, Planes):
        return "planes", symbol_counts(*coder.classify(coded.codes), coder.tables)
    if isinstance(coder, TrackPlanes | TrackPaths):
        chunk = coder.mixture.chunk(coded.sides[chain.links.index(coder.mixture)])
        if isinstance(coder, TrackPlanes):
            return "rounded", symbol_counts(coded.codes, chunk.classes, coder.tables)
        levels = levels_of(coded.codes)
        quantisers = dependent.quantisers(levels, chunk.classes, chunk.paths, coder.tables)
        return "paths", symbol_counts(levels, chunk.classes, coder.tables, quantisers)
    return None


def symbol_counts(
    levels: np.ndarray, classes: np.ndarray, tables: Tables, quantisers: np.ndarray | None = None
) -> np.ndarray:
    """(rows, SYMBOLS) int64 for levels (n,) int32 under classes (n,) uint8; class 0 sends nothing.

    tables: those that say which magnitudes are escaped. quantisers: (n,) uint8 for tables of paths.
    """
    sent = classes > 0
    classes = classes[sent]
    rows = class_rows()[classes].astype(np.int64)
    direct = tables.direct if quantisers is None else direct_magnitudes(tables)
    high = np.abs(levels[sent]) >> class_shifts()[classes]
    symbols = np.where(high < direct[rows], high, ESCAPE)
    if quantisers is not None:
        rows += ROWS * quantisers[sent].astype(np.int64)
    counts = np.bincount(rows * SYMBOLS + symbols, minlength=tables.freq.size)
    return counts.reshape(tables.freq.shape).astype(np.int64, copy=False)
