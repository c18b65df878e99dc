"""npz output: a zip file of stored npy members with the date 1980-01-01, so that equal arrays give equal bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, cast

from embdc_cli.errors import UsageError
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.npy import npy_header
from embdc_cli.sink.sequential import SequentialSink
from embdc_cli.sink.sink import ByteOutput

_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_ZIP64_BYTES = 1 << 31  # sizes follow the data, and their width must be known before it


class NpzSink(SequentialSink):
    """Every stream as a member NAME.npy."""

    def __init__(self, out: ByteOutput, streams: Sequence[OutputStream], resources: ExitStack) -> None:
        super().__init__(out, streams, resources)
        for stream in streams:
            if any(part in ("", ".", "..") for part in stream.name.split("/")) or "\0" in stream.name:
                raise UsageError(
                    f"output: {stream.name!r} cannot be the name of a zip member", hint="write .safetensors instead"
                )
        # an object that cannot seek makes zipfile put the CRC after the data, in a file as in a pipe
        self._raw = _Unseekable(out)
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._raw), "w", zipfile.ZIP_STORED)
        self._member: IO[bytes] | None = None

    def begin(self, stream: OutputStream) -> None:
        header = npy_header(stream)
        info = zipfile.ZipInfo(stream.name + ".npy", _DATE)
        info.create_system = _UNIX
        info.external_attr = 0o644 << 16
        large = len(header) + stream.size >= _ZIP64_BYTES
        self._member = self._zip.open(info, "w", force_zip64=large)
        self._member.write(header)

    def values(self, data: memoryview) -> None:
        assert self._member is not None
        self._member.write(data)

    def end(self, stream: OutputStream) -> None:
        assert self._member is not None
        self._member.close()

    def end_output(self) -> None:
        self._zip.close()

    def discard(self) -> None:
        """See `Sink.discard`; zipfile insists on ending what it began."""
        self._raw.mute = True
        if self._member is not None:
            self._member.close()
        self._zip.close()
        super().discard()


class _Unseekable(io.RawIOBase):
    """What zipfile needs of an output, and no more."""

    def __init__(self, out: ByteOutput) -> None:
        self._out = out
        self.mute = False

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(cast(bytes, data))
        return view.nbytes if self.mute else self._out.write(view)
