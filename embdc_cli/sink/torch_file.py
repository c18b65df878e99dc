"""Output for torch.load: the tensor, a list of tensors where it is ragged, or a dict of these for several streams.

torch.save wants every tensor at once, so rows wait in scratch files which are then mapped, not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, BinaryIO, cast

import numpy as np
import torch

from embdc_cli.dump_formats import SINGLE
from embdc_cli.errors import ResourceError
from embdc_cli.scratch import descriptor_path, disk_errors, scratch_folder
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sink import ByteOutput, Sink, row_bytes


class TorchSink(Sink):
    """One stream called `data` is saved bare, anything else as a dict of name -> tensor."""

    def __init__(self, out: ByteOutput, streams: Sequence[OutputStream], resources: ExitStack) -> None:
        super().__init__(streams, resources)
        self._out = out
        self._files: dict[str, BinaryIO] = {}

    def write(self, name: str, row0: int, rows: np.ndarray) -> None:
        """See `Sink.write`; here streams may come in any order."""
        self._progress[name].advance(row0, rows)
        if name not in self._files:
            self._files[name] = self._scratch()
        with disk_errors(scratch_folder()):
            self._files[name].write(row_bytes(rows))

    def _finish(self) -> None:
        values = {name: self._value(progress.stream) for name, progress in self._progress.items()}
        # a file object, because torch names the folder inside its zip file after the file at a path
        out = _Witness(self._out)
        try:
            torch.save(values[SINGLE] if list(values) == [SINGLE] else values, cast(IO[bytes], out))
        except RuntimeError as error:
            if out.failure is None:
                raise
            raise out.failure from error
        self._out.flush()

    def _value(self, stream: OutputStream) -> torch.Tensor | list[torch.Tensor]:
        tensor = self._mapped(stream) if stream.size else torch.empty(stream.shape, dtype=_dtype(stream))
        if stream.counts is not None:
            return list(torch.split(tensor, stream.counts.tolist()))
        return tensor

    def _mapped(self, stream: OutputStream) -> torch.Tensor:
        """The stream's rows as a tensor over its scratch file."""
        file = self._files[stream.name]
        with disk_errors(scratch_folder()):
            file.flush()
        path, count = descriptor_path(file), math.prod(stream.shape)
        return torch.from_file(path, shared=False, size=count, dtype=_dtype(stream)).reshape(stream.shape)


class _Witness:
    """An output that remembers why it failed: torch goes on to complain about positions, and that hides the reason."""

    def __init__(self, out: ByteOutput) -> None:
        self._out = out
        self.failure: OSError | ResourceError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._out.write(data)
        except (OSError, ResourceError) as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        self._out.flush()


def _dtype(stream: OutputStream) -> torch.dtype:
    found = getattr(torch, stream.spec.dtype)
    assert isinstance(found, torch.dtype)
    return found
