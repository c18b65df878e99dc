"""What the chunks of a part say, as plain values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.reader.header import Header

CODES = {"DATA": 0, "MODL": 1, "pTS_": 2, "CBOK": 3, "iNDX": 4, "HEAD": 5, "dGST": 6, "mETA": 7, "sUMM": 8, "tAIL": 9}
"""Of chunk types, in an index."""


@dataclass(frozen=True)
class Chunk:
    """offset: in the part. raw: as stored."""

    type: str
    part_id: int
    seq: int
    offset: int
    content: bytes
    raw: bytes

    @property
    def leaf(self) -> bytes:
        """What dGST has of it."""
        return hashlib.sha256(self.raw).digest()[:16]


@dataclass(frozen=True)
class Data:
    """The fields of a DATA chunk. quality: mse and both cosines as stored; payload: the codec's."""

    stream: int
    kind: int
    segment: int
    row0: int
    rows: int
    symbol_crc: int
    pts0: int
    pts1: int
    quality: bytes
    models_crc: int
    tokens: list[int] | None
    payload: bytes


@dataclass(frozen=True)
class Times:
    item: int
    rows: int
    row0: int
    first: int
    last: int
    step: int
    starts: list[int]
    ends: list[int]


@dataclass
class Part:
    """What is readable of a part. parsed: of every chunk what it says."""

    offset: int
    signature: bytes
    head: bytes
    header: Header
    chunks: list[Chunk] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    summary: dict[str, Any] | None = None
    models: dict[tuple[int, int], bytes] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    times_rows: dict[int, int] = field(default_factory=dict)
    gap: bool = False
    sealed: bool = False
    end: int = 0

    @property
    def next_seq(self) -> int:
        return self.chunks[-1].seq + 1 if self.chunks else 0

    @property
    def data(self) -> list[Data]:
        return [one for one in self.said if isinstance(one, Data)]
