"""What archives hold, as far as it decides which clips there are: rows, chunks and times, from the end of each file.

manifest = Manifest.of(paths)      # a read of each archive, several at once
manifest.save("clips.json")        # and none the next time
Clips(Manifest.load("clips.json"), rows=16)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import Any, Final

import numpy as np

from embdc_cli.archive import Archive
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.output import atomic_output
from embdc_cli.parallel import ordered_map
from embdc_cli.remote.filesystem import is_url

Path = str | PathLike[str]

JOBS: Final = 16
"""Archives that are looked into at once: waiting for a disk or a server takes no core."""

_VERSION: Final = 2


@dataclass(frozen=True)
class StreamRows:
    """The rows of one stream, and how they lie in chunks.

    name: in the archive. label: in its item. item: whose clock it goes by, mostly its own. chunks: (C, 3) int64, first
    row, row after the last, and tick at which the first row starts. timebase: seconds of a tick, None where no times
    are kept; then ticks mean nothing. zero: the tick, or part of one, from which users count seconds, as that of a
    `Timeline`. last: tick at which the last row ends. beside: whether it goes by the clock of another item.
    ragged: token counts differ from row to row.
    """

    name: str
    label: str
    item: int
    rows: int
    chunks: np.ndarray
    timebase: Fraction | None = None
    zero: Fraction = Fraction(0)
    last: int = 0
    beside: bool = False
    ragged: bool = False


@dataclass(frozen=True)
class ArchiveRows:
    """One archive: its size, by which a change is noticed, and its streams that have rows."""

    path: str
    file_bytes: int
    streams: tuple[StreamRows, ...]


class Manifest(Sequence[ArchiveRows]):
    """Archives in order. Plain values: it can be pickled, and `save` writes it as JSON."""

    def __init__(self, archives: Sequence[ArchiveRows]) -> None:
        self._archives = tuple(archives)

    @classmethod
    def of(cls, archives: Sequence[Path] | Manifest, *, jobs: int = JOBS) -> Manifest:
        """The manifest of archives by path or URL: each is opened, which is one read as a rule, and closed again.

        Raises: what `embdc.open` raises.
        """
        if isinstance(archives, Manifest):
            return archives
        if isinstance(archives, str | PathLike):
            raise UsageError(f"archives: expected a list of paths, found {os.fspath(archives)!r}")
        return cls(list(ordered_map(_looked_into, [os.fspath(path) for path in archives], jobs)))

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """The manifest that `save` wrote. Raises: SourceError."""
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if found["version"] != _VERSION:
                raise SourceError(f"{os.fspath(path)}: manifest of version {found['version']}, expected {_VERSION}")
            return cls([_archive_of(one) for one in found["archives"]])
        except OSError as error:
            raise SourceError(f"{os.fspath(path)}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise SourceError(f"{os.fspath(path)}: expected a manifest, found something else") from error

    def save(self, path: Path) -> None:
        """Write it to a local file, which appears whole or not at all. Raises: UsageError for a URL or a folder
        that is not there, ResourceError for a full disk or a forbidden place.
        """
        if is_url(path):
            raise UsageError(f"manifest: expected a local file, found {os.fspath(path)}")
        document = {"version": _VERSION, "archives": [_plain(one) for one in self]}
        with atomic_output(os.fspath(path), force=True) as out:
            out.write(json.dumps(document, separators=(",", ":")).encode())

    def __len__(self) -> int:
        return len(self._archives)

    def __getitem__(self, index: Any) -> Any:
        return self._archives[index]

    def __iter__(self) -> Iterator[ArchiveRows]:
        return iter(self._archives)


def _looked_into(path: str) -> ArchiveRows:
    with Archive(path) as archive:
        streams = [_stream_rows(archive, name) for name in archive if archive[name].spec.timed]
        return ArchiveRows(path, archive.reader.file_bytes, tuple(streams))


def _stream_rows(archive: Archive, name: str) -> StreamRows:
    view = archive[name]
    entries = view.stream.entries
    timebase, zero, last = None, Fraction(0), 0
    if view.stream.header.timed and view.item.header.timebase is not None:
        timebase, zero = Fraction(*view.item.header.timebase), archive.reader.zero(view.item)
        last = int(entries.pts1[-1]) if len(entries) else 0
    clock, beside = view.item.clock, view.item.clock != view.item.number
    chunks = np.stack([entries.starts, entries.stops, entries.pts0], axis=1).astype(np.int64)
    return StreamRows(
        name, view.spec.name, clock, len(view), chunks, timebase, zero, last, beside, ragged=view.spec.ragged
    )


def _plain(archive: ArchiveRows) -> dict[str, Any]:
    streams = []
    for one in archive.streams:
        timebase = None if one.timebase is None else one.timebase.as_integer_ratio()
        fractions = {"timebase": timebase, "zero": one.zero.as_integer_ratio()}
        streams.append({**vars(one), **fractions, "chunks": one.chunks.tolist()})
    return {"path": archive.path, "file_bytes": archive.file_bytes, "streams": streams}


def _archive_of(plain: dict[str, Any]) -> ArchiveRows:
    streams = []
    for one in plain["streams"]:
        timebase = None if one["timebase"] is None else Fraction(*one["timebase"])
        chunks = np.array(one["chunks"], np.int64).reshape(-1, 3)
        zero = Fraction(*one["zero"])
        streams.append(StreamRows(**{**one, "chunks": chunks, "timebase": timebase, "zero": zero}))
    return ArchiveRows(plain["path"], plain["file_bytes"], tuple(streams))
