"""The header of an npy file: versions 1 to 3, read without trusting it.

Source: numpy.lib.format, "Format Version 1.0" to "3.0".
"""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embdc_cli.errors import SourceError
from embdc_cli.source.elements import dtype_name

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 64 << 10  # a plain array needs about 100 bytes; literal_eval must not see megabytes
HEAD_BYTES = _MAX_HEADER + 12  # enough of a file for any header that is accepted
_MAX_DIMS = 32


@dataclass(frozen=True)
class NpyHeader:
    """dtype: of the elements in the file; name: embdc's name for it; data_offset: of the first element, in bytes."""

    dtype: np.dtype
    name: str
    shape: tuple[int, ...]
    fortran: bool
    data_offset: int

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(read: Callable[[int], bytes], shown: str) -> NpyHeader:
    """The header at the start of what `read(n)` gives; it must return n bytes, fewer only at the end.

    Raises SourceError for a wrong magic, an unknown version, a cut or malformed header.
    """
    start = read(8)
    if start[:6] != _MAGIC:
        raise SourceError(f"{shown}: expected the npy magic, found {start[:6].hex(' ') or 'nothing'}")
    if len(start) < 8:
        raise _cut(shown)
    if start[6] not in (1, 2, 3):
        raise SourceError(f"{shown}: npy version, expected 1, 2 or 3, found {start[6]}")
    length_format = "<H" if start[6] == 1 else "<I"
    length_bytes = read(struct.calcsize(length_format))
    if len(length_bytes) < struct.calcsize(length_format):
        raise _cut(shown)
    (length,) = struct.unpack(length_format, length_bytes)
    if length > _MAX_HEADER:
        raise SourceError(f"{shown}: npy header, expected at most {_MAX_HEADER} bytes, found {length}")
    text = read(length)
    if len(text) < length:
        raise _cut(shown)
    return _parse(text, start[6], 8 + len(length_bytes) + length, shown)


def _cut(shown: str) -> SourceError:
    return SourceError(f"{shown}: truncated inside the npy header")


def _parse(text: bytes, version: int, data_offset: int, shown: str) -> NpyHeader:
    try:
        words = text.decode("latin-1" if version < 3 else "utf-8")
        if version < 3:
            words = re.sub(r"(\d)L\b", r"\1", words)  # long integers as Python 2 wrote them
        fields = ast.literal_eval(words.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        fields = None
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise SourceError(f"{shown}: npy header, expected descr, fortran_order and shape, found {text[:40]!r}")
    shape, fortran = fields["shape"], fields["fortran_order"]
    if not _is_shape(shape) or not isinstance(fortran, bool):
        raise SourceError(f"{shown}: npy header, expected a shape and an order, found {shape!r} and {fortran!r}")
    dtype = _dtype(fields["descr"], shown)
    return NpyHeader(dtype, dtype_name(dtype), shape, fortran, data_offset)


def _is_shape(shape: object) -> bool:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMS:
        return False
    return all(type(size) is int and size >= 0 for size in shape)


def _dtype(descr: object, shown: str) -> np.dtype:
    try:
        if isinstance(descr, str):
            return np.dtype(descr)
        if isinstance(descr, list):  # a structured type, which the caller refuses by its name
            return np.dtype([tuple(field) for field in descr])
    except (TypeError, ValueError, SyntaxError):
        pass
    raise SourceError(f"{shown}: npy header, expected an element type, found {descr!r}")
