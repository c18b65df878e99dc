"""The payload of iNDX chunks: a chunk table as columns of variable-length integers.

No general-purpose compressor: its output differs between builds, and the bytes of an archive must not.
Every chunk is listed, so offsets and sequence numbers follow from the lengths; DATA columns are ordered by stream
first, so that the row, time and length of each chunk are predicted from the one before it in its stream.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.container import spec, table, varint
from embdc_cli.container.table import ChunkTable
from embdc_cli.errors import CorruptArchive, UnsupportedArchive

_INDEX: Final = struct.Struct(spec.INDEX_FORMAT)
_COLUMNS: Final = 24
_RAW: Final = 1
_CONSTANT: Final = 0
_DATA_CODE: Final = spec.TYPE_CODES[spec.DATA]


@dataclass(frozen=True)
class Index:
    """A parsed index. full: lists all chunks of the part before it; else those from the previous checkpoint on.

    first_offset: where the first listed chunk begins, from the part's start; a checkpoint's first listed chunk is
    the previous checkpoint, or the header. end: where the last listed chunk ends, which is where the iNDX begins.
    """

    table: ChunkTable
    full: bool
    first_offset: int
    end: int
    first_seq: int


def to_content(chunks: ChunkTable, *, full: bool) -> bytes:
    """The content of an iNDX chunk that lists `chunks`, at least one and without bytes between them."""
    form = spec.INDEX_FULL if full else spec.INDEX_CHECKPOINT
    first = chunks.chunks[0]
    head = _INDEX.pack(form, spec.INDEX_LAYOUT, 0, len(chunks.chunks), first["seq"], 0, first["offset"])
    codes, lengths = chunks.chunks["code"], chunks.chunks["content"]
    order = np.argsort(chunks.data["stream"], kind="stable")
    data = chunks.data[order]
    other = codes != _DATA_CODE
    columns = [
        varint.pack(codes),
        varint.pack_differences(lengths[other]),
        varint.pack_differences(lengths[data["chunk"]]),
        varint.pack_differences(chunks.data["stream"]),
        varint.pack_differences(data["kind"]),
        varint.pack_differences(data["segment"]),
        varint.pack_differences(data["rows"]),
        varint.pack(data["row0"] - _shifted(data["row0"] + data["rows"])),
        varint.pack(data["pts0"] - _shifted(data["pts1"])),
        varint.pack_differences(data["pts1"] - data["pts0"]),
        _pack_bits(data["mse"]),
        _pack_bits(data["mean"]),
        _pack_bits(data["worst"]),
        varint.pack_differences(chunks.models["stream"]),
        varint.pack_differences(chunks.models["segment"]),
        varint.pack_differences(chunks.times["item"]),
        varint.pack_differences(chunks.times["rows"]),
        varint.pack(chunks.times["row0"] - _shifted(chunks.times["row0"] + chunks.times["rows"])),
        varint.pack(chunks.times["first"] - _shifted(chunks.times["last"])),
        varint.pack_differences(chunks.times["last"] - chunks.times["first"]),
        varint.pack_differences(chunks.times["step"]),
        chunks.codebooks["digest"].tobytes(),
        varint.pack(chunks.codebooks["size"].astype(np.int64)),
        varint.pack(chunks.codebooks["embedded"]),
    ]
    lengths_of_columns = varint.encode(np.array([len(column) for column in columns], np.uint64))
    return head + lengths_of_columns + b"".join(columns)


def from_content(content: bytes, available: int, where: str) -> Index:
    """The index in iNDX chunk `content`, of a part with at most `available` bytes before that chunk.

    Raises: CorruptArchive when it lists what cannot be there; counts are checked before anything is allocated.
    """
    if len(content) < spec.INDEX_BYTES:
        raise CorruptArchive(f"{where}: expected at least {spec.INDEX_BYTES} bytes of index, found {len(content)}")
    form, layout, zero, count, first_seq, zero2, first_offset = _INDEX.unpack_from(content)
    if layout != spec.INDEX_LAYOUT:
        raise UnsupportedArchive(f"{where}: index layout {layout} is unknown here", hint="use a newer embdc")
    if form not in (spec.INDEX_CHECKPOINT, spec.INDEX_FULL) or zero or zero2:
        raise CorruptArchive(f"{where}: index form {form} is unknown")
    if first_offset > available or not 1 <= count <= (available - first_offset) // spec.CHUNK_BYTES:
        raise CorruptArchive(f"{where}: index of {count} chunks, more than fit into {available} bytes")
    columns = _Columns(content, where)
    chunks = np.zeros(count, table.CHUNK)
    codes = columns.plain(count, 0, spec.OTHER_CODE)
    is_data = codes == _DATA_CODE
    lengths = np.zeros(count, np.int64)
    lengths[~is_data] = columns.differences(int((~is_data).sum()), 0, spec.MAX_PAYLOAD_BYTES)
    data = _data_columns(columns, np.flatnonzero(is_data), lengths)
    chunks["code"], chunks["content"] = codes, lengths
    sizes = spec.CHUNK_BYTES + padded_array(lengths)
    end = first_offset + int(sizes.sum())
    if end > available:
        raise CorruptArchive(f"{where}: index of {end} bytes of chunks, found {available}")
    chunks["offset"] = first_offset + np.cumsum(sizes) - sizes
    chunks["seq"] = first_seq + np.arange(count)
    result = ChunkTable(
        chunks,
        data,
        _models_columns(columns, np.flatnonzero(codes == spec.TYPE_CODES[spec.MODELS])),
        _times_columns(columns, np.flatnonzero(codes == spec.TYPE_CODES[spec.TIMES])),
        _codebook_columns(columns, np.flatnonzero(codes == spec.TYPE_CODES[spec.CODEBOOK])),
    )
    columns.finish()
    return Index(result, form == spec.INDEX_FULL, first_offset, end, first_seq)


def padded_array(lengths: np.ndarray) -> np.ndarray:
    """Payload length for each of `lengths` bytes of content."""
    return -(-lengths // spec.ALIGNMENT) * spec.ALIGNMENT


def concatenated(tables: list[ChunkTable]) -> ChunkTable:
    """One table of consecutive tables."""
    shifts = np.cumsum([0, *(len(one.chunks) for one in tables)])
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("data", "models", "times", "codebooks")}
    for one, shift in zip(tables, shifts, strict=False):
        for name, pieces in columns.items():
            piece = getattr(one, name).copy()
            piece["chunk"] += shift
            pieces.append(piece)
    return ChunkTable(
        np.concatenate([one.chunks for one in tables]),
        **{name: np.concatenate(pieces) for name, pieces in columns.items()},
    )


def _data_columns(columns: _Columns, places: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    count = len(places)
    sorted_lengths = columns.differences(count, spec.DATA_BYTES, spec.MAX_PAYLOAD_BYTES)
    streams = columns.differences(count, 0, spec.MAX_STREAMS)
    order = np.argsort(streams, kind="stable")
    lengths[places[order]] = sorted_lengths
    data = np.zeros(count, table.DATA)
    data["chunk"], data["stream"] = places[order], streams[order]
    data["kind"] = columns.differences(count, 0, 0xFFFF)
    data["segment"] = columns.differences(count, 0, spec.MAX_SEGMENTS - 1)
    data["rows"] = columns.differences(count, 1, spec.CAP_CHUNK_ROWS)
    data["row0"] = _predicted(columns.signed(count), data["rows"])
    if (data["row0"] < 0).any() or (data["row0"] > spec.MAX_ROWS - data["rows"]).any():
        raise columns.error("a row number is out of range")
    starts = columns.signed(count)
    spans = np.cumsum(columns.signed(count), dtype=np.int64)
    data["pts0"] = _predicted(starts, spans)
    data["pts1"] = data["pts0"] + spans
    for name in ("mse", "mean", "worst"):
        data[name] = columns.bits(count, data.dtype[name])
    return data[np.argsort(data["chunk"], kind="stable")]


def _models_columns(columns: _Columns, places: np.ndarray) -> np.ndarray:
    models = np.zeros(len(places), table.MODELS)
    models["chunk"] = places
    models["stream"] = columns.differences(len(places), 0, spec.MAX_STREAMS)
    models["segment"] = columns.differences(len(places), 0, spec.MAX_SEGMENTS - 1)
    return models


def _times_columns(columns: _Columns, places: np.ndarray) -> np.ndarray:
    count = len(places)
    times = np.zeros(count, table.TIMES)
    times["chunk"] = places
    times["item"] = columns.differences(count, 0, spec.MAX_ITEMS - 1)
    times["rows"] = columns.differences(count, 1, spec.MAX_TIMES_ROWS)
    times["row0"] = _predicted(columns.signed(count), times["rows"])
    starts = columns.signed(count)
    spans = np.cumsum(columns.signed(count), dtype=np.int64)
    times["first"] = _predicted(starts, spans)
    times["last"] = times["first"] + spans
    times["step"] = np.cumsum(columns.signed(count), dtype=np.int64)
    return times


def _codebook_columns(columns: _Columns, places: np.ndarray) -> np.ndarray:
    codebooks = np.zeros(len(places), table.CODEBOOKS)
    codebooks["chunk"] = places
    codebooks["digest"] = np.frombuffer(columns.octets(32 * len(places)), "V32")
    codebooks["size"] = columns.plain(len(places), 0, spec.MAX_PAYLOAD_BYTES)
    codebooks["embedded"] = columns.plain(len(places), 0, 1)
    return codebooks


def _shifted(values: np.ndarray) -> np.ndarray:
    """`values` moved back by one, 0 first: what predicts each entry from the one before."""
    return np.concatenate([np.zeros(min(1, len(values)), np.int64), values[:-1].astype(np.int64)])


def _predicted(differences: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Starts from their distances to the end of the entry before: start_i = start_(i-1) + span_(i-1) + difference_i."""
    return np.cumsum(differences + _shifted(spans), dtype=np.int64)


