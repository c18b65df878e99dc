"""Byte ranges of an archive, wherever it lies: a local file, an fsspec URL, or an open file object.

All reads name their range, so one storage serves threads and forked processes. Reads and bytes are counted.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from embdc_cli.errors import SourceError
from embdc_cli.remote import read_errors, unreadable

Range = tuple[int, int]


class Storage(ABC):
    """Readable bytes of known size.

    reads: ranges asked for; round_trips: calls that asked for them, ranges of one call travel together;
    bytes_read: bytes received.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.reads = 0
        self.round_trips = 0
        self.bytes_read = 0

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), less where the file ends."""
        return self.read_many([(start, stop)])[0]

    def read_many(self, ranges: Sequence[Range]) -> list[bytes]:
        """Several ranges in one round trip. Raises: SourceError when they cannot be read."""
        wanted = [(min(start, self.size), min(stop, self.size)) for start, stop in ranges]
        try:
            found = self._fetch(wanted)
        except read_errors() as error:
            raise unreadable(self.name, error) from error
        self.round_trips += 1
        self.reads += len(wanted)
        self.bytes_read += sum(map(len, found))
        return found

    def close(self) -> None:
        """Release what was opened here; nothing, for most."""
        return

    @abstractmethod
    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of `ranges`, all within the file; less only where the file has become shorter."""


class LocalFile(Storage):
    """A file in the file system."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
            size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise SourceError(f"{os.fspath(path)}: {error.strerror}") from error
        super().__init__(os.fspath(path), size)
        if os.path.isdir(path):
            self.close()
            raise SourceError(f"{self.name}: expected a file, found a folder")

    def refresh(self) -> bool:
        """Take the size that the file has now; False when no name leads to it any more."""
        found = os.fstat(self._descriptor)
        self.size = found.st_size
        return found.st_nlink > 0

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self._read_range(start, stop) for start, stop in ranges]

    def _read_range(self, start: int, stop: int) -> bytes:
        # pread has no shared position, so threads and forked processes cannot disturb each other
        pieces = []
        while start < stop and (piece := os.pread(self._descriptor, stop - start, start)):
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FileObject(Storage):
    """A seekable binary file object of the caller, who also closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        try:
            size = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise SourceError("archive: expected a seekable file object", hint="copy it to a file first") from error
        super().__init__(str(getattr(file, "name", "archive")), size)

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self._read_range(start, stop) for start, stop in ranges]

    def _read_range(self, start: int, stop: int) -> bytes:
        pieces = []
        with self._lock:
            self._file.seek(start)
            # read() of a raw file object may give less than it is asked for
            while start < stop and (piece := self._file.read(stop - start)):
                pieces.append(piece)
                start += len(piece)
        return b"".join(pieces)


class RemoteFile(Storage):
    """A file behind any fsspec URL."""

    def __init__(self, url: str, **options: Any) -> None:
        self._url = url
        self._options = options
        self._connect()
        try:
            size = self._system.info(self._path).get("size")
        except read_errors() as error:
            raise unreadable(url, error) from error
        if size is None:
            raise SourceError(f"{url}: the server does not tell its size", hint="download it first")
        super().__init__(url, int(size))

    def _connect(self) -> None:
        try:
            import fsspec  # here, because local files do not need it
        except ImportError as error:
            raise SourceError(f"{self._url}: reading URLs needs fsspec", hint="pip install fsspec") from error
        try:
            self._system, self._path = fsspec.core.url_to_fs(self._url, **self._options)
        except (ImportError, ValueError) as error:  # a protocol without its package, or without an implementation
            raise SourceError(f"{self._url}: {error}") from error
        self._process = os.getpid()

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        if self._process != os.getpid():
            self._connect()  # connections and event loops do not survive a fork
        wanted = [(start, stop) for start, stop in ranges if start < stop]
        if len(wanted) == 1:
            found = [self._system.cat_file(self._path, start=wanted[0][0], end=wanted[0][1])]
        elif wanted:
            starts, stops = zip(*wanted, strict=True)
            found = self._system.cat_ranges([self._path] * len(wanted), list(starts), list(stops), on_error="raise")
        else:
            found = []
        received = iter(found)
        return [self._within(next(received), start, stop) if start < stop else b"" for start, stop in ranges]

    def _within(self, data: bytes, start: int, stop: int) -> bytes:
        # a server without range requests answers with the whole file
        if len(data) == self.size and stop - start < self.size:
            return data[start:stop]
        if len(data) > stop - start:
            raise SourceError(
                f"{self.name}: asked for {stop - start} bytes, found {len(data)}", hint="download it first"
            )
        return data


def open_storage(source: str | os.PathLike[str] | BinaryIO, **options: Any) -> Storage:
    """Storage for a path, an fsspec URL (`options` go to its file system), or a seekable binary file object.

    Raises: SourceError when it is not there or cannot be read.
    """
    if isinstance(source, str) and "://" in source:
        return RemoteFile(source, **options)
    if isinstance(source, str | Path | os.PathLike):
        return LocalFile(source)
    return FileObject(source)
