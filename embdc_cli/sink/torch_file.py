"""Output for torch.load: the tensor, a list of tensors where it is ragged, or a dict of these for several streams.

torch.save wants every tensor at once, so rows wait in scratch files which are then mapped, not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
import torch

from embdc_cli.dump_formats import SINGLE
from embdc_cli.scratch import descriptor_path, disk_errors, scratch_file, scratch_folder
from embdc_cli.sink.layout import OutputStream, Progress
from embdc_cli.sink.sink import ByteOutput, row_bytes


class TorchSink:
    """One stream called `data` is saved bare, anything else as a dict of name -> tensor."""

    def __init__(self, out: ByteOutput, streams: Sequence[OutputStream]) -> None:
        self.warnings: list[str] = []
        self._out = out
        self._stack = ExitStack()
        self._progress = {stream.name: Progress(stream) for stream in streams}
        self._files: dict[str, BinaryIO] = {}

    def write(self, name: str, row0: int, rows: np.ndarray) -> None:
        """See `Sink.write`; here streams may come in any order."""
        self._progress[name].advance(row0, rows)
        if name not in self._files:
            self._files[name] = self._stack.enter_context(scratch_file())
        with disk_errors(scratch_folder()):
            self._files[name].write(row_bytes(rows))

    def close(self) -> None:
        """See `Sink.close`."""
        for progress in self._progress.values():
            progress.check_complete()
        values = {name: self._value(progress.stream) for name, progress in self._progress.items()}
        # a file object, because torch names the folder inside its zip file after the file at a path
        torch.save(values[SINGLE] if list(values) == [SINGLE] else values, self._out)
        self._out.flush()
        del values
        self._stack.close()

    def discard(self) -> None:
        """See `Sink.discard`."""
        self._stack.close()

    def _value(self, stream: OutputStream) -> torch.Tensor | list[torch.Tensor]:
        dtype: torch.dtype = getattr(torch, stream.spec.dtype)
        tensor = torch.empty(stream.shape, dtype=dtype)
        if stream.size:
            file = self._files[stream.name]
            with disk_errors(scratch_folder()):
                file.flush()
            count = tensor.numel()
            tensor = torch.from_file(descriptor_path(file), shared=False, size=count, dtype=dtype).reshape(stream.shape)
        if stream.counts is not None:
            return list(torch.split(tensor, stream.counts.tolist()))
        return tensor
