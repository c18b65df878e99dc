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
from tests.conformance.reader.fields import Fields, bounded
from tests.conformance.reader.integers import Table, levels, table_in, uniform
from tests.conformance.reader.network import Network, network_in
from tests.conformance.reader.pages import numbers

KINDS = ("transform", "vq")
_TABLES = {"TABL": "PLAIN TABLES", "TABR": "ROUNDED TABLES", "TABP": "PATH TABLES"}


@dataclass(frozen=True, eq=False)
class CodeLevel:
    """Codewords for some channels. words: (K, w) in units of 2^exponent."""

    channels: np.ndarray
    words: list[list[int]]
    exponent: int


@dataclass(frozen=True, eq=False)
class Codebook:
    """mean: (D,); vectors: (rank, D), float64. tables: those of coefficients, by the title of what they replace."""

    mean: np.ndarray
    vectors: np.ndarray
    tables: Mapping[str, Table]
    levels: list[CodeLevel]
    network: Network | None


def parsed(data: bytes) -> Codebook:
    """The codebook in the bytes of a file."""
    check(len(data) >= 52 and hashlib.sha256(data[:-32]).digest() == data[-32:], "a damaged codebook")
    magic, version, _, size = struct.unpack_from("<8sHHI", data)
    check(magic == bytes.fromhex("8b454d424443420a"), "no codebook")
    if version > 1:
        raise Unsupported(f"codebook of version {version}")
    fields = Fields(data[:-32])
    _checked(fields, 16)
    try:
        head = json.loads(_checked(fields, size))
        channels, rank, exponent = (int(head[name]) for name in ("channels", "rank", "mean_exponent"))
        kind, count = head["kind"], bounded(int(head["levels"]), 1, 192) if head["kind"] == "vq" else 0
    except (ValueError, KeyError) as error:
        raise Corrupt(f"header of a codebook: {error}") from error
    if kind not in KINDS:
        raise Unsupported(f"codebook of kind {kind}")
    mean = _integers(_section(fields, "MEAN"), 1, channels)[0]
    exponents = np.cumsum(_integers(_section(fields, "EXPO"), 1, rank)[0])
    _integers(_section(fields, "SPEC"), 1, rank)
    basis = _integers(_section(fields, "BASI"), rank, channels)
    check(basis.any(axis=1).all(), "a vector of zeros")
    tables = {}
    if fields.at < len(fields.data) and fields.data[fields.at : fields.at + 4] not in (b"LEVL", b"NETW"):
        tables = {title: table_in(_section(fields, name)) for name, title in _TABLES.items()}
    found = []
    if kind == "vq":
        payload = Fields(_section(fields, "LEVL"))
        found = [code_level(payload, rank) for _ in range(count)]
        payload.end()
    network = network_in(Fields(_section(fields, "NETW"))) if version else None
    fields.end()
    vectors = np.ldexp(basis.astype(float), exponents[:, None])
    return Codebook(np.ldexp(mean.astype(float), exponent), vectors, tables, found, network)


def code_level(fields: Fields, channels: int) -> CodeLevel:
    """A code level of tokens of so many channels: embdc-codec(5), VECTOR_QUANTISER."""
    width = bounded(fields.byte(64), 1, channels)
    count = fields.byte() + 1
    check(count >= 2 and not count & count - 1, "codewords are no power of two")
    exponent = fields.i8(126)
    gaps = np.array(uniform(fields, width), np.int64)
    places = np.cumsum(gaps + 1) - 1
    check((gaps >= 0).all() and places[-1] < channels, "channels of a code level")
    classes = list(fields.raw(width))
    check(max(classes) < 64, "classes of a code level")
    codes = levels(fields.blob(), classes * count, numbers("ENTRY TABLES"))
    check(all(abs(code) <= 1 << 15 for code in codes), "a codeword is too large")
    return CodeLevel(places, [codes[at : at + width] for at in range(0, len(codes), width)], exponent)


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
