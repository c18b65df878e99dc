"""A dump that arrives on a pipe as rows in order: npy in C order, and raw numbers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from embdc_cli.dump_formats import SINGLE
from embdc_cli.options import EncodeOptions
from embdc_cli.source.axes import Shape
from embdc_cli.source.candidate import Candidate, Contents
from embdc_cli.source.digest import head_digest
from embdc_cli.source.elements import as_coded, dtype_name, in_storage_order
from embdc_cli.source.npy import truncated
from embdc_cli.source.npy_header import HEAD_BYTES, read_npy_header
from embdc_cli.source.pipe import Pipe
from embdc_cli.source.raw import parse_raw, with_raw_axes, wrong_size
from embdc_cli.source.select import select
from embdc_cli.values import Block, Feed

_BLOCK_BYTES = 4 << 20


def npy_feed(pipe: Pipe, options: EncodeOptions) -> Feed | None:
    """The array on `pipe` as a feed; None for Fortran order, whose first row needs the whole stream."""
    header = read_npy_header(io.BytesIO(pipe.head(HEAD_BYTES)).read, pipe.shown)
    if header.fortran and sum(size > 1 for size in header.shape) > 1:
        return None
    feed = _feed(pipe, "npy", header.dtype, header.shape, options)

    def check_end(found: int) -> None:
        if found < header.data_bytes:
            raise truncated(pipe.shown, header, header.data_offset + found)
        if rest := pipe.drain():
            feed.warnings.append(f"{pipe.shown}: {rest} bytes after the array are ignored")

    feed.blocks = _blocks(pipe, feed, header.dtype, header.data_offset, check_end)
    return feed


def raw_feed(pipe: Pipe, options: EncodeOptions) -> Feed:
    """The numbers on `pipe` as --raw describes them."""
    layout = parse_raw(options.raw or "")
    feed = _feed(pipe, "raw", layout.file_dtype, layout.shape, with_raw_axes(options, layout))

    def check_end(found: int) -> None:
        whole = (
            found % layout.row_bytes == 0 if layout.shape[0] is None else found == layout.shape[0] * layout.row_bytes
        )
        rest = pipe.drain()
        if rest or not whole:
            raise wrong_size(pipe.shown, layout, found + rest)

    feed.blocks = _blocks(pipe, feed, layout.file_dtype, 0, check_end)
    return feed


def _feed(pipe: Pipe, kind: str, dtype: np.dtype, shape: Shape, options: EncodeOptions) -> Feed:
    """A feed without blocks: the spec and the warnings that the same array in a file would have."""
    known = tuple(size or 0 for size in shape)
    candidate = Candidate(SINGLE, dtype_name(dtype), known, lambda: lambda start, stop: np.empty(0))
    selection = select(Contents([candidate]), options, pipe.shown)
    spec = selection.tensors[0].spec
    if shape and shape[0] is None:
        spec = replace(spec, rows=None)
    source = {"kind": kind, "head_digest": head_digest(pipe.head())}
    return Feed([spec], iter(()), source=source, warnings=selection.warnings)


def _blocks(pipe: Pipe, feed: Feed, dtype: np.dtype, skip: int, check_end: Callable[[int], None]) -> Iterator[Block]:
    """Blocks of a few MiB; at the end `check_end` judges the number of bytes, and the feed's source is completed."""
    (spec,) = feed.specs
    row_bytes = spec.row_values * dtype.itemsize
    block_rows = max(1, _BLOCK_BYTES // max(1, row_bytes))
    pipe.read_up_to(skip)
    rows = found = 0
    while spec.rows is None or rows < spec.rows:
        wanted = block_rows if spec.rows is None else min(block_rows, spec.rows - rows)
        data = pipe.read_up_to(wanted * row_bytes)
        found += len(data)
        count = len(data) // row_bytes if row_bytes else wanted
        if count:
            array = np.frombuffer(data, dtype, count * spec.row_values).reshape(count, *spec.row_shape)
            yield Block({spec.name: as_coded(in_storage_order(array), spec, rows)})
        rows += count
        if len(data) < wanted * row_bytes:
            break
    check_end(found)
    feed.source.update(pipe.facts())
