"""Writing one part of an archive, front to back, without ever seeking: a pipe gets the same bytes as a file."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from embdc_cli.container import canonical, index, spec, tail, times
from embdc_cli.container.chunk import CodebookRecord, DataRecord, ModelsRecord
from embdc_cli.container.framing import chunk_bytes, frame, parse_header, signature_of
from embdc_cli.container.header import Header
from embdc_cli.container.packed_json import pack
from embdc_cli.container.partlog import PartLog
from embdc_cli.container.tail import Tail
from embdc_cli.errors import UsageError

if TYPE_CHECKING:
    from embdc_cli.container.recover import ResumePoint


class Sink(Protocol):
    """Anything bytes can be written to."""

    def write(self, data: bytes, /) -> object: ...


class ArchiveWriter:
    """Writes signature and header at once, then chunks as they come, then the end matter.

    out: written to and nothing else; a short write is continued. Exceptions of `out` pass through: what was written
    before stays readable. bytes_written: of this part, resumed bytes included.
    """

    def __init__(self, out: Sink, header: Header, *, checkpoint_every: int = spec.CHECKPOINT_CHUNKS) -> None:
        payload = header.to_payload()
        Header.from_payload(payload)  # what no reader would accept must not be written
        self._begin(out, header, payload, checkpoint_every)
        self._write(signature_of(spec.MAJOR))
        self._log = PartLog(header)
        self._chunk(spec.HEAD, self._head)

    def _begin(self, out: Sink, header: Header, payload: bytes, checkpoint_every: int) -> None:
        self.header = header
        self.bytes_written = 0
        self._out = out
        self._head = pack(payload)
        self._part_id = zlib.crc32(payload)
        self._checkpoint_every = checkpoint_every
        self._finished = False

    @classmethod
    def resume(
        cls, out: Sink, header: Header, point: ResumePoint, *, checkpoint_every: int = spec.CHECKPOINT_CHUNKS
    ) -> ArchiveWriter:
        """A writer that goes on behind the last whole chunk of a part; `out` is cut to and placed at `point.offset`.

        Raises: UsageError when the part was begun with another header.
        """
        payload = header.to_payload()
        if payload != point.head:
            raise UsageError(
                "resume: the unfinished archive was begun with another header",
                hint="repeat the options of the first run, or start again without --resume",
            )
        writer = cls.__new__(cls)
        writer._begin(out, header, payload, checkpoint_every)
        writer._log = point.log
        writer.bytes_written = point.offset
        return writer

    def has_models(self, stream: int, segment: int) -> bool:
        """Whether the models of a segment are in the part."""
        return (stream, segment) in self._log.models

    def rows(self, stream: int) -> int:
        """Rows of `stream` in the part so far."""
        return self._log.rows[stream]

    def times_rows(self, item: int) -> int:
        """Rows of `item` whose times are in the part so far."""
        return self._log.times_rows[item]

    def has_codebook(self, digest: bytes, *, embedded: bool) -> bool:
        """Whether the part has this codebook: embedded, or for `embedded` False in either form."""
        return self._log.codebooks.get(digest, False) or (not embedded and digest in self._log.codebooks)

    def codebook(self, digest: bytes, payload: bytes | None, size: int) -> None:
        """A codebook, embedded, or with payload None by reference: its SHA-256 and size."""
        if len(digest) != 32 or (payload is not None and len(payload) != size):
            raise ValueError(f"codebook: digest of {len(digest)} bytes, size {size}")
        self._chunk(spec.CODEBOOK, CodebookRecord(digest, size, payload).to_content())

    def models(self, stream: int, segment: int, payload: bytes) -> None:
        """The models of a segment, once, before its first chunk."""
        if self.has_models(stream, segment):
            raise ValueError(f"models of stream {stream}, segment {segment} are written already")
        if not 0 <= stream < len(self.header.streams):
            raise ValueError(f"stream {stream} is not in the header")
        self._chunk(spec.MODELS, ModelsRecord(stream, segment, payload).to_content())

    def times(self, item: int, row0: int, starts: np.ndarray, ends: np.ndarray) -> None:
        """Start and end of rows row0, row0+1, ... of `item`: (rows,) int64 ticks, before the chunks of those rows."""
        if row0 != self._log.times_rows[item]:
            raise ValueError(f"times of item {item}: expected row {self._log.times_rows[item]}, found {row0}")
        if self.header.items[item].timebase is None:
            raise ValueError(f"times of item {item}: its header has no timebase")
        if row0 + len(starts) > spec.MAX_TIMELINE_ROWS:
            raise UsageError(
                f"times: expected at most {spec.MAX_TIMELINE_ROWS} rows, found {row0 + len(starts)}",
                hint="split the input into several archives",
            )
        for first in range(0, len(starts), spec.MAX_TIMES_ROWS):
            rows = slice(first, first + spec.MAX_TIMES_ROWS)
            self._chunk(spec.TIMES, times.to_content(item, row0 + first, starts[rows], ends[rows]))

    def data(self, record: DataRecord, payload: bytes) -> None:
        """One chunk of a stream; a stream's chunks come in the order of their rows, without gaps."""
        self._check(record, len(payload))
        models_crc = self._log.models.get((record.stream, record.segment), 0)
        self._chunk(spec.DATA, replace(record, models_crc=models_crc).to_content(payload))

    def _check(self, record: DataRecord, payload_bytes: int) -> None:
        stream, limits = self.header.streams[record.stream], self.header.limits
        if record.row0 != self._log.rows[record.stream]:
            raise ValueError(
                f"stream {stream.name!r}: expected row {self._log.rows[record.stream]}, found {record.row0}"
            )
        if stream.timed and record.stop > self._log.times_rows[stream.item]:
            raise ValueError(f"stream {stream.name!r}: times of row {record.stop - 1} are not written yet")
        if stream.ragged != (record.token_counts is not None):
            raise ValueError(f"stream {stream.name!r}: token counts belong to ragged streams, and to all of them")
        size = spec.DATA_BYTES + payload_bytes
        earned = spec.MAX_CHUNK_RATIO * size
        for what, found, allowed in (
            ("bytes", size, limits.max_chunk_bytes),
            ("rows", record.rows, min(limits.max_chunk_rows, max(spec.FREE_CHUNK_ROWS, earned))),
            (
                "values",
                chunk_values(record, stream.row_values),
                min(limits.max_chunk_values, max(spec.FREE_CHUNK_VALUES, earned)),
            ),
        ):
            if found > allowed:
                raise UsageError(
                    f"stream {stream.name!r}: chunk of {found} {what}, at most {allowed}",
                    hint="use a smaller --chunk-frames",
                )

    def finish(self, summary: dict[str, Any]) -> None:
        """The end matter: digests, copy of the header, summary, index, tail.

        Raises: UsageError when a stream does not have the rows its header promises.
        """
        for stream, rows in zip(self.header.streams, self._log.rows, strict=True):
            if stream.rows is not None and stream.rows != rows:
                raise UsageError(f"stream {stream.name!r}: header says {stream.rows} rows, {rows} were written")
            if stream.timed and rows != self._log.times_rows[stream.item]:
                raise ValueError(f"stream {stream.name!r}: {rows} rows, times of {self._log.times_rows[stream.item]}")
        digests = b"".join(self._log.leaves)
        summary_content = pack(canonical.dumps(summary, "summary"))
        # a part within the opening read needs no second copy of its header
        ends = [(spec.DIGESTS, digests), (spec.SUMMARY, summary_content)]
        closing = self._index_bytes(ends) + tail.CHUNK_BYTES + sum(chunk_bytes(len(content)) for _, content in ends)
        copy = self._log.offset + closing > spec.OPENING_BYTES
        starts: dict[bytes, int] = {}
        for kind, content in (ends[0], (spec.META, self._head), ends[1]):
            if kind != spec.META or copy:
                starts[kind] = self._log.offset
                self._chunk(kind, content, checkpoint=False)
        starts[spec.INDEX] = self._log.offset
        self._chunk(spec.INDEX, index.to_content(self._log.builder.table(), full=True), checkpoint=False)
        here = self._log.offset
        sealed = Tail(
            part_bytes=here + tail.CHUNK_BYTES,
            to_index=here - starts[spec.INDEX],
            to_summary=here - starts[spec.SUMMARY],
            to_meta=here - starts[spec.META] if copy else 0,
            to_digests=here - starts[spec.DIGESTS],
            chunks=self._log.seq + 1,
            root=tail.root_of(signature_of(spec.MAJOR), self._log.leaves),
            version=spec.MAJOR,
        )
        self._chunk(spec.TAIL, sealed.to_content(), checkpoint=False)
        self._finished = True

    def _index_bytes(self, extra: list[tuple[bytes, bytes]]) -> int:
        """Upper bound on the index chunk when `extra` chunks come before it: each adds at most 20 bytes of columns."""
        return chunk_bytes(len(index.to_content(self._log.builder.table(), full=True)) + 20 * len(extra))

    def _chunk(self, kind: bytes, content: bytes, *, checkpoint: bool = True) -> None:
        if self._finished:
            raise ValueError("the archive is finished")
        # the checkpoint waits for the next chunk, so that a resumed part puts it in the same place
        if checkpoint and self._log.recent_data >= self._checkpoint_every:
            self._emit(spec.INDEX, index.to_content(self._log.recent.table(), full=False))
        self._emit(kind, content)

    def _emit(self, kind: bytes, content: bytes) -> None:
        raw_header, stored = frame(kind, self._part_id, self._log.seq, content)
        self._write(raw_header)
        self._write(stored)
        header = parse_header(raw_header)
        assert header is not None
        record = self._log.admit(header, content, "writer")
        self._log.add(header, raw_header, stored, len(content), record)

    def _write(self, data: bytes) -> None:
        # raw files and pipes may take less than they are given
        done = self._out.write(data)
        self.bytes_written += len(data)
        while isinstance(done, int) and done < len(data):
            data = data[done:]
            done = self._out.write(data)


def chunk_values(record: DataRecord, row_values: int) -> int:
    """Values of a chunk: of its rows, or of its tokens when ragged."""
    return (record.rows if record.token_counts is None else sum(record.token_counts)) * row_values
