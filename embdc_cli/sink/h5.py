"""HDF5 output: a contiguous dataset per stream, slashes in names make groups, and no times in the file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import BinaryIO

import h5py
import numpy as np

from embdc_cli.dtypes import storage
from embdc_cli.dump_formats import BFLOAT16_VOID
from embdc_cli.errors import UsageError
from embdc_cli.scratch import disk_errors
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sink import ByteOutput, Sink

_PIECE = 1 << 20


class H5Sink(Sink):
    """Every stream as a dataset; written in place where `out` can seek, else by way of a scratch file."""

    def __init__(self, out: BinaryIO, shown: str, streams: Sequence[OutputStream], resources: ExitStack) -> None:
        _check_paths(streams)
        super().__init__(streams, resources)
        self._shown = shown
        self._out = out
        in_place = out.seekable() and out.readable() and out.tell() == 0
        self._copied = None if in_place else self._scratch()
        with disk_errors(shown):
            self._file = h5py.File(self._copied or out, "w", track_order=True)
            resources.callback(_close_quietly, self._file)
            for stream in streams:
                dataset = _create(self._file, stream)
                if stream.known is not None:
                    self._write(stream.name, dataset, 0, stream.known)

    def write(self, name: str, row0: int, rows: np.ndarray) -> None:
        """See `Sink.write`; here streams may come in any order."""
        self._write(name, self._file[name], row0, rows)

    def _finish(self) -> None:
        with disk_errors(self._shown):
            self._file.close()
            if self._copied is not None:
                self._copied.seek(0)
                output = ByteOutput(self._out, self._shown)
                while piece := self._copied.read(_PIECE):
                    output.write(piece)
            self._out.flush()

    def _write(self, name: str, dataset: h5py.Dataset, row0: int, rows: np.ndarray) -> None:
        progress = self._progress[name]
        start = progress.elements
        progress.advance(row0, rows)
        if not rows.size:
            return
        values = np.ascontiguousarray(rows)
        if dataset.dtype.kind == "V":
            values = values.view(dataset.dtype)
        with disk_errors(self._shown):
            if progress.stream.spec.timed:
                dataset[start : progress.elements] = values
            else:
                dataset[...] = values.reshape(dataset.shape)


def _create(file: h5py.File, stream: OutputStream) -> h5py.Dataset:
    group = file
    *folders, name = stream.name.split("/")
    for folder in folders:
        group = group[folder] if folder in group else group.create_group(folder, track_order=True)
    dtype = np.dtype(BFLOAT16_VOID) if stream.spec.dtype == "bfloat16" else storage(stream.spec.dtype)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # the place in the file must not depend on who is written first
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    # create_dataset() drops the property list of scalars
    space = h5py.h5s.create_simple(stream.shape) if stream.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, plist))


def _close_quietly(file: h5py.File) -> None:
    """Close `file`; after a full disk, h5py fails to write the rest once more."""
    with suppress(OSError, RuntimeError):
        file.close()


def _check_paths(streams: Sequence[OutputStream]) -> None:
    """UsageError for names that are no paths, and for one that is a dataset and a group at once."""
    names = {stream.name for stream in streams}
    for name in sorted(names):
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in name:
            raise UsageError(f"output: {name!r} cannot be an HDF5 path", hint="write .safetensors instead")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in names:
                raise UsageError(
                    f"output: {'/'.join(parts[:depth])!r} would be an HDF5 dataset and the group of {name!r}",
                    hint="write .safetensors instead",
                )
