"""Where an input is: a local file, an object behind a URL, read in blocks, or a stream, copied to a scratch file."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.remote.blocks import BLOCK_BYTES, Blocks
from embdc_cli.remote.filesystem import is_url
from embdc_cli.remote.object import RemoteObject
from embdc_cli.scratch import descriptor_path, discard, disk_errors, scratch_file, scratch_folder
from embdc_cli.source.positioned import PositionedFile, PositionedObject, Seekable

_PIECE = 1 << 20


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class InputFile:
    """A regular, non-empty local file: `path` opens it, `shown` names it in messages.

    anonymous: `path` leads to a file without a name, which HDF5 will not open by path.
    """

    path: str
    shown: str
    anonymous: bool = False
    close: Callable[[], None] = lambda: None

    def positioned(self) -> PositionedFile:
        """For reading at offsets."""
        return PositionedFile.open(self.path, self.shown)

    def named(self) -> str | BinaryIO:
        """What libraries open: a path, or where there is none of use a file object, which nobody has to close."""
        return self.path

    def local(self, spool_max: int) -> InputFile:
        """The same as a local file, for libraries that take nothing else; closed with this one."""
        del spool_max
        return self


class InputObject(InputFile):
    """An object behind a URL, read where it lies; what was read is kept in a scratch file of `spool_max` bytes."""

    def __init__(self, url: str, spool_max: int) -> None:
        self._resources = ExitStack()
        super().__init__("", url, anonymous=True, close=self._resources.close)
        found = RemoteObject(url, first_bytes=BLOCK_BYTES, copy_max=spool_max)
        try:
            if found.size == 0:
                raise SourceError(f"{url}: empty, 0 bytes")
            self._blocks = Blocks(found, spool_max)
        except BaseException:
            found.close()
            raise
        self._resources.callback(self._blocks.close)

    def positioned(self) -> PositionedFile:
        """See `InputFile.positioned`."""
        return PositionedObject(self._blocks, self.shown)

    def named(self) -> BinaryIO:
        """See `InputFile.named`."""
        return io.BufferedReader(Seekable(self.positioned()), _PIECE)

    def local(self, spool_max: int) -> InputFile:
        """See `InputFile.local`."""
        copied = spool_stream(self.named(), self.shown, spool_max)
        self._resources.callback(copied.close)
        return copied


def locate(path: str | Path, spool_max: int) -> InputFile:
    """What is behind `path`; of an object behind a URL at most `spool_max` bytes are kept at a time.

    Raises SourceError for what is missing, not a regular file, or empty; ResourceError for an object of more bytes
    whose server knows no byte ranges.
    """
    text = os.fspath(path)
    if is_url(text):
        return InputObject(text, spool_max)
    check_regular(text)
    return InputFile(text, text)


def check_regular(path: str) -> None:
    """SourceError unless `path` is a regular file with something in it."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise SourceError(f"{path}: cannot be read, {error}") from error
    if stat.S_ISDIR(found.st_mode):
        raise SourceError(f"{path}: expected a file, found a folder", hint="name the files in it, or use --files-from")
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{path}: expected a regular file, found a pipe or device", hint="use - and redirect stdin")
    if found.st_size == 0:
        raise SourceError(f"{path}: empty file, 0 bytes")


def first_bytes(url: str, size: int) -> bytes:
    """The first `size` bytes of the object at `url`, or all, in one request where the server has byte ranges.

    Raises: SourceError.
    """
    found = RemoteObject(url, first_bytes=size)
    try:
        return found.read_many([(0, min(size, found.size))])[0]
    finally:
        found.close()


def spool_stream(stream: _Readable, shown: str, spool_max: int) -> InputFile:
    """All of `stream` in an anonymous scratch file; ResourceError beyond `spool_max` bytes or on a full disk."""
    file = scratch_file()
    try:
        _copy(stream, file, shown, spool_max)
    except BaseException:
        discard(file)
        raise
    return InputFile(descriptor_path(file), shown, anonymous=True, close=file.close)


def _copy(stream: _Readable, file: BinaryIO, shown: str, spool_max: int) -> None:
    total = 0
    while True:
        try:
            piece = stream.read(_PIECE)
        except OSError as error:
            raise SourceError(f"{shown}: cannot be read after {total} bytes, {error}") from error
        if not piece:
            break
        total += len(piece)
        if total > spool_max:
            raise ResourceError(
                f"{shown}: more than {spool_max} bytes to spool", hint="raise --spool-max, or give a local file"
            )
        with disk_errors(scratch_folder()):
            file.write(piece)
    with disk_errors(scratch_folder()):
        file.flush()
    if total == 0:
        raise SourceError(f"{shown}: empty, 0 bytes")
