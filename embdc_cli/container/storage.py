"""Byte ranges of an archive, wherever it lies: a local file, an fsspec URL, or an open file object.

All reads name their range, so one storage serves threads and forked processes. Requests and bytes are counted.
"""

from __future__ import annotations

import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from embdc_cli.container.readahead import Range, ReadAhead
from embdc_cli.errors import SourceError
from embdc_cli.remote.errors import read_errors, unreadable
from embdc_cli.remote.filesystem import is_url
from embdc_cli.remote.object import RemoteObject
from embdc_cli.traffic import Traffic


class Storage(ABC):
    """Readable bytes of known size. traffic: what was read so far.

    gap_bytes: what is read in vain rather than asked for apart.
    """

    gap_bytes = 256  # a pTS_ chunk of constant rate between two chunks costs less than another read

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.traffic = Traffic()

    @property
    def reads(self) -> int:
        """Byte ranges asked for; those of one call travel together."""
        return self.traffic.requests

    @property
    def round_trips(self) -> int:
        """Calls that asked for them."""
        return self.traffic.round_trips

    @property
    def bytes_read(self) -> int:
        """Bytes received."""
        return self.traffic.bytes

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), less where the file ends."""
        return self.read_many([(start, stop)])[0]

    def read_many(self, ranges: Sequence[Range]) -> list[bytes]:
        """Several ranges in one round trip. Raises: SourceError when they cannot be read."""
        wanted = [(min(start, self.size), min(stop, self.size)) for start, stop in ranges]
        try:
            return self._fetch(wanted)
        except read_errors() as error:
            raise unreadable(self.name, error) from error

    @contextmanager
    def ahead(self, ranges: Iterable[Range]) -> Iterator[None]:
        """Inside the block `ranges` are going to be read, about in file order: where that takes time, in advance."""
        del ranges
        yield

    @property
    def held_bytes(self) -> int:
        """Memory of the bytes that opening brought beforehand; none, for most."""
        return 0

    def forget(self) -> None:
        """Let go of them."""
        return

    def close(self) -> None:
        """Release what was opened here; nothing, for most."""
        return

    @abstractmethod
    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of `ranges`, all within the file, counted; less only where the file has become shorter."""

    def _counted(self, found: list[bytes]) -> list[bytes]:
        self.traffic.trip(sum(map(bool, found)), sum(map(len, found)))
        return found


_NO_FILES: Final = {
    stat.S_IFDIR: ("a folder", None),
    stat.S_IFIFO: ("a pipe", "save it first; `embdc decode -` reads standard input"),
}


class LocalFile(Storage):
    """A file in the file system."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        flags = ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK")  # the last, as a pipe is opened when somebody writes to it
        try:
            self._descriptor = os.open(path, sum(getattr(os, name, 0) for name in flags) | os.O_RDONLY)
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise SourceError(f"{os.fspath(path)}: {error.strerror}") from error
        super().__init__(os.fspath(path), status.st_size)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            kind, hint = _NO_FILES.get(stat.S_IFMT(status.st_mode), ("a device", None))
            raise SourceError(f"{self.name}: expected a file, found {kind}", hint=hint)

    def refresh(self) -> bool:
        """Take the size that the file has now; False when no name leads to it any more."""
        found = os.fstat(self._descriptor)
        self.size = found.st_size
        return found.st_nlink > 0

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        return self._counted([self._read_range(start, stop) for start, stop in ranges])

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
        return self._counted([self._read_range(start, stop) for start, stop in ranges])

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
    """A file behind any fsspec URL. The first request brings its end, from which archives are opened, and its size."""

    gap_bytes = 1 << 16
    end_bytes = 1 << 18  # the end matter of 1,000 items is 205 kB; more bytes cost less than another round trip

    def __init__(self, url: str, **options: Any) -> None:
        self._object = RemoteObject(url, last_bytes=self.end_bytes, **options)
        super().__init__(url, self._object.size)
        self.traffic = self._object.traffic
        self._ahead: tuple[ReadAhead, ...] = ()
        self._lock = threading.Lock()

    @contextmanager
    def ahead(self, ranges: Iterable[Range]) -> Iterator[None]:
        """See `Storage.ahead`."""
        reader = ReadAhead(self._object.read_many, ranges, self.gap_bytes)
        with self._lock:
            self._ahead = (*self._ahead, reader)
        try:
            yield
        finally:
            with self._lock:
                self._ahead = tuple(one for one in self._ahead if one is not reader)

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        found = [self._fetched_ahead(one) for one in ranges]
        left = iter(self._object.read_many([one for one, data in zip(ranges, found, strict=True) if data is None]))
        return [next(left) if data is None else data for data in found]

    def _fetched_ahead(self, wanted: Range) -> bytes | None:
        for reader in self._ahead:
            if (data := reader.find(wanted)) is not None:
                return data
        return None

    @property
    def held_bytes(self) -> int:
        return self._object.held_bytes

    def forget(self) -> None:
        self._object.forget()

    def close(self) -> None:
        self._object.close()


def open_storage(source: str | os.PathLike[str] | BinaryIO, **options: Any) -> Storage:
    """Storage for a path, an fsspec URL (`options` go to its file system), or a seekable binary file object.

    Raises: SourceError when it is not there or cannot be read.
    """
    if isinstance(source, str) and is_url(source):
        return RemoteFile(source, **options)
    if isinstance(source, str | Path | os.PathLike):
        return LocalFile(source)
    return FileObject(source)
