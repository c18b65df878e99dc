"""Codebooks: embdc-codec(5), CODEBOOKS."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tests.conformance.reader.errors import Corrupt, Unsupported, check
from tests.conformance.reader.fields import Fields
from tests.conformance.reader.integers import Table, levels, table_in
from tests.conformance.reader.pages import numbers

_TABLES = {"TABL": "PLAIN TABLES", "TABR": "ROUNDED TABLES", "TABP": "PATH TABLES"}


@dataclass(frozen=True, eq=False)
class Codebook:
    """mean: (D,); vectors: (rank, D), float64. tables: those of coefficients, by the title of what they replace."""

    mean: np.ndarray
    vectors: np.ndarray
    tables: Mapping[str, Table]


def parsed(data: bytes) -> Codebook:
    """The codebook in the bytes of a file."""
    check(len(data) >= 52 and hashlib.sha256(data[:-32]).digest() == data[-32:], "a damaged codebook")
    magic, version, _, size = struct.unpack_from("<8sHHI", data)
    check(magic == bytes.fromhex("8b454d424443420a"), "no codebook")
    if version:
        raise Unsupported(f"codebook of version {version}")
    fields = Fields(data[:-32])
    _checked(fields, 16)
    try:
        head = json.loads(_checked(fields, size))
        channels, rank, exponent = (int(head[name]) for name in ("channels", "rank", "mean_exponent"))
    except (ValueError, KeyError) as error:
        raise Corrupt(f"header of a codebook: {error}") from error
    mean = _integers(_section(fields, "MEAN"), 1, channels)[0]
    exponents = np.cumsum(_integers(_section(fields, "EXPO"), 1, rank)[0])
    _integers(_section(fields, "SPEC"), 1, rank)
    basis = _integers(_section(fields, "BASI"), rank, channels)
    tables = {}
    if fields.at < len(fields.data):
        tables = {title: table_in(_section(fields, name)) for name, title in _TABLES.items()}
    fields.end()
    return Codebook(np.ldexp(mean.astype(float), exponent), np.ldexp(basis.astype(float), exponents[:, None]), tables)


def _checked(fields: Fields, size: int) -> bytes:
    piece = fields.raw(size)
    check(struct.unpack("<I", fields.raw(4))[0] == zlib.crc32(piece), "checksum of a piece of a codebook")
    return piece


def _section(fields: Fields, name: str) -> bytes:
    found, size = struct.unpack_from("<4sI", fields.data, fields.at) if len(fields.data) - fields.at >= 8 else (b"", 0)
    check(found == name.encode(), f"section {name}, found {found!r}")
    return _checked(fields, 8 + size)[8:]


def _integers(payload: bytes, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) int64: a class for each row, and their levels."""
    classes = [one for one in payload[:rows] for _ in range(columns)]
    check(len(payload) >= rows and all(one < 64 for one in classes), "classes of a codebook")
    return np.array(levels(payload[rows:], classes, numbers("PLAIN TABLES")), np.int64).reshape(rows, columns)
