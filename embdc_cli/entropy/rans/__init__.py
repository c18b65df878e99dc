"""Interleaved rANS: symbols with a known table row each, to bytes and back.

`reference.py` is the definition, `cpu.py` its compiled twin, `layout.py` the bytes around the states and words.
`cuda.py` has many payloads at once on a device, and an interface of its own.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.rans.layout import STATE_LOW, choose_lanes, join_payload, split_payload
from embdc_cli.entropy.tables import IMPOSSIBLE, Tables
from embdc_cli.errors import CorruptArchive


def encode(symbols: np.ndarray, classes: np.ndarray, tables: Tables) -> bytes:
    """The payload of the symbols; empty for none.

    symbols, classes: (n,) uint8; `classes` are rows of the tables. Raises ValueError for a symbol its row cannot code.
    """
    symbols, rows = _bytes_1d(symbols), _bytes_1d(classes)
    if symbols.size != rows.size:
        raise ValueError(f"rans: expected one class per symbol, found {rows.size} for {symbols.size}")
    if symbols.size == 0:
        return b""
    if rows.max() >= tables.freq.shape[0] or symbols.max() >= tables.freq.shape[1]:
        raise ValueError(f"rans: expected symbols of {tables}, found symbol {symbols.max()}, row {rows.max()}")
    coder = kernels(__name__)
    cost, dearest = coder.total_cost(symbols, rows, tables)
    if dearest >= IMPOSSIBLE:
        raise ValueError(f"rans: expected symbols with a frequency above 0 in {tables}, found one with 0")
    return join_payload(*coder.encode(symbols, rows, tables, choose_lanes(cost)))


def decode(data: bytes | memoryview, classes: np.ndarray, tables: Tables) -> np.ndarray:
    """The symbols (n,) uint8 of a payload written with these classes (n,) uint8.

    Raises CorruptArchive unless every state ends where encoding began and every word is used.
    """
    rows = _bytes_1d(classes)
    if not rows.size:
        if len(data):
            raise CorruptArchive(f"rans payload: expected no bytes for no symbols, found {len(data)}")
        return np.zeros(0, np.uint8)
    reader = Reader(data, tables)
    symbols = reader.take(rows)
    reader.end()
    return symbols


class Reader:
    """Reads a payload by parts, where the classes of later symbols follow from earlier ones. Raises CorruptArchive."""

    def __init__(self, data: bytes | memoryview, tables: Tables) -> None:
        self._states, self._words = split_payload(data)
        self._tables = tables
        self._position = self._done = 0

    def take(self, classes: np.ndarray) -> np.ndarray:
        """The next symbols, as many as `classes` (n,) uint8."""
        rows = _bytes_1d(classes)
        if rows.size and rows.max() >= self._tables.freq.shape[0]:
            raise CorruptArchive(
                f"rans payload: expected classes below {self._tables.freq.shape[0]}, found {rows.max()}"
            )
        symbols, self._position = kernels(__name__).decode(
            self._states, self._words, self._position, rows, self._tables, self._done
        )
        self._done += rows.size
        if self._position < 0:
            raise self._uneven()
        return np.asarray(symbols)

    def end(self) -> None:
        """Refuse a payload that goes on, or whose states do not end where encoding began."""
        if self._position != self._words.size or (self._states != STATE_LOW).any():
            raise self._uneven()

    def _uneven(self) -> CorruptArchive:
        return CorruptArchive(
            f"rans payload: {self._words.size} words for {self._done} symbols, expected states and words to come out "
            f"even"
        )


def _bytes_1d(values: np.ndarray) -> np.ndarray:
    if values.dtype != np.uint8 or values.ndim != 1:
        raise ValueError(f"rans: expected one-dimensional uint8, found {values.dtype} {values.shape}")
    return np.ascontiguousarray(values)
