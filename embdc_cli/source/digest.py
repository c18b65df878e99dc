"""Digests that recognise an input again without reading all of it."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from embdc_cli.dtypes import item_bytes
from embdc_cli.source.positioned import PositionedFile
from embdc_cli.values import Tensor

HEAD_BYTES: Final = 64 << 10
END_BYTES: Final = 1 << 20

Input = str | Path | PositionedFile | Sequence[Tensor]
"""A local file, or tensors, which stand for the bytes of their rows one stream after the other."""


def head_digest(source: Input | bytes) -> str:
    """Hex sha256 of the first 64 KiB of the input (of all of it, when it is shorter)."""
    if isinstance(source, bytes):
        return hashlib.sha256(source[:HEAD_BYTES]).hexdigest()
    with _Bytes(source) as data:
        return hashlib.sha256(data.read(0, min(HEAD_BYTES, data.size))).hexdigest()


def ends_digest(source: Input) -> str:
    """Hex sha256 of the size (8 bytes, little endian), the first and the last MiB (the whole input, when shorter)."""
    with _Bytes(source) as data:
        part = min(END_BYTES, data.size)
        return _ends(data.size, data.read(0, part), data.read(data.size - part, part))


def input_bytes(source: Input) -> int:
    """Size of the input in bytes."""
    with _Bytes(source) as data:
        return data.size


class EndsDigest:
    """`ends_digest` of bytes that pass by once."""

    def __init__(self) -> None:
        self.size = 0
        self._first = bytearray()
        self._last = bytearray()

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self._first += data[: END_BYTES - len(self._first)]
        self._last += data[-END_BYTES:]
        if len(self._last) > 4 * END_BYTES:  # trimming at every short read would copy a MiB for each byte
            del self._last[:-END_BYTES]

    def hexdigest(self) -> str:
        return _ends(self.size, bytes(self._first), bytes(self._last[-END_BYTES:]))


def _ends(size: int, first: bytes, last: bytes) -> str:
    return hashlib.sha256(struct.pack("<Q", size) + first + last).hexdigest()


class _Bytes:
    """An input as a range of bytes."""

    def __init__(self, source: Input) -> None:
        self._tensors: Sequence[Tensor] = ()
        self._file: PositionedFile | None = None
        self._own = isinstance(source, str | Path)
        if isinstance(source, str | Path):
            self._file = PositionedFile.open(os.fspath(source))
        elif isinstance(source, PositionedFile):
            self._file = source
        else:
            self._tensors = source
        self.size = self._file.size if self._file else sum(map(_tensor_bytes, self._tensors))

    def __enter__(self) -> _Bytes:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file and self._own:
            self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        if self._file:
            return self._file.read_exactly(offset, size)
        return b"".join(self._pieces(offset, offset + size))

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop) of the tensors, one piece per tensor."""
        base = 0
        for tensor in self._tensors:
            size = _tensor_bytes(tensor)
            if size and base < stop and start < base + size:
                yield _row_bytes(tensor, max(0, start - base), min(size, stop - base))
            base += size


def _tensor_bytes(tensor: Tensor) -> int:
    rows = tensor.spec.known_rows if tensor.token_counts is None else int(tensor.token_counts.sum())
    return rows * tensor.spec.row_values * item_bytes(tensor.spec.dtype)


def _row_bytes(tensor: Tensor, start: int, stop: int) -> bytes:
    """Bytes [start, stop) of one tensor, 0 <= start < stop <= its size, by reading the rows that hold them."""
    unit = tensor.spec.row_values * item_bytes(tensor.spec.dtype)
    if tensor.token_counts is None:
        first, last, base = start // unit, -(-stop // unit), start // unit * unit
    else:
        edges = np.concatenate([[0], np.cumsum(tensor.token_counts)]) * unit
        first = int(np.searchsorted(edges, start, "right")) - 1
        last = int(np.searchsorted(edges, stop, "left"))
        base = int(edges[first])
    return tensor.read(first, last).tobytes()[start - base : stop - base]
