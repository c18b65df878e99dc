"""What the payloads of DATA, MODL and CBOK chunks say before the codec's own bytes begin."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from embdc_cli.container import spec, varint
from embdc_cli.errors import CorruptArchive, UsageError

_DATA: Final = struct.Struct(spec.DATA_FORMAT)
_MODELS: Final = struct.Struct(spec.MODELS_FORMAT)
_CODEBOOK: Final = struct.Struct(spec.CODEBOOK_FORMAT)
_QUALITY: Final = struct.Struct("<fee")
_QUALITY_AT: Final = 40  # in a DATA chunk
_MAX_FLOAT32: Final = 3.4028234663852886e38


@dataclass(frozen=True)
class DataRecord:
    """One chunk of a stream: rows [row0, row0 + rows) of `stream` (its number in the part), coded by `kind`.

    kind: stage-chain id of the codec. symbol_crc: CRC-32 of the decoded integers.
    mse, cosine_mean, cosine_min: quality as achieved; NaN when unknown. Stored as float32 and as half-precision
    distances from 1, so they come back rounded.
    token_counts: of each row, ragged streams only. pts0, pts1: start of the first and end of the last row in ticks;
    0 when untimed. models_crc: CRC-32 of the segment's models, 0 without; filled in by the writer.
    Records from the index have neither symbol_crc, token_counts nor models_crc: fetching the chunk gives them.
    """

    stream: int
    segment: int
    row0: int
    rows: int
    kind: int
    symbol_crc: int
    mse: float = math.nan
    cosine_mean: float = math.nan
    cosine_min: float = math.nan
    token_counts: tuple[int, ...] | None = None
    pts0: int = 0
    pts1: int = 0
    models_crc: int = field(default=0, repr=False)

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.row0 + self.rows

    def quality(self) -> bytes:
        """The 8 bytes that hold mse and both cosine distances."""
        return _QUALITY.pack(
            _canonical(min(self.mse, _MAX_FLOAT32)), _distance(self.cosine_mean), _distance(self.cosine_min)
        )

    def indexed(self) -> tuple[int | bytes, ...]:
        """What the index holds of the record, for comparison."""
        place = (self.stream, self.segment, self.row0, self.rows, self.kind, self.pts0, self.pts1)
        return (*place, self.quality())

    def to_content(self, payload: bytes) -> bytes:
        """The content of a DATA chunk. Raises: UsageError for a field out of range."""
        tokens = b""
        if self.token_counts is not None:
            if len(self.token_counts) != self.rows:
                raise UsageError(f"chunk: {self.rows} rows but {len(self.token_counts)} token counts")
            tokens = varint.pack_differences(np.array(self.token_counts, np.int64))
        if self.rows < 1:
            raise UsageError(f"chunk: expected at least one row, found {self.rows}")
        mse, mean, worst = _QUALITY.unpack(self.quality())
        try:
            prefix = _DATA.pack(
                self.stream, self.kind, self.segment, self.row0, self.rows, self.symbol_crc, self.pts0, self.pts1,
                _canonical(mse), _canonical(mean), _canonical(worst), len(tokens), self.models_crc,
            )  # fmt: skip
        except struct.error as error:
            raise UsageError(f"chunk: a field of {self} is out of range: {error}") from error
        return b"".join((prefix, tokens, payload))

    @staticmethod
    def from_content(content: bytes | memoryview, *, ragged: bool, where: str) -> tuple[DataRecord, int]:
        """(record, offset of the codec payload) of DATA chunk `content`. Raises: CorruptArchive."""
        record, tokens_bytes = DataRecord.prefix_of(content, where)
        start = spec.DATA_BYTES + tokens_bytes
        if start > len(content) or ragged != (tokens_bytes > 0):
            raise CorruptArchive(f"{where}: token counts of {tokens_bytes} bytes do not fit this chunk")
        if not ragged:
            return record, start
        counts = varint.unpack_differences(content[spec.DATA_BYTES : start], record.rows, f"{where}: token counts")
        if (counts < 0).any() or (counts > spec.MAX_DIMENSION).any():
            raise CorruptArchive(f"{where}: a token count is negative or above {spec.MAX_DIMENSION}")
        return replace(record, token_counts=tuple(counts.tolist())), start

    @staticmethod
    def prefix_of(content: bytes | memoryview, where: str) -> tuple[DataRecord, int]:
        """(record without token counts, their bytes) from the first 56 bytes of a DATA chunk's content."""
        if len(content) < spec.DATA_BYTES:
            raise CorruptArchive(f"{where}: expected a record of {spec.DATA_BYTES} bytes, found {len(content)}")
        stream, kind, segment, row0, rows, symbol_crc, pts0, pts1, mse, mean, worst, tokens, models = _DATA.unpack_from(
            content
        )
        if rows < 1 or row0 + rows > spec.MAX_ROWS:
            raise CorruptArchive(f"{where}: rows {row0}+{rows} are out of range")
        quality = {"mse": mse, "cosine_mean": 1.0 - mean, "cosine_min": 1.0 - worst}
        record = DataRecord(
            stream, segment, row0, rows, kind, symbol_crc, pts0=pts0, pts1=pts1, models_crc=models, **quality
        )  # fmt: skip
        if record.quality() != content[_QUALITY_AT : _QUALITY_AT + _QUALITY.size]:
            raise CorruptArchive(f"{where}: quality of mse {mse}, cosines 1 - {mean} and 1 - {worst} is out of range")
        return record, tokens


