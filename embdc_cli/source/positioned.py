"""Reading a file or an object at given offsets, from any thread, without a mapping whose RSS grows."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

from embdc_cli.errors import SourceError
from embdc_cli.remote.blocks import Blocks


class PositionedFile:
    """An open file read with pread: no shared position, so no lock."""

    def __init__(self, file: BinaryIO, shown: str) -> None:
        self._file = file
        self._descriptor = file.fileno()
        self.shown = shown

    @classmethod
    def open(cls, path: str, shown: str | None = None) -> PositionedFile:
        """The file at `path`, called `shown` in messages; SourceError when it cannot be opened."""
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise SourceError(f"{shown or path}: cannot be read, {error.strerror}") from error
        return cls(file, shown or path)

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._descriptor).st_size

    def read_some(self, offset: int, buffer: memoryview) -> int:
        """Fill the byte `buffer` from `offset`, or its start; how many bytes, 0 behind the end."""
        return os.preadv(self._descriptor, [buffer], offset)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the byte `buffer` from `offset`; SourceError when the file ends before that."""
        done, wanted = 0, len(buffer)
        self._check_inside(offset, 0)
        while done < wanted:
            got = self.read_some(offset + done, buffer[done:])
            if not got:
                raise SourceError(
                    f"{self.shown}: truncated, expected {wanted} bytes at offset {offset}, found {done}",
                    hint="the file is incomplete, or changed while it was read",
                )
            done += got

    def read_exactly(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`; SourceError when the file ends before that."""
        self._check_inside(offset, size)  # before memory is taken for what a damaged file declares
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_up_to(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`, or what there is before the end of the file."""
        return self.read_exactly(offset, min(size, max(0, self.size - offset)))

    def _check_inside(self, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self.size:
            raise SourceError(f"{self.shown}: truncated or damaged, expected {size} bytes at offset {offset}")

    def close(self) -> None:
        self._file.close()


class PositionedObject(PositionedFile):
    """The same of an object behind a URL; who made its blocks closes them."""

    def __init__(self, blocks: Blocks, shown: str) -> None:
        self._blocks = blocks
        self.shown = shown

    @property
    def size(self) -> int:
        """Bytes in the object."""
        return self._blocks.size

    def read_some(self, offset: int, buffer: memoryview) -> int:
        """See `PositionedFile.read_some`."""
        return self._blocks.read_into(offset, buffer) if offset < self.size and len(buffer) else 0

    def close(self) -> None:
        """Nothing: others may read the blocks."""


class Seekable(io.RawIOBase):
    """A positioned file as libraries read files: with a position of its own."""

    def __init__(self, file: PositionedFile) -> None:
        super().__init__()
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        done = self._file.read_some(self._at, memoryview(buffer).cast("B"))
        self._at += done
        return done
