"""Clips of many archives in any order: a map-style data set, for samplers of torch.

Not here: archives that are still growing, shuffling (a sampler does it; `ShuffledClips` reads less).
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from torch.utils.data import Dataset

from embdc_cli.data.cutting import Run
from embdc_cli.data.manifest import Manifest, Path, StreamRows
from embdc_cli.data.reading import Chunk, ClipSource, Sample
from embdc_cli.errors import WrongIndex
from embdc_cli.recent import Recent

CHUNK_BYTES: Final = 64 << 20
"""Decoded chunks that one process keeps of all archives; at least one, whatever its size."""


class Clips(Dataset[Sample]):
    """Clip i is {"values": (rows, *row_shape), "archive": number in the list, "start": its first row}.

    archives: paths or URLs, each of which is opened once to see how long it is, several at once; or a `Manifest`, which
    knows.
    rows: of a clip, `every` rows of the archive apart; 1 for single rows.
    seconds: instead of rows, all rows that start in [t, t + seconds) on the clock of `Archive.between`; "seconds" is t,
    and "row_count" says how many rows came. fps: of these seconds, at t, t + 1/fps, ... the row that is shown then:
    equally many in every clip, whatever the rate and gaps of the archive.
    stride: rows, or seconds, from the start of a clip to that of the next, by default what a clip spans, so that none
    share a row; 1 for every place that a clip can have. What makes no whole clip at the end is left out. The end is
    that of the video where a stream of it is asked for, else of the longest stream beside it.
    stream: by name; the first one by default. Several names give {name: {"values", "start"}} of the same rows, or of
    the same seconds, in which streams may differ in rate. Of an archive with several items, all items that have the
    stream (or all of the streams) count; `item/stream` names one.
    Ragged streams have values (tokens, D) and "token_counts" (rows,); `collate` makes batches of them.
    codebooks, device: as of `embdc.open`; workers of a DataLoader need "cpu".
    A chunk is decoded as a whole, so a clip costs what its chunks cost: encode with `--chunk-frames` near `rows`.
    Memory of a process beside what it gives: 64 MiB of decoded chunks, 128 MiB of indexes and models in at most 64 open
    archives, and the chunk in work. Can be sent to other processes, which open files for themselves.
    Raises: UsageError for lengths of nothing, a stream that is not there or has no rows or, by seconds, no times; what
    `embdc.open` raises. A clip raises CorruptArchive when a chunk of it is damaged, SourceError when its archive has
    changed since.
    """

    def __init__(
        self,
        archives: Sequence[Path] | Manifest,
        rows: int | None = None,
        *,
        seconds: float | None = None,
        fps: float | None = None,
        every: int = 1,
        stride: float | None = None,
        stream: str | Sequence[str] | None = None,
        codebooks: Sequence[Path] = (),
        device: str = "cpu",
    ) -> None:
        self._source = ClipSource(archives, rows, every, seconds, fps, stride, stream, codebooks, device)
        self._ends = np.cumsum(self._source.counts)
        self._begin()

    def _begin(self) -> None:
        self._chunks, self._pid = Recent(CHUNK_BYTES), os.getpid()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Sample:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise WrongIndex(f"clip {position} is not there, there are {len(self)}")
        if self._pid != os.getpid():
            self._begin()  # after a fork: a thread of the parent may have been at work with its chunks
        position %= len(self)
        at = int(np.searchsorted(self._ends, position, side="right"))
        run = self._source.runs[at]
        clip = position - int(self._ends[at - 1] if at else 0)
        rows = [self._source.rows(run, stream, clip) for stream in run.streams]
        chunks = [self._held(run, stream, wanted) for stream, wanted in zip(run.streams, rows, strict=True)]
        return self._source.sample(run, clip, rows, chunks)

    def _held(self, run: Run, stream: StreamRows, rows: np.ndarray) -> list[Chunk]:
        """The chunks that hold `rows`, those that are not kept in one round trip."""
        first, stop = stream.chunks[:, 0], stream.chunks[:, 1]
        numbers = np.unique(np.searchsorted(stop, rows, side="right"))
        numbers = numbers[numbers < len(stop)]
        inside = np.searchsorted(rows, stop[numbers]) > np.searchsorted(rows, first[numbers])
        wanted = numbers[inside].tolist()
        held = {number: self._chunks.known((run.archive, stream.name, number)) for number in wanted}
        missing = [number for number in wanted if held[number] is None]
        for number, fetched in zip(missing, self._source.fetch(run, stream, missing), strict=True):
            held[number] = self._source.decode(run, stream, number, fetched)
            self._chunks.put((run.archive, stream.name, number), held[number], held[number].nbytes)
        if not wanted:  # a clip without rows, whose shape a chunk tells
            return self._held(run, stream, first[:1]) if len(first) and not len(rows) else []
        return list(held.values())

    def __getstate__(self) -> dict[str, Any]:
        return {"_source": self._source, "_ends": self._ends}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
