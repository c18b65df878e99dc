"""Exact start and end of every row: the payload of pTS_ chunks.

A constant rate is one step, 40 bytes for any number of rows; otherwise second differences of the starts and the
gaps between rows, about a byte per row.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.container import spec, varint
from embdc_cli.errors import CorruptArchive, UsageError
from embdc_cli.values import ArrayTicks, SteadyTicks, Ticks

_TIMES: Final = struct.Struct(spec.TIMES_FORMAT)
_EXPANDED: Final = 64
"""Bytes of arrays that a byte of a chunk may become for good; chunks of longer runs are decoded when they are used."""


@dataclass(frozen=True)
class TimesRecord:
    """Rows [row0, row0 + rows) of an item lie between ticks `first` and `last`.

    step > 0: row i starts at first + i * step and ends a step later; step 0: starts and ends are columns of the chunk.
    """

    item: int
    row0: int
    rows: int
    first: int
    last: int
    step: int

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.row0 + self.rows

    def constant(self) -> SteadyTicks:
        """The rows of a constant rate."""
        return SteadyTicks(self.first, self.step, self.rows)


def record_of(item: int, row0: int, starts: np.ndarray, ends: np.ndarray) -> TimesRecord:
    """The record of starts, ends: (rows,) int64 ticks. Raises: UsageError when they do not match."""
    rows = len(starts)
    if rows != len(ends) or rows < 1:
        raise UsageError(f"times: expected as many ends as starts and at least one, found {rows} and {len(ends)}")
    first, last = int(starts[0]), int(ends[-1])
    step = int(ends[0]) - first
    constant = TimesRecord(item, row0, rows, first, last, step)
    if 0 < step < 1 << 63 and last - first == rows * step:
        same_starts, same_ends = constant.constant().columns()
        if np.array_equal(same_starts, starts) and np.array_equal(same_ends, ends):
            return constant
    return TimesRecord(item, row0, rows, first, last, 0)


def to_content(item: int, row0: int, starts: np.ndarray, ends: np.ndarray) -> bytes:
    """The content of a pTS_ chunk."""
    record = record_of(item, row0, starts, ends)
    prefix = _TIMES.pack(record.item, record.rows, record.row0, record.first, record.last, record.step)
    if record.step:
        return prefix
    starts, ends = starts.astype(np.int64), ends.astype(np.int64)
    steps = np.diff(starts)
    gaps = starts[1:] - ends[:-1]
    columns = [varint.pack_differences(steps), varint.pack(gaps)]
    return b"".join([prefix, varint.encode(np.array([len(columns[0])], np.uint64)), *columns])


def prefix_of(content: bytes | memoryview, where: str) -> TimesRecord:
    """The record at the start of pTS_ chunk `content`. Raises: CorruptArchive."""
    if len(content) < spec.TIMES_BYTES:
        raise CorruptArchive(f"{where}: expected {spec.TIMES_BYTES} bytes of times, found {len(content)}")
    item, rows, row0, first, last, step = _TIMES.unpack_from(content)
    record = TimesRecord(item, row0, rows, first, last, step)
    check(record, where)
    return record


def check(record: TimesRecord, where: str) -> None:
    """Nothing, for a record within the limits. Raises: CorruptArchive."""
    if not 1 <= record.rows <= spec.MAX_TIMES_ROWS or record.stop > spec.MAX_TIMELINE_ROWS or record.row0 < 0:
        raise CorruptArchive(f"{where}: times of rows {record.row0}+{record.rows} are out of range")
    if record.step < 0 or (record.step and record.last - record.first != record.rows * record.step):
        raise CorruptArchive(f"{where}: {record.rows} rows of {record.step} ticks do not fill their interval")


def from_content(content: bytes, where: str) -> tuple[TimesRecord, np.ndarray, np.ndarray]:
    """(record, starts, ends) of pTS_ chunk `content`. Raises: CorruptArchive."""
    record = prefix_of(content, where)
    if record.step:
        if len(content) != spec.TIMES_BYTES:
            raise CorruptArchive(f"{where}: {len(content) - spec.TIMES_BYTES} bytes after the times of a constant rate")
        return (record, *record.constant().columns())
    body = memoryview(content)[spec.TIMES_BYTES :]
    size, place = varint.decode_one(body, 0, f"{where}: times")
    if size > len(body) - place:
        raise CorruptArchive(f"{where}: times of {size} bytes do not fit their chunk")
    steps = varint.unpack_differences(body[place : place + size], record.rows - 1, f"{where}: starts")
    gaps = varint.unpack(body[place + size :], record.rows - 1, f"{where}: ends")
    starts = np.cumsum(np.concatenate([np.array([record.first], np.int64), steps]), dtype=np.int64)
    ends = np.append(starts[1:] - gaps, np.int64(record.last))
    return record, starts, ends


@dataclass(frozen=True)
class CodedTicks:
    """The rows of a good pTS_ chunk, decoded each time they are asked for."""

    first: int
    rows: int
    content: bytes

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        _, starts, ends = from_content(self.content, "times")
        return starts, ends


def ticks_of(content: bytes, where: str) -> tuple[TimesRecord, Ticks]:
    """(record, rows) of pTS_ chunk `content`, in memory of the order of its bytes. Raises: CorruptArchive."""
    record = prefix_of(content, where)
    if record.step and len(content) == spec.TIMES_BYTES:
        return record, record.constant()
    record, starts, ends = from_content(content, where)
    if starts.nbytes + ends.nbytes <= _EXPANDED * len(content):
        return record, ArrayTicks(starts, ends)
    return record, CodedTicks(record.first, record.rows, content)
