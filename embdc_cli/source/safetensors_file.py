"""safetensors files: the header is parsed and checked here, rows are read where they lie.

The safetensors library maps the whole file, and a mapping that is read through once counts as resident memory;
byte ranges do not. Every invariant that the library checks is checked here as well.
Source: the format section of the safetensors README.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, TypeGuard

import numpy as np

from embdc_cli.dtypes import storage
from embdc_cli.dump_formats import SAFETENSORS_DTYPES
from embdc_cli.errors import SourceError
from embdc_cli.source.candidate import Candidate, Contents, Reader
from embdc_cli.source.file_rows import file_rows
from embdc_cli.source.location import InputFile
from embdc_cli.source.positioned import PositionedFile
from embdc_cli.source.signatures import SAFETENSORS_MAX_HEADER

_MAX_DIMS = 32
_METADATA = "__metadata__"


def safetensors_contents(source: InputFile) -> Contents:
    """The tensors of a safetensors file in the order of its header; SourceError when it breaks the format's rules."""
    file = source.positioned()
    try:
        return Contents(_candidates(file), close=file.close)
    except SourceError:
        file.close()
        raise


def _candidates(file: PositionedFile) -> list[Candidate]:
    start = file.read_up_to(0, 8)
    size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= size <= SAFETENSORS_MAX_HEADER:
        raise SourceError(f"{file.shown}: header, expected 2 to {SAFETENSORS_MAX_HEADER} bytes, found {size}")
    if 8 + size > file.size:
        raise SourceError(f"{file.shown}: truncated, the header needs {8 + size} bytes, found {file.size}")
    header = _parse(file.read_exactly(8, size), file.shown)
    base = 8 + size
    tensors = [_Entry(file, base, name, fields) for name, fields in header.items() if name != _METADATA]
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.stop)):
        if tensor.start != end:
            what = "overlaps the tensor before it" if tensor.start < end else "leaves a gap before it"
            raise SourceError(f"{file.shown}: {tensor.name} {what}, expected to start at {end}, found {tensor.start}")
        end = tensor.stop
    if base + end != file.size:
        what = "truncated" if base + end > file.size else "bytes after the last tensor"
        raise SourceError(f"{file.shown}: {what}, the header declares {base + end} bytes, found {file.size}")
    return [tensor.candidate() for tensor in tensors]


def _parse(text: bytes, shown: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise ValueError("a key occurs twice")
        return fields

    try:
        header = json.loads(text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{shown}: header, expected JSON, found {error}") from error
    if not isinstance(header, dict):
        raise SourceError(f"{shown}: header, expected a JSON object, found {type(header).__name__}")
    return header


class _Entry:
    """One tensor as the header declares it: bytes [start, stop) after the header."""

    def __init__(self, file: PositionedFile, base: int, name: str, fields: object) -> None:
        self.name = name
        self._file, self._base = file, base
        given: dict[str, Any] = fields if isinstance(fields, dict) else {}
        shape, offsets, dtype = given.get("shape"), given.get("data_offsets"), given.get("dtype")
        if not (_is_sizes(shape) and _is_sizes(offsets) and len(offsets) == 2 and isinstance(dtype, str)):
            raise SourceError(
                f"{file.shown}: {name[:80]}, expected dtype, shape and data_offsets, found {fields!r:.80}"
            )
        if len(shape) > _MAX_DIMS:
            raise SourceError(f"{file.shown}: {name[:80]}, expected at most {_MAX_DIMS} axes, found {len(shape)}")
        self.shape = tuple(shape)
        self.start, self.stop = offsets
        self.known = dtype in SAFETENSORS_DTYPES
        self.dtype = SAFETENSORS_DTYPES.get(dtype, dtype)
        size = math.prod(shape) * storage(self.dtype).itemsize if self.known else self.stop - self.start
        if self.stop - self.start != size or size < 0:
            raise SourceError(
                f"{file.shown}: {name[:80]} of shape {self.shape} and type {dtype}, expected {size} bytes, "
                f"found {self.stop - self.start}"
            )

    def candidate(self) -> Candidate:
        return Candidate(self.name, self.dtype, self.shape, self._open)

    def _open(self) -> Reader:
        dtype = np.dtype("u2") if self.dtype == "bfloat16" else storage(self.dtype)
        return file_rows(self._file, self._base + self.start, dtype, self.shape)


def _is_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 62 for size in value)
