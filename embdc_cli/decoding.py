"""Decoding an archive into a dump: which streams and rows, chunk by chunk into a sink, and what damage costs."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.container.contents import Entry
from embdc_cli.device import check_device
from embdc_cli.errors import CorruptArchive, IncompleteError, UsageError
from embdc_cli.item_streams import owner
from embdc_cli.options import DecodeOptions
from embdc_cli.output import check_not_input, copy_stream, destination
from embdc_cli.parallel import ordered_map
from embdc_cli.reporter import Reporter
from embdc_cli.scratch import scratch_file
from embdc_cli.sink import Sink, format_for, open_sink
from embdc_cli.slicing import rows_of
from embdc_cli.stream_view import StreamView
from embdc_cli.values import StreamSpec

ON_DAMAGE = ("fail", "skip", "nan")


@dataclass
class Selection:
    """What is taken of one stream: its rows, and those of them that damage has cost.

    drops: lost rows are left out; otherwise they stay, as NaN. cut_off: rows that the header promises behind the
    readable end of an archive that was cut.
    """

    view: StreamView
    rows: range
    dtype: str
    drops: bool = False
    lost: list[range] = field(default_factory=list)
    cut_off: range = range(0)

    @property
    def kept(self) -> int:
        """Rows that reach the output."""
        return len(self.rows) - (sum(map(len, self.lost)) if self.drops else 0)

    @property
    def spec(self) -> StreamSpec:
        """The stream as the output gets it."""
        return replace(self.view.spec, name=self.view.name, dtype=self.dtype, rows=self.kept)


def decode_archive(source: str, output: str, options: DecodeOptions, reporter: Reporter) -> dict[str, Any]:
    """Decode and return the `--json` document; see `pipeline.decode`."""
    if options.on_damage not in ON_DAMAGE:
        raise UsageError(f"--on-damage: expected one of {', '.join(ON_DAMAGE)}, found {options.on_damage!r}")
    check_device(options.device)
    check_not_input(output, source)
    if options.follow:
        from embdc_cli.following import decode_growing

        return decode_growing(source, output, options, reporter)
    with opened(source, options) as archive:
        chosen = [_selected(archive, view, options) for view in select(archive, options)]
        format_name = format_for(output, [one.spec for one in chosen], options.format)
        if not archive.complete:
            reporter.note(f"{source}: archive is incomplete, decoding what is readable")
        for one in chosen:
            if one.drops:
                _find_damage(archive, one, options, reporter)
        written = [one for one in chosen if one.view.spec.timed or one.kept]  # a tensor without rows is there or not
        if not written:
            raise CorruptArchive(f"{source}: nothing of what was asked for can be read")
        with destination(output, force=options.force) as out:
            counts = {one.view.name: _token_counts(archive, one) for one in written if one.view.spec.ragged}
            sink = open_sink(format_name, out, [one.spec for one in written], token_counts=counts)
            try:
                for one in written:
                    _write(archive, one, sink, options, reporter)
                sink.close()
            except BaseException:
                sink.discard()
                raise
        for warning in sink.warnings:
            reporter.note(warning)
        lost = [loss for one in chosen for loss in losses(one.view, one.lost, one.cut_off)]
        for loss in lost:
            reporter.note(lost_words(loss))
        return {
            "archive": source,
            "output": output,
            "format": format_name,
            "streams": [{"name": one.view.name, "shape": list(one.spec.shape), "dtype": one.dtype} for one in written],
            "frames": max(one.kept for one in written),
            "lost": lost,
            "io": archive.reader.traffic.document(),
            "exit": 0 if archive.complete and not lost else IncompleteError.exit_code,
        }


@contextmanager
def opened(source: str, options: DecodeOptions) -> Iterator[Archive]:
    """The archive at a path or URL; standard input is spooled first, since reading seeks."""
    if source != "-":
        with _archive(source, options) as archive:
            yield archive
        return
    with scratch_file() as spooled:
        copy_stream(sys.stdin.buffer, spooled)
        spooled.seek(0)
        with _archive(spooled, options) as archive:
            yield archive


def _archive(source: str | BinaryIO, options: DecodeOptions) -> Archive:
    return Archive(
        source,
        codebooks=options.codebooks,
        backend=options.backend,
        levels=options.levels,
        device=options.device,
        reconstruction=options.reconstruction,
    )


def select(archive: Archive, options: DecodeOptions) -> list[StreamView]:
    """The streams that `--item` and `--stream` name. Raises: UsageError listing what is there."""
    views = [archive[name] for name in archive]
    if options.item is not None:
        items = archive.reader.items
        owners = [owner(items, view.item.number) for view in views]
        views = [view for view, one in zip(views, owners, strict=True) if options.item in (str(one.number), one.name)]
        if not views:
            have = ", ".join(dict.fromkeys(one.name for one in owners))
            raise UsageError(f"--item: {options.item!r} is not in the archive", hint=f"items: {have}")
    if options.stream is not None:
        named = [view for view in views if options.stream in (view.name, view.spec.name)]
        if not named:
            have = ", ".join(view.name for view in views)
            raise UsageError(f"--stream: {options.stream!r} is not in the archive", hint=f"streams: {have}")
        views = named
    return views


def _selected(archive: Archive, view: StreamView, options: DecodeOptions) -> Selection:
    sliced = options.frames is not None or options.time is not None
    if sliced and not view.spec.timed:
        raise UsageError(f"--frames: stream {view.name!r} has no rows to slice", hint="choose streams with --stream")
    rows = rows_of(options.frames, options.time, view.spec.known_rows, view.timeline if options.time else None)
    dtype = view.spec.dtype
    if options.dtype is not None and dtype in dtypes.FLOATS:
        dtype = dtypes.parse(options.dtype)
        if dtype not in dtypes.FLOATS:
            raise UsageError(f"--dtype: expected one of f16, bf16, f32, found {options.dtype!r}")
    behind = cut_off(view, options.frames, options.time)
    return Selection(view, rows, dtype, _drops(archive, view, options), cut_off=behind)


def _drops(archive: Archive, view: StreamView, options: DecodeOptions) -> bool:
    """Whether what is lost of a stream is left out. A tensor without rows behind the end of a cut archive always is,
    as rows are, and one that cannot be NaN must not cost the others."""
    if options.on_damage == "skip" or view.spec.timed:
        return options.on_damage == "skip"
    behind = not archive.complete and view.stream.rows == 0
    return behind or (options.on_damage == "nan" and not _holds_nan(view.spec))


def cut_off(view: StreamView, frames: str | None, time: str | None) -> range:
    """The rows asked for that the header promises behind the readable end, from the first to the last of them."""
    promised = view.stream.header.rows
    if promised is None or time is not None or not view.spec.timed:
        return range(0)
    asked = rows_of(frames, None, promised, None)
    behind = asked[bisect_left(asked, view.spec.known_rows) :]
    return range(behind[0], behind[-1] + 1) if behind else range(0)


def _write(archive: Archive, one: Selection, sink: Sink, options: DecodeOptions, reporter: Reporter) -> None:
    """All rows of one stream into the sink; damaged chunks as `--on-damage` says."""
    done = 0
    pieces = [piece for piece in one.view.pieces(one.rows) if not (one.drops and _is_lost(one, piece[1]))]
    found_rows = decoded(archive, one.view, pieces, one.dtype, options.jobs)
    for (_, wanted), found in zip(pieces, found_rows, strict=True):
        rows = found
        if isinstance(rows, CorruptArchive):
            if options.on_damage != "nan":
                raise rows
            one.lost.append(wanted)
            rows = _nan_rows(one.view.spec, wanted, one.dtype)
        sink.write(one.view.name, done, rows)
        done += len(wanted)
        reporter.progress(f"decode {one.view.name}", done, one.kept, "rows")


def decoded(
    archive: Archive, view: StreamView, pieces: Sequence[tuple[Entry | None, range]], dtype: str, jobs: int
) -> Iterator[np.ndarray | CorruptArchive]:
    """The rows of every piece in the storage of `dtype`, or the error that says what is wrong with it.

    Decoded where the archive decodes: on its device, or by `jobs` threads.
    """

    def decode(piece: tuple[Entry | None, range]) -> np.ndarray | CorruptArchive:
        try:
            rows = archive.rows(view, *piece)
        except CorruptArchive as error:
            return error
        return _converted(rows, view.spec.dtype, dtype)

    decoder = archive.device_decoder
    with archive.ahead(view.stream, pieces):
        if decoder is None:
            yield from ordered_map(decode, pieces, jobs)
            return
        for found in decoder.chunks(archive, view, pieces):
            yield found if isinstance(found, CorruptArchive) else _converted(found, view.spec.dtype, dtype)


def _converted(rows: np.ndarray, source: str, target: str) -> np.ndarray:
    return rows if source == target else dtypes.from_float32(dtypes.to_float32(rows, source), target)


def _nan_rows(spec: StreamSpec, wanted: range, dtype: str) -> np.ndarray:
    """NaN in place of lost rows. Raises: CorruptArchive where the stream cannot hold NaN."""
    if not _holds_nan(spec):
        raise CorruptArchive(
            f"stream {spec.name!r}: rows {wanted.start} to {wanted[-1] + 1} are damaged and cannot be NaN",
            hint="--on-damage skip leaves them out",
        )
    rows = np.full((len(wanted), *spec.row_shape), np.nan, np.float32)
    return dtypes.from_float32(rows, dtype) if dtype in dtypes.FLOATS else rows.astype(dtypes.storage(dtype))


def _holds_nan(spec: StreamSpec) -> bool:
    return spec.dtype in (*dtypes.FLOATS, "float64") and not spec.ragged


def _find_damage(archive: Archive, one: Selection, options: DecodeOptions, reporter: Reporter) -> None:
    """Decode every chunk once, so that the number of rows that are left is known before the first is written."""
    pieces = list(one.view.pieces(one.rows))
    found_rows = decoded(archive, one.view, pieces, one.dtype, options.jobs)
    for (_, wanted), found in zip(pieces, found_rows, strict=True):
        if isinstance(found, CorruptArchive):
            reporter.note(str(found))
            one.lost.append(wanted)


def _token_counts(archive: Archive, one: Selection) -> np.ndarray:
    """Tokens of every row that reaches the output, (rows,) int64; a ragged stream only."""
    counts = [np.zeros(0, np.int64)]
    there = [(e, wanted) for e, wanted in one.view.pieces(one.rows) if e is not None and not _is_lost(one, wanted)]
    for (_, wanted), (found, _) in zip(there, archive.reader.fetch([entry for entry, _ in there]), strict=True):
        counts.append(np.array(found.record.token_counts, np.int64)[[row - found.row0 for row in wanted]])
    return np.concatenate(counts)


def _is_lost(one: Selection, wanted: range) -> bool:
    return any(wanted.start == lost.start for lost in one.lost)


def losses(view: StreamView, damaged: Sequence[range], behind: range) -> list[dict[str, Any]]:
    """Rows [start, stop) that damage, or a cut, has cost a stream, with their seconds where times are kept."""
    try:
        timeline = view.timeline if damaged else None
    except CorruptArchive:  # damage has cost times as well
        timeline = None
    found = []
    for lost in (*sorted(damaged, key=lambda rows: rows.start), *filter(None, [behind])):
        rows = [lost.start, lost[-1] + 1]
        seconds = None
        if timeline is not None and len(timeline) >= rows[1]:
            end = float((timeline.end(rows[1] - 1) - timeline.zero) * timeline.timebase)
            seconds = [timeline.seconds(rows[0]), end]
        found.append({"stream": view.name, "rows": rows, "seconds": seconds})
    return found


def lost_words(loss: dict[str, Any]) -> str:
    start, stop = loss["rows"]
    seconds = "" if loss["seconds"] is None else " ({:.3f} s to {:.3f} s)".format(*loss["seconds"])
    return f"stream {loss['stream']!r}: rows {start} to {stop} lost{seconds}"
