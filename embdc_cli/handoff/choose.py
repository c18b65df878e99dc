"""Which streams and rows of each item are handed over, and where the rows lie in time and in the picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeGuard

import numpy as np

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.container.contents import Item
from embdc_cli.decoding import select
from embdc_cli.errors import UsageError
from embdc_cli.options import DecodeOptions
from embdc_cli.slicing import rows_of
from embdc_cli.stream_view import StreamView

_DEEPSTACK: Final = re.compile(r"(?:deepstack|ds)[_.]?(\d+)")
_NEWLINE: Final = ("image_newline", "newline")
_PARTS: Final = ("cls", "reg", "pooled")
_GRID_THW: Final = ("image_grid_thw", "video_grid_thw", "grid_thw")
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True)
class Chosen:
    """What is taken of one item: rows of the stream `view`, and of the layers in `deepstack`, in their order.

    grid_thw, newline: the streams of the item that hold them, None where it has none.
    """

    view: StreamView
    rows: range
    deepstack: tuple[StreamView, ...]
    grid_thw: StreamView | None
    newline: StreamView | None

    @property
    def item(self) -> Item:
        return self.view.item

    @property
    def tokens(self) -> int:
        """Of a row; 1 where a row is a vector."""
        return int(np.prod(self.view.spec.row_shape[:-1]))

    @property
    def encoder(self) -> str:
        """The encoder that the archive records, "" where it records none."""
        return str((self.item.header.encoder or {}).get("name", ""))

    def seconds(self, row: int) -> float | None:
        """Start of a row after the first of the archive, None where no times are kept."""
        timeline = self.view.timeline
        return None if timeline is None or len(timeline) <= row else timeline.seconds(row)

    def layout(self, asked: str | None) -> tuple[int, int]:
        """(rows, columns) of the grid that the tokens of a row make: as asked, else as the archive says.

        Raises: UsageError where they do not fit, or nothing says what they are.
        """
        sizes = _SIZE.fullmatch(asked) if asked is not None else None
        if asked is not None and sizes is None:
            raise UsageError(f"--grid: expected HxW, such as 14x14, found {asked!r}")
        shape = self.view.spec.row_shape
        if sizes is not None:
            grid = int(sizes[1]), int(sizes[2])
        elif len(shape) == 3:
            grid = shape[0], shape[1]
        else:
            found = (self.item.header.encoder or {}).get("grid")
            if not _is_grid(found) or found[0] * found[1] != self.tokens:
                raise UsageError(
                    f"--grid: the archive does not say how the {self.tokens} tokens of a row of {self.view.name!r} lie",
                    hint="add --grid HxW: tokens down and across",
                )
            grid = found[0], found[1]
        if grid[0] * grid[1] != self.tokens:
            raise UsageError(
                f"--grid: expected {self.tokens} tokens of {self.view.name!r}, found {grid[0]}x{grid[1]} = "
                f"{grid[0] * grid[1]}"
            )
        return grid


def _is_grid(found: object) -> TypeGuard[list[int]]:
    return isinstance(found, list) and len(found) == 2 and all(isinstance(edge, int) for edge in found)


def choose(archive: Archive, options: DecodeOptions) -> list[Chosen]:
    """What is taken of every item that `options` ask for, with what lies beside it. Raises: UsageError."""
    views = select(archive, replace(options, stream=None))
    items = dict.fromkeys(view.item.clock for view in views)
    return [_chosen([view for view in views if view.item.clock == number], options) for number in items]


def _chosen(views: Sequence[StreamView], options: DecodeOptions) -> Chosen:
    main = _main(views, options.stream)
    spec = main.spec
    if spec.dtype not in dtypes.FLOATS:
        raise UsageError(f"--for: stream {main.name!r}, expected embeddings, found {spec.dtype}")
    if not spec.timed or not spec.row_shape or spec.channel_axis != len(spec.row_shape) - 1 or len(spec.row_shape) > 3:
        raise UsageError(
            f"--for: stream {main.name!r}, expected axes t,c or t,n,c or t,h,w,c, found {spec.axes}",
            hint="--stream names another one",
        )
    rows = rows_of(options.frames, options.time, spec.known_rows, main.timeline if options.time else None)
    if not rows:
        raise UsageError(f"--for: no rows of {main.name!r} are asked for, it has {spec.known_rows}")
    numbered = [(int(match[1]), view) for view in views if (match := _DEEPSTACK.fullmatch(view.spec.name))]
    deepstack = tuple(view for _, view in sorted(numbered, key=lambda one: one[0]) if view.name != main.name)
    for view in deepstack:
        if view.spec.shape != spec.shape:
            raise UsageError(
                f"--for: stream {view.name!r}, expected the shape {list(spec.shape)} of {main.name!r}, "
                f"found {list(view.spec.shape)}"
            )
    grids = (f"{options.modality}_grid_thw", "grid_thw")
    grid_thw = next((view for view in views if view.spec.name in grids), None)
    newline = next((view for view in views if view.spec.name in _NEWLINE), None)
    return Chosen(main, rows, deepstack, grid_thw, newline)


def _main(views: Sequence[StreamView], asked: str | None) -> StreamView:
    """The stream asked for; else patch, or the only one that is neither a companion nor a part of another, nor lies
    beside the item."""
    if asked is not None:
        named = [view for view in views if asked in (view.name, view.spec.name)]
    else:
        own = [view for view in views if view.item.number == view.item.clock]
        named = [view for view in own if view.spec.name == "patch"] or [view for view in own if _stands_alone(view)]
    if len(named) != 1:
        have = ", ".join(view.name for view in views)
        found = repr(asked) if asked is not None else f"{len(named)} that could be meant"
        raise UsageError(f"--stream: expected one of {have}, found {found}", hint="name the one with --stream")
    return named[0]


def _stands_alone(view: StreamView) -> bool:
    name = view.spec.name
    special = name in (*_NEWLINE, *_PARTS, *_GRID_THW) or _DEEPSTACK.fullmatch(name)
    return view.spec.timed and view.spec.dtype in dtypes.FLOATS and not special
