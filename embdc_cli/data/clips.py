"""Clips of equal length from one stream of many archives: a map-style data set.

Not here: archives that are still growing, rows of unequal token counts, shuffling (a sampler of torch does it).
"""

from __future__ import annotations

import operator
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from os import PathLike
from typing import Any, Final

from torch.utils.data import Dataset

from embdc_cli.archive import Archive
from embdc_cli.errors import UsageError, WrongIndex

MOST_OPEN: Final = 8
"""Archives that one process keeps open: a file each, and up to 192 MiB of decoded chunks and models."""


class Clips(Dataset[dict[str, Any]]):
    """Clip i is {"values": (rows, *row_shape), "archive": number in the list, "start": its first row}.

    rows: of a clip, `every` rows of the archive apart. stride: rows from the start of a clip to that of the next, by
    default what a clip spans, so that none share a row; rows at the end that make no whole clip are left out.
    stream: by name; the first one by default. Of an archive with several items, all items that have the stream count.
    codebooks, device: as of `embdc.open`; workers of a DataLoader need "cpu".
    Opens every archive once to see how long it is. Can be sent to other processes, which open files for themselves.
    Raises: UsageError for lengths below 1, a stream that is not there or has no rows of equal shape; what `embdc.open`
    raises. A clip raises CorruptArchive when a chunk of it is damaged.
    """

    def __init__(
        self,
        archives: Sequence[str | PathLike[str]],
        rows: int,
        *,
        every: int = 1,
        stride: int | None = None,
        stream: str | None = None,
        codebooks: Sequence[str | PathLike[str]] = (),
        device: str = "cpu",
    ) -> None:
        self._span = (rows - 1) * every + 1
        self._stride = rows * every if stride is None else stride
        for name, value in (("rows", rows), ("every", every), ("stride", self._stride)):
            if value < 1:
                raise UsageError(f"{name}: expected at least 1, found {value}")
        self._paths = [os.fspath(path) for path in archives]
        self._codebooks = [os.fspath(path) for path in codebooks]
        self._device, self._every = device, every
        self._opened: OrderedDict[int, Archive] = OrderedDict()
        self._streams: list[tuple[int, str]] = []  # archive and stream that the clips of each run are from
        counts = []
        for number in range(len(self._paths)):
            for name, length in self._lengths(number, stream):
                self._streams.append((number, name))
                counts.append(max(0, (length - self._span) // self._stride + 1))
        self._ends = list(accumulate(counts))

    def _lengths(self, number: int, stream: str | None) -> list[tuple[str, int]]:
        """Name and rows of the streams of an archive that clips are taken from."""
        archive = self._archive(number)
        views = [archive[name] for name in archive]
        wanted = stream if stream is not None else views[0].spec.name if views else None
        found = [view for view in views if wanted in (view.name, view.spec.name)]
        if not found:
            have = ", ".join(archive.streams) or "none"
            raise UsageError(f"{self._paths[number]}: stream {wanted!r} is not there", hint=f"it has {have}")
        for view in found:
            if view.spec.ragged or not view.spec.timed:
                raise UsageError(f"{self._paths[number]}: stream {view.name!r} has no rows of equal shape")
        return [(view.name, len(view)) for view in found]

    def _archive(self, number: int) -> Archive:
        if number not in self._opened:
            self._opened[number] = Archive(self._paths[number], codebooks=self._codebooks, device=self._device)
            if len(self._opened) > MOST_OPEN:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(number)
        return self._opened[number]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise WrongIndex(f"clip {position} is not there, there are {len(self)}")
        position %= len(self)
        run = bisect_right(self._ends, position)
        start = (position - (self._ends[run - 1] if run else 0)) * self._stride
        number, stream = self._streams[run]
        values = self._archive(number)[stream][start : start + self._span : self._every]
        return {"values": values, "archive": number, "start": start}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}
