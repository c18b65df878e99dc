"""Where an input is: a local file, an object behind a URL, or a stream, the latter two copied to a scratch file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.remote.errors import read_errors, unreadable
from embdc_cli.remote.filesystem import filesystem, is_url
from embdc_cli.scratch import descriptor_path, discard, disk_errors, scratch_file, scratch_folder
from embdc_cli.source.positioned import PositionedFile

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
        return PositionedFile.open(self.path, self.shown)


def locate(path: str | Path, spool_max: int) -> InputFile:
    """The local file behind `path`; an object behind a URL is copied to scratch, at most `spool_max` bytes.

    Raises SourceError for what is missing, not a regular file, or empty.
    """
    text = os.fspath(path)
    if is_url(text):
        with open_url(text) as stream:
            return spool_stream(stream, text, spool_max)
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


def open_url(url: str) -> BinaryIO:
    """The object at `url` open for reading from its start; SourceError when it is not there or cannot be reached."""
    system, path = filesystem(url)
    try:
        file: BinaryIO = system.open(path, "rb")
    except read_errors() as error:
        raise unreadable(url, error) from error
    return file


def read_url(url: str, size: int) -> bytes:
    """The first `size` bytes of the object at `url`, in one ranged request where the store has them."""
    system, path = filesystem(url)
    try:
        data: bytes = system.cat_file(path, start=0, end=size)
    except read_errors() as error:
        raise unreadable(url, error) from error
    return data[:size]  # a server without ranges sends everything


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
        except read_errors() as error:
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
