"""A byte stream that can be read once: looked at ahead, read exactly, and digested on the way."""

from __future__ import annotations

from typing import BinaryIO

from embdc_cli.errors import SourceError
from embdc_cli.source.digest import EndsDigest

_PIECE = 1 << 20


class Pipe:
    """Wraps a binary stream, whose reads may be as short as one byte."""

    def __init__(self, stream: BinaryIO, shown: str = "stdin") -> None:
        self._stream = stream
        self._ahead = b""
        self._ends = EndsDigest()
        self.shown = shown

    def head(self, size: int = 1 << 16) -> bytes:
        """The next `size` bytes (fewer at the end of the stream), which stay unread."""
        if len(self._ahead) < size:
            self._ahead += self._pull(size - len(self._ahead))
        return self._ahead[:size]

    def read_up_to(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the stream."""
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        if len(data) < size:
            data += self._pull(size - len(data))
        self._ends.update(data)
        return data

    def read(self, size: int = -1) -> bytes:
        """As a file: `size` bytes, or with -1 everything that is left."""
        if size >= 0:
            return self.read_up_to(size)
        pieces = iter(lambda: self.read_up_to(_PIECE), b"")
        return b"".join(pieces)

    def drain(self) -> int:
        """Read the stream to its end and forget it; returns the number of bytes."""
        return sum(len(piece) for piece in iter(lambda: self.read_up_to(_PIECE), b""))

    def facts(self) -> dict[str, object]:
        """Size and ends digest of all that was read, as `Dump.source` has them."""
        return {"size_bytes": self._ends.size, "ends_digest": self._ends.hexdigest()}

    def _pull(self, size: int) -> bytes:
        pieces = []
        while size:
            try:
                piece = self._stream.read(min(size, _PIECE))
            except OSError as error:
                raise SourceError(f"{self.shown}: cannot be read, {error.strerror or error}") from error
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)
