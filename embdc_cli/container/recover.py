"""Going on where a writer stopped: the whole chunks of an unfinished part, and the whole parts before one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from embdc_cli.container import spec
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.framing import content_of, parse_header, signature_of
from embdc_cli.container.header import Header
from embdc_cli.container.partlog import PartLog
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.scan import ScannedChunk, whole_chunks
from embdc_cli.container.storage import Storage, open_storage
from embdc_cli.errors import CorruptArchive

_END_MATTER = (spec.DIGESTS, spec.META, spec.SUMMARY, spec.TAIL)
_WRITTEN = (spec.CODEBOOK, spec.MODELS, spec.TIMES, spec.DATA)


@dataclass(frozen=True)
class WholeChunk:
    """A chunk somebody asked the writer for. record: full record of a DATA chunk, None for the other types."""

    type: bytes
    record: DataRecord | None
    offset: int
    length: int


@dataclass
class ResumePoint:
    """The state of an unfinished part at the end of its last whole chunk. Serves one `ArchiveWriter.resume`.

    head: the JSON of HEAD. offset: bytes to keep. chunks: codebooks, models, times and data in file order; the header,
    checkpoints and end matter are the writer's own business.
    """

    header: Header
    head: bytes
    offset: int
    chunks: tuple[WholeChunk, ...]
    log: PartLog
    storage: Storage

    def payload(self, chunk: WholeChunk) -> bytes:
        """The codec payload of a DATA chunk, read again and checked. Raises: CorruptArchive."""
        where = f"{self.storage.name}: byte {chunk.offset}"
        blob = self.storage.read(chunk.offset, chunk.offset + chunk.length)
        header = parse_header(blob)
        if header is None or chunk.record is None:
            raise CorruptArchive(f"{where}: expected a DATA chunk, found other bytes")
        content = content_of(header, blob[spec.CHUNK_BYTES :], where)
        _, start = DataRecord.from_content(content, ragged=chunk.record.token_counts is not None, where=where)
        return content[start:]

    def close(self) -> None:
        """Close the file that `payload` reads from."""
        self.storage.close()


def last_whole_chunk(source: str | os.PathLike[str] | BinaryIO) -> ResumePoint | None:
    """The state of the part at the start of `source`, or None when not even its header is whole.

    Every chunk is read and checked. End matter does not count: it is written anew.
    """
    storage = open_storage(source)
    point: ResumePoint | None = None
    log: PartLog | None = None
    chunks: list[WholeChunk] = []
    offset = 0
    whole = storage.read(0, spec.SIGNATURE_BYTES) == signature_of(spec.MAJOR)
    for chunk in whole_chunks(storage, 0, storage.size) if whole else ():
        if chunk.header.type in _END_MATTER:
            break
        if log is None:
            log = PartLog(chunk.part.log.header)
        log.add(chunk.header, chunk.raw_header, chunk.stored, len(chunk.view), chunk.record)
        offset = chunk.offset + spec.CHUNK_BYTES + chunk.header.length
        if chunk.header.type in _WRITTEN:
            length = spec.CHUNK_BYTES + chunk.header.length
            chunks.append(WholeChunk(chunk.header.type, _record_of(chunk), chunk.offset, length))
        point = ResumePoint(log.header, chunk.part.head, offset, (), log, storage)
    if point is None:
        storage.close()
        return None
    point.chunks = tuple(chunks)
    return point


def _record_of(chunk: ScannedChunk) -> DataRecord | None:
    if not isinstance(chunk.record, DataRecord):
        return None
    ragged = chunk.part.log.header.streams[chunk.record.stream].ragged
    return DataRecord.from_content(chunk.content, ragged=ragged, where="unfinished archive")[0]


def whole_bytes(reader: ArchiveReader) -> int | None:
    """Bytes up to the end of the last whole part, of an archive in which nothing is wrong before that; else None."""
    whole = [part for part in reader.parts if part.complete]
    end = whole[-1].offset + whole[-1].length if whole else 0
    return end if end and all(one.offset >= end or one.declared for one in reader.damage) else None
