"""The chunks of one part as arrays: what the index stores, what a scan finds, and what the reader searches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.times import TimesRecord

CHUNK: Final = np.dtype([("code", "u1"), ("seq", "<u4"), ("offset", "<i8"), ("content", "<i8")])
"""Type code, number in the part, first byte from the part's start, content bytes without padding."""

DATA: Final = np.dtype(
    [
        ("chunk", "<i8"), ("stream", "<u2"), ("kind", "<u2"), ("segment", "<u4"), ("row0", "<i8"), ("rows", "<i8"),
        ("pts0", "<i8"), ("pts1", "<i8"), ("mse", "<u4"), ("mean", "<u2"), ("worst", "<u2"),
    ]
)  # fmt: skip
"""`chunk`: row of the chunk array; quality as stored bits."""

MODELS: Final = np.dtype([("chunk", "<i8"), ("stream", "<u2"), ("segment", "<u4")])
TIMES: Final = np.dtype(
    [
        ("chunk", "<i8"), ("item", "<u4"), ("row0", "<i8"), ("rows", "<i8"),
        ("first", "<i8"), ("last", "<i8"), ("step", "<i8"),
    ]
)  # fmt: skip
CODEBOOKS: Final = np.dtype([("chunk", "<i8"), ("digest", "V32"), ("size", "<u8"), ("embedded", "u1")])


@dataclass(frozen=True)
class ChunkTable:
    """All chunks of a part up to some point, in file order: structured arrays of the dtypes above."""

    chunks: np.ndarray
    data: np.ndarray
    models: np.ndarray
    times: np.ndarray
    codebooks: np.ndarray

    def data_record(self, row: int) -> DataRecord:
        """Record of row `row` of `data`, as far as the index knows it."""
        one = self.data[row]
        quality = np.array((one["mse"], one["mean"], one["worst"]), np.dtype("<u4,<u2,<u2")).tobytes()
        mse, mean, worst = np.frombuffer(quality, np.dtype("<f4,<f2,<f2"))[0]
        return DataRecord(
            stream=int(one["stream"]),
            segment=int(one["segment"]),
            row0=int(one["row0"]),
            rows=int(one["rows"]),
            kind=int(one["kind"]),
            symbol_crc=0,
            mse=float(mse),
            cosine_mean=1.0 - float(mean),
            cosine_min=1.0 - float(worst),
            pts0=int(one["pts0"]),
            pts1=int(one["pts1"]),
        )

    def times_record(self, row: int) -> TimesRecord:
        """Record of row `row` of `times`."""
        one = self.times[row]
        return TimesRecord(*(int(one[name]) for name in ("item", "row0", "rows", "first", "last", "step")))


@dataclass
class _Column:
    """Rows of one structured array; kept as tuples only until the next few thousand are packed."""

    dtype: np.dtype
    packed: list[np.ndarray] = field(default_factory=list)
    loose: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, row: tuple[Any, ...]) -> None:
        self.loose.append(row)
        if len(self.loose) >= 4096:
            self._pack()

    def array(self) -> np.ndarray:
        self._pack()
        self.packed = [np.concatenate(self.packed)] if self.packed else []
        return self.packed[0] if self.packed else np.empty(0, self.dtype)

    def _pack(self) -> None:
        if self.loose:
            self.packed.append(np.array(self.loose, self.dtype))
            self.loose = []


class TableBuilder:
    """A table that grows by one chunk at a time."""

    def __init__(self) -> None:
        self.count = 0
        self._columns = {name: _Column(dtype) for name, dtype in _COLUMNS.items()}

    def restore(self, known: ChunkTable) -> None:
        """Start again from a table."""
        self.count = len(known.chunks)
        for name, dtype in _COLUMNS.items():
            self._columns[name] = _Column(dtype, packed=[getattr(known, name)])

    def add(self, code: int, seq: int, offset: int, content_bytes: int) -> None:
        """Any chunk; the record of its content, where it has one, follows with one of the next methods."""
        self._columns["chunks"].add((code, seq, offset, content_bytes))
        self.count += 1

    def add_data(self, record: DataRecord) -> None:
        mse, mean, worst = np.frombuffer(record.quality(), np.dtype("<u4,<u2,<u2"))[0]
        place = (record.stream, record.kind, record.segment, record.row0, record.rows, record.pts0, record.pts1)
        self._columns["data"].add((self.count - 1, *place, mse, mean, worst))

    def add_models(self, stream: int, segment: int) -> None:
        self._columns["models"].add((self.count - 1, stream, segment))

    def add_times(self, record: TimesRecord) -> None:
        place = (record.item, record.row0, record.rows, record.first, record.last, record.step)
        self._columns["times"].add((self.count - 1, *place))

    def add_codebook(self, digest: bytes, size: int, *, embedded: bool) -> None:
        self._columns["codebooks"].add((self.count - 1, digest, size, int(embedded)))

    def table(self) -> ChunkTable:
        """Everything added so far."""
        return ChunkTable(**{name: column.array() for name, column in self._columns.items()})


_COLUMNS: Final = {"chunks": CHUNK, "data": DATA, "models": MODELS, "times": TIMES, "codebooks": CODEBOOKS}