def _pack_bits(values: np.ndarray) -> bytes:
    """Fixed-width values: 0 and one of them when all are equal, else 1 and all."""
    if len(values) and (values == values[0]).all():
        return bytes([_CONSTANT]) + values[:1].tobytes()
    return bytes([_RAW]) + values.tobytes()


class _Columns:
    """The columns of an index, taken one after the other, each with the number and range of values it must have."""

    def __init__(self, content: bytes, where: str) -> None:
        self._content = memoryview(content)
        self._place = spec.INDEX_BYTES
        self._where = where
        self._sizes = []
        for _ in range(_COLUMNS):
            size, self._place = varint.decode_one(self._content, self._place, f"{where}: index columns")
            self._sizes.append(size)

    def error(self, what: str) -> CorruptArchive:
        return CorruptArchive(f"{self._where}: index, {what}")

    def _next(self) -> memoryview:
        size = self._sizes.pop(0)
        if size > len(self._content) - self._place:
            raise self.error(f"a column of {size} bytes is cut")
        self._place += size
        return self._content[self._place - size : self._place]

    def _checked(self, values: np.ndarray, low: int, high: int) -> np.ndarray:
        if len(values) and not (low <= int(values.min()) and int(values.max()) <= high):
            raise self.error(f"expected values from {low} to {high}, found {values.min()} to {values.max()}")
        return values

    def plain(self, count: int, low: int, high: int) -> np.ndarray:
        return self._checked(self.signed(count), low, high)

    def signed(self, count: int) -> np.ndarray:
        return varint.unpack(self._next(), count, f"{self._where}: index")

    def differences(self, count: int, low: int, high: int) -> np.ndarray:
        return self._checked(np.cumsum(self.signed(count), dtype=np.int64), low, high)

    def bits(self, count: int, dtype: np.dtype) -> np.ndarray:
        column = self._next()
        form, body = (column[0], column[1:]) if len(column) else (_RAW, column)
        if form == _CONSTANT and count and len(body) == dtype.itemsize:
            return np.repeat(np.frombuffer(body, dtype), count)
        if form != _RAW or len(body) != count * dtype.itemsize:
            raise self.error(f"expected {count} values of {dtype.itemsize} bytes, found {len(body)} bytes")
        return np.frombuffer(body, dtype)

    def octets(self, size: int) -> bytes:
        column = bytes(self._next())
        if len(column) != size:
            raise self.error(f"expected a column of {size} bytes, found {len(column)}")
        return column

    def finish(self) -> None:
        if self._place != len(self._content):
            raise self.error(f"{len(self._content) - self._place} bytes after the last column")
