"""Bare little-endian numbers, described by `--raw dtype=f16,shape=?x196x192`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from embdc_cli import dtypes
from embdc_cli.dump_formats import BFLOAT16_VOID, SINGLE
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.axes import Shape
from embdc_cli.source.candidate import Candidate, Contents
from embdc_cli.source.file_rows import file_rows
from embdc_cli.source.location import InputFile

_EXAMPLE = "for example --raw dtype=f16,shape=?x196x192"
_SIZE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class RawLayout:
    """What --raw says; the first size is None for as many rows as there are."""

    dtype: str
    shape: Shape

    @property
    def file_dtype(self) -> np.dtype:
        """numpy's type of the elements as they lie there."""
        return np.dtype(BFLOAT16_VOID) if self.dtype == "bfloat16" else dtypes.storage(self.dtype)

    @property
    def row_bytes(self) -> int:
        """Bytes of one step along the first axis."""
        sizes = [size for size in self.shape[1:] if size is not None]
        return math.prod(sizes) * dtypes.item_bytes(self.dtype)


def parse_raw(text: str) -> RawLayout:
    """The layout that --raw describes; UsageError when it does not."""
    fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if set(fields) != {"dtype", "shape"} or text.count(",") != 1:
        raise UsageError(f"--raw: expected dtype=...,shape=..., found {text!r}", hint=_EXAMPLE)
    sizes = fields["shape"].split("x")
    for position, size in enumerate(sizes):
        if not (_SIZE.fullmatch(size) or (size == "?" and position == 0)):
            raise UsageError(f"--raw: shape, expected ? or a number first, then numbers, found {size!r}", hint=_EXAMPLE)
    layout = RawLayout(dtypes.parse(fields["dtype"]), tuple(None if size == "?" else int(size) for size in sizes))
    if layout.shape[0] is None and layout.row_bytes == 0:
        raise UsageError(f"--raw: shape, expected rows of at least one value, found {fields['shape']!r}")
    return layout


def with_raw_axes(options: EncodeOptions, layout: RawLayout) -> EncodeOptions:
    """`options` that make a bare `?` rows of one number: as one row, a stream's end would be its only size."""
    if options.axes is None and layout.shape == (None,):
        return replace(options, axes="t")
    return options


def raw_contents(source: InputFile, text: str) -> Contents:
    """The array `data` of a raw file; SourceError when its size is not that of whole rows, or not the one declared."""
    layout = parse_raw(text)
    file = source.positioned()
    rows = layout.shape[0]
    if rows is None:
        rows = file.size // layout.row_bytes
    if rows * layout.row_bytes != file.size:
        found = file.size
        file.close()
        raise wrong_size(source.shown, layout, found)
    shape = (rows, *(size for size in layout.shape[1:] if size is not None))
    return Contents(
        [Candidate(SINGLE, layout.dtype, shape, lambda: file_rows(file, 0, layout.file_dtype, shape))],
        close=file.close,
    )


def wrong_size(shown: str, layout: RawLayout, found: int) -> SourceError:
    """The error for raw data that ends inside a row, or has more or fewer rows than --raw says."""
    rows = layout.shape[0]
    expected = f"a multiple of {layout.row_bytes}" if rows is None else str(rows * layout.row_bytes)
    return SourceError(f"{shown}: truncated, or not of this --raw layout: expected {expected} bytes, found {found}")
