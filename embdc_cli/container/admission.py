"""What chunks must be to belong to one part: of streams that exist, within the limits of the header, in order."""

from __future__ import annotations

import numpy as np

from embdc_cli.container import spec
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.header import Header, Limits
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.times import TimesRecord
from embdc_cli.errors import CorruptArchive

_JSON_TYPES = (spec.HEAD, spec.META, spec.SUMMARY)


def max_payload(kind: bytes, limits: Limits | None) -> int:
    """Largest payload a chunk of type `kind` may have; limits: of the header, None before it is known."""
    if kind in _JSON_TYPES:
        return spec.MAX_JSON_BYTES + spec.ALIGNMENT
    if kind == spec.DATA and limits is not None:
        return limits.max_chunk_bytes + spec.ALIGNMENT
    return spec.MAX_PAYLOAD_BYTES


def fits(rows: int, values: int, content_bytes: int, limits: Limits) -> bool:
    """Whether a DATA chunk of so many bytes may decode to so many rows and values.

    What the header allows is not enough: a chunk of a few bytes must not say how much memory is taken for it.
    """
    earned = spec.MAX_CHUNK_RATIO * content_bytes
    return rows <= min(limits.max_chunk_rows, max(spec.FREE_CHUNK_ROWS, earned)) and values <= min(
        limits.max_chunk_values, max(spec.FREE_CHUNK_VALUES, earned)
    )


def check_data(record: DataRecord, header: Header, rows: int, content_bytes: int, where: str) -> None:
    """Nothing, for a DATA record that may follow `rows` rows of its stream. Raises: CorruptArchive."""
    if record.stream >= len(header.streams):
        raise CorruptArchive(f"{where}: stream {record.stream}, the header has {len(header.streams)}")
    stream, limits = header.streams[record.stream], header.limits
    values = record.rows * (1 if stream.ragged else stream.row_values)
    if not fits(record.rows, values, content_bytes, limits):
        raise CorruptArchive(
            f"{where}: {record.rows} rows of {stream.name!r} in {content_bytes} bytes exceed the limits"
        )
    if record.row0 < rows:
        raise CorruptArchive(f"{where}: row {record.row0} of {stream.name!r} again, {rows} rows came before")


def check_times(record: TimesRecord, header: Header, rows: int, where: str) -> None:
    """Nothing, for times that may follow those of `rows` rows of their item. Raises: CorruptArchive."""
    if record.item >= len(header.items) or header.items[record.item].timebase is None:
        raise CorruptArchive(f"{where}: times of item {record.item}, which has none")
    if record.row0 < rows:
        raise CorruptArchive(f"{where}: times of row {record.row0} again, {rows} rows came before")


def check_models(stream: int, segment: int, header: Header, known: dict[tuple[int, int], int], where: str) -> None:
    """Nothing, for models that are new and of a stream that exists. Raises: CorruptArchive."""
    if stream >= len(header.streams) or (stream, segment) in known:
        raise CorruptArchive(f"{where}: models of stream {stream}, segment {segment}, are unknown or there already")


def check_table(table: ChunkTable, header: Header, where: str, *, whole: bool = True) -> None:
    """Nothing, for the table of a part (whole, or as far as it got): every row and its times once, in order.

    Raises: CorruptArchive.
    """
    codes = table.chunks["code"]
    if not len(codes) or codes[0] != spec.TYPE_CODES[spec.HEAD] or (codes[1:] == spec.TYPE_CODES[spec.HEAD]).any():
        raise CorruptArchive(f"{where}: expected exactly one header, at the start of the part")
    limits, data = header.limits, table.data
    lengths = table.chunks["content"][data["chunk"]]
    if len(data) and (int(data["rows"].max()) > limits.max_chunk_rows or int(lengths.max()) > limits.max_chunk_bytes):
        raise CorruptArchive(f"{where}: a chunk exceeds the limits of the header")
    if len(data) and int(data["stream"].max()) < len(header.streams):
        _check_sizes(data, lengths, header, where)
    rows = _contiguous(data["stream"], data["row0"], data["rows"], len(header.streams), f"{where}: streams")
    times = table.times
    clock = _contiguous(times["item"], times["row0"], times["rows"], len(header.items), f"{where}: times")
    if (clock > spec.MAX_TIMELINE_ROWS).any():
        raise CorruptArchive(f"{where}: a timeline of more than {spec.MAX_TIMELINE_ROWS} rows")
    _check_steps(times, where)
    for number, item in enumerate(header.items):
        if clock[number] and item.timebase is None:
            raise CorruptArchive(f"{where}: times of item {number}, which has no timebase")
    for stream, found in zip(header.streams, rows.tolist(), strict=True):
        if whole and stream.rows is not None and stream.rows != found:
            raise CorruptArchive(f"{where}: stream {stream.name!r}, expected {stream.rows} rows, found {found}")
        if stream.timed and (found > clock[stream.item] or (whole and found != clock[stream.item])):
            raise CorruptArchive(f"{where}: stream {stream.name!r}, {found} rows but times of {clock[stream.item]}")
    pairs = np.unique(table.models[["stream", "segment"]])
    if len(pairs) != len(table.models) or (table.models["stream"] >= len(header.streams)).any():
        raise CorruptArchive(f"{where}: models that are there twice, or of no stream")


def _check_sizes(data: np.ndarray, lengths: np.ndarray, header: Header, where: str) -> None:
    """`fits`, of every chunk; what the tokens of ragged rows come to is not in the table."""
    # beyond 2^53 a float is no longer exact, and far beyond every limit
    each = np.array([1 if one.ragged else min(one.row_values, 1 << 62) for one in header.streams], np.float64)
    earned = spec.MAX_CHUNK_RATIO * lengths
    values = data["rows"] * each[data["stream"]]
    most = np.minimum(header.limits.max_chunk_values, np.maximum(spec.FREE_CHUNK_VALUES, earned))
    wrong = np.flatnonzero((data["rows"] > np.maximum(spec.FREE_CHUNK_ROWS, earned)) | (values > most))
    if len(wrong):
        one = data[wrong[0]]
        name = header.streams[one["stream"]].name
        raise CorruptArchive(f"{where}: {one['rows']} rows of {name!r} in {lengths[wrong[0]]} bytes exceed the limits")


def _check_steps(times: np.ndarray, where: str) -> None:
    steps = times["step"]
    constant = steps != 0
    uneven = (times["last"] - times["first"] != times["rows"] * steps)[constant]
    if (steps < 0).any() or uneven.any():
        raise CorruptArchive(f"{where}: rows of constant duration do not fill their interval")


def _contiguous(groups: np.ndarray, starts: np.ndarray, sizes: np.ndarray, count: int, what: str) -> np.ndarray:
    """int64 (count,): rows of each group, whose pieces must follow each other from row 0. Raises: CorruptArchive."""
    totals = np.zeros(count, np.int64)
    if not len(groups):
        return totals
    if int(groups.max()) >= count:
        raise CorruptArchive(f"{what}: number {int(groups.max())}, the header has {count}")
    order = np.argsort(groups, kind="stable")
    group, start, stop = groups[order], starts[order], (starts + sizes)[order]
    expected = np.concatenate([[0], np.where(group[1:] == group[:-1], stop[:-1], 0)])
    wrong = np.flatnonzero(start != expected)
    if len(wrong):
        raise CorruptArchive(f"{what}: expected row {int(expected[wrong[0]])}, found {int(start[wrong[0]])}")
    np.maximum.at(totals, group, stop)
    return totals
