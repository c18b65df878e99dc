"""HDF5 files: every numeric dataset under its full path, read by rows.

Links out of the file, external storage and virtual datasets are refused: they would read other files of the machine.
h5py is imported here and in sink/h5.py only, and only when a function is called.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import numpy as np

from embdc_cli.errors import SourceError
from embdc_cli.source.candidate import Candidate, Contents, Reader
from embdc_cli.source.elements import dtype_name, in_storage_order
from embdc_cli.source.location import InputFile

if TYPE_CHECKING:
    import h5py

_MOST_ROW_BYTES: Final = 1 << 28
_MOST_RATIO: Final = 1100  # deflate makes at most 1032 bytes of one
H5_ERRORS: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises for damage, depending on the layer that meets it."""
_MAX_OPEN = 4
_CACHE_BYTES = 128 << 20
_CACHE_SLOTS = 10_007


def h5_contents(source: InputFile) -> Contents:
    """The datasets of an HDF5 file by full path without the leading slash; SourceError when it is damaged."""
    import h5py

    with ExitStack() as stack:
        named = source.named()
        if source.anonymous and isinstance(named, str):
            named = stack.enter_context(open(named, "rb"))
        try:
            file = stack.enter_context(h5py.File(named, "r", locking=None if source.anonymous else False))
        except H5_ERRORS as error:
            raise SourceError(f"{source.shown}: truncated or damaged HDF5 file, {error}") from error
        contents = _Walk(file, source.shown).contents
        contents.close = stack.pop_all().close
        return contents


class _Walk:
    """Visits every link once, without recursion and without following a link out of the file."""

    def __init__(self, file: h5py.File, shown: str) -> None:
        self.contents = Contents([])
        self._shown = shown
        self._open = _OpenDatasets(file)
        try:
            self._visit(file)
        except H5_ERRORS as error:
            raise SourceError(f"{shown}: damaged HDF5 file, {error}") from error

    def _visit(self, file: h5py.File) -> None:
        import h5py

        seen = {h5py.h5o.get_info(file.id).addr}  # groups may be their own descendants
        pending = _links("", file)
        while pending:
            path, group, name = pending.pop()
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                self._refuse(path, f"links to {link.path} in another file, {link.filename}")
            elif isinstance(link, h5py.SoftLink):
                self.contents.skipped.append(f"{path} (a link to {link.path})")
            elif isinstance(child := group[name], h5py.Dataset):
                self._dataset(path, child)
            elif isinstance(child, h5py.Group):
                address = h5py.h5o.get_info(child.id).addr
                if address not in seen:
                    seen.add(address)
                    pending += _links(path + "/", child)

    def _refuse(self, path: str, reason: str) -> None:
        hint = "copy the data into one file: h5repack, or h5py reading and writing it"
        self.contents.refused[path] = SourceError(f"{self._shown}: {path} {reason}, which is not followed", hint=hint)

    def _dataset(self, path: str, dataset: h5py.Dataset) -> None:
        if dataset.is_virtual:
            self._refuse(path, "is a virtual dataset over other files")
        elif dataset.external:
            self._refuse(path, f"has its values in another file, {dataset.external[0][0]}")
        elif dataset.shape is None:
            self.contents.skipped.append(f"{path} (no values)")
        else:
            name = "array" if dataset.dtype.subdtype else dtype_name(dataset.dtype)
            shape = tuple(int(size) for size in dataset.shape)
            self.contents.candidates.append(Candidate(path, name, shape, lambda: self._reader(path)))

    def _reader(self, path: str) -> Reader:
        where = f"{self._shown}: {path}"
        try:
            with self._open.lock:
                dataset = self._open.get(path)
                _check_filters(where, dataset)
                _check_row(where, dataset)
                unwritten = _unwritten(dataset)
        except H5_ERRORS as error:
            raise SourceError(f"{where}: damaged, {error}") from error
        if unwritten:
            self.contents.warnings.append(f"{where}: {unwritten} and read as fill values")
        return _H5Rows(self._open, path, where)


def _links(prefix: str, group: h5py.Group) -> list[tuple[str, h5py.Group, str]]:
    """Path, group and name of the links in `group`, the first one last."""
    return [(f"{prefix}{name}", group, str(name)) for name in reversed(list(group))]


class _OpenDatasets:
    """The few datasets that were read last: an open one holds a chunk cache, and a file may have 100 000 of them."""

    def __init__(self, file: h5py.File) -> None:
        self.lock = threading.Lock()
        self._file = file
        self._open: OrderedDict[str, h5py.Dataset] = OrderedDict()

    def get(self, path: str) -> h5py.Dataset:
        """The dataset at `path`; the caller holds the lock."""
        if path not in self._open:
            if len(self._open) >= _MAX_OPEN:
                self._open.popitem(last=False)
            self._open[path] = _with_cache(self._file[path])
        self._open.move_to_end(path)
        return self._open[path]


class _H5Rows:
    """Rows of one dataset; the lock keeps one thread at a time inside the HDF5 library."""

    def __init__(self, datasets: _OpenDatasets, path: str, where: str) -> None:
        self._datasets = datasets
        self._path = path
        self._where = where

    def __call__(self, start: int, stop: int) -> np.ndarray:
        try:
            with self._datasets.lock:
                dataset = self._datasets.get(self._path)
                out = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
                if dataset.shape == ():
                    out[...] = dataset[()]
                elif out.size:
                    dataset.read_direct(out, np.s_[start:stop])
        except H5_ERRORS as error:
            raise SourceError(f"{self._where}: damaged at rows {start} to {stop}, {error}") from error
        return in_storage_order(out)


def _check_filters(where: str, dataset: h5py.Dataset) -> None:
    import h5py

    plist = dataset.id.get_create_plist()
    for index in range(plist.get_nfilters()):
        number, _, _, words = plist.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            label = words.decode("utf-8", "replace") or "unnamed"
            raise SourceError(
                f"{where}: compressed with HDF5 filter {number} ({label}), which is not installed",
                hint="rewrite the file with gzip, for example h5repack -f GZIP=1 IN OUT",
            )


def _check_row(where: str, dataset: h5py.Dataset) -> None:
    """Refuse rows that take far more memory than any filter makes of what is stored."""
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    if row > max(_MOST_ROW_BYTES, _MOST_RATIO * dataset.id.get_storage_size()):
        raise SourceError(f"{where}: declares rows of {row} bytes, {dataset.id.get_storage_size()} are stored")


def _unwritten(dataset: h5py.Dataset) -> str:
    """Words when values were declared but never written, as a job leaves them that died; else nothing."""
    if dataset.chunks is None:
        return "was never written" if dataset.size and not dataset.id.get_storage_size() else ""
    wanted = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    found = dataset.id.get_num_chunks()
    return f"{wanted - found} of {wanted} chunks were never written" if found < wanted else ""


def _with_cache(dataset: h5py.Dataset) -> h5py.Dataset:
    """`dataset` with a cache for one row of chunks, or each of them would be inflated once for every read."""
    import h5py

    if dataset.chunks is None:
        return dataset
    across = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
    wanted = across * math.prod(dataset.chunks) * dataset.dtype.itemsize
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(_CACHE_SLOTS, min(wanted, _CACHE_BYTES), 1.0)
    return h5py.Dataset(h5py.h5d.open(dataset.file.id, dataset.name.encode(), access))