@dataclass(frozen=True)
class ModelsRecord:
    """The models that the chunks of one segment of a stream share; `payload` is the codec's."""

    stream: int
    segment: int
    payload: bytes

    def to_content(self) -> bytes:
        """The content of a MODL chunk."""
        return _MODELS.pack(self.stream, 0, self.segment) + self.payload

    @staticmethod
    def from_content(content: bytes, where: str) -> ModelsRecord:
        """The record in MODL chunk `content`. Raises: CorruptArchive."""
        if len(content) < spec.MODELS_BYTES:
            raise CorruptArchive(f"{where}: expected at least {spec.MODELS_BYTES} bytes, found {len(content)}")
        stream, zero, segment = _MODELS.unpack_from(content)
        if zero:
            raise CorruptArchive(f"{where}: reserved field of models, expected 0, found {zero}")
        return ModelsRecord(stream, segment, content[spec.MODELS_BYTES :])


@dataclass(frozen=True)
class CodebookRecord:
    """A codebook by SHA-256 and size; payload None when the archive only refers to it."""

    digest: bytes
    size: int
    payload: bytes | None

    def to_content(self) -> bytes:
        """The content of a CBOK chunk."""
        return _CODEBOOK.pack(self.digest, self.size, int(self.payload is not None), 0) + (self.payload or b"")

    @staticmethod
    def from_content(content: bytes, where: str) -> CodebookRecord:
        """The record in CBOK chunk `content`; its digest is not checked here. Raises: CorruptArchive."""
        if len(content) < spec.CODEBOOK_BYTES:
            raise CorruptArchive(f"{where}: expected at least {spec.CODEBOOK_BYTES} bytes, found {len(content)}")
        digest, size, embedded, zero = _CODEBOOK.unpack_from(content)
        payload = content[spec.CODEBOOK_BYTES :]
        if embedded not in (0, 1) or zero or len(payload) != size * embedded:
            raise CorruptArchive(f"{where}: codebook of {size} bytes, found {len(payload)}")
        return CodebookRecord(digest, size, payload if embedded else None)


def _distance(cosine: float) -> float:
    """1 - cosine within [0, 2], one NaN for all."""
    return math.nan if math.isnan(cosine) else min(max(1.0 - cosine, 0.0), 2.0)


def _canonical(value: float) -> float:
    """`value`, with the one NaN whose bytes are always the same."""
    return math.nan if math.isnan(value) else value
