"""What has been written to, or found in, one part so far: its table, digests, rows and models.

Writer, resume and scan all keep this log by the same code, so a continued part equals an undisturbed one.
"""

from __future__ import annotations

import zlib

from embdc_cli.container import admission, spec, tail, times
from embdc_cli.container.chunk import CodebookRecord, DataRecord, ModelsRecord
from embdc_cli.container.framing import ChunkHeader, chunk_bytes
from embdc_cli.container.header import Header
from embdc_cli.container.table import ChunkTable, TableBuilder
from embdc_cli.container.times import TimesRecord

Record = DataRecord | ModelsRecord | TimesRecord | CodebookRecord | None


class PartLog:
    """The chunks of one part in order.

    rows: rows of each stream so far (end of its last chunk). models: CRC-32 by (stream, segment).
    times_rows: rows of each item whose times are known. leaves: digest of every chunk; with `digests` False none, since
    SHA-256 takes longer than everything else.
    """

    def __init__(self, header: Header, *, digests: bool = True) -> None:
        self.header = header
        self.digests = digests
        self.builder = TableBuilder()
        self.recent = TableBuilder()  # from the last checkpoint on, itself included
        self.leaves: list[bytes] = []
        self.seq = 0
        self.offset = spec.SIGNATURE_BYTES
        self.rows = [0] * len(header.streams)
        self.times_rows = [0] * len(header.items)
        self.models: dict[tuple[int, int], int] = {}
        self.codebooks: dict[bytes, bool] = {}  # digest: embedded
        self.recent_data = 0  # DATA chunks in `recent`

    def restore(self, known: ChunkTable) -> None:
        """Go on behind the chunks of a table; their digests and the checksums of their models stay unknown."""
        self.builder.restore(known)
        last = known.chunks[-1]
        self.seq = int(last["seq"]) + 1
        self.offset = int(last["offset"]) + chunk_bytes(int(last["content"]))
        for record in known.data:  # in file order, so the last one stays
            self.rows[record["stream"]] = int(record["row0"] + record["rows"])
        for clock in known.times:
            self.times_rows[clock["item"]] = int(clock["row0"] + clock["rows"])
        self.models = {(int(one["stream"]), int(one["segment"])): 0 for one in known.models}

    def admit(self, header: ChunkHeader, view: bytes | memoryview, where: str) -> Record:
        """The record in the content `view`, after checking that the chunk may come next. Raises: CorruptArchive."""
        if header.type == spec.DATA:
            record, _ = DataRecord.prefix_of(view, where)
            admission.check_data(record, self.header, self._rows_of(self.rows, record.stream), len(view), where)
            return record
        content = bytes(view)
        if header.type == spec.MODELS:
            models = ModelsRecord.from_content(content, where)
            admission.check_models(models.stream, models.segment, self.header, self.models, where)
            return models
        if header.type == spec.TIMES:
            clock = times.prefix_of(content, where)
            admission.check_times(clock, self.header, self._rows_of(self.times_rows, clock.item), where)
            return clock
        if header.type == spec.CODEBOOK:
            return CodebookRecord.from_content(content, where)
        return None

    def add(self, header: ChunkHeader, raw_header: bytes, stored: bytes, content_bytes: int, record: Record) -> None:
        """Note a chunk at `self.offset` whose record `admit` gave."""
        if self.digests:
            self.leaves.append(tail.leaf(raw_header, stored))
        if header.type == spec.INDEX:
            self.recent = TableBuilder()
            self.recent_data = 0
        for builder in (self.builder, self.recent):
            builder.add(spec.TYPE_CODES.get(header.type, spec.OTHER_CODE), header.seq, self.offset, content_bytes)
            _add_record(builder, record)
        match record:
            case DataRecord():
                self.rows[record.stream] = record.stop
                self.recent_data += 1
            case ModelsRecord():
                self.models[record.stream, record.segment] = zlib.crc32(record.payload)
            case TimesRecord():
                self.times_rows[record.item] = record.stop
            case CodebookRecord():
                self.codebooks[record.digest] = record.payload is not None
        self.seq = header.seq + 1
        self.offset += chunk_bytes(content_bytes)

    @staticmethod
    def _rows_of(rows: list[int], number: int) -> int:
        return rows[number] if number < len(rows) else 0


def _add_record(builder: TableBuilder, record: Record) -> None:
    match record:
        case DataRecord():
            builder.add_data(record)
        case ModelsRecord():
            builder.add_models(record.stream, record.segment)
        case TimesRecord():
            builder.add_times(record)
        case CodebookRecord():
            builder.add_codebook(record.digest, record.size, embedded=record.payload is not None)
