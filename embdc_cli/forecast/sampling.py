"""Whole chunks, spread over the input by a fixed seed: what a forecast encodes in place of everything.

Of a dump the chunks are drawn from all its streams together, equally far apart, so that what changes slowly is met by
each in turn. Models are learnt from more than is encoded: they grow with what happens in the input. Of a video, whose
length need not be known, windows of frames are embedded while it is decoded; each time they are more than the sample
may hold, every second one is dropped and they lie twice as far apart from there on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.encoding.sampling import SAMPLE_BYTES, Part
from embdc_cli.tokens import Cut, chunk_rows, cut_rows
from embdc_cli.values import Dump, StreamSpec, Tensor

MIN_CHUNKS: Final = 4
"""Fewer say little of the rest; of large rows they are at most half as many bytes as a sample may ever have."""
MAX_CHUNKS: Final = 256
LEARNT: Final = 4
"""Times the size of the sample that models are learnt from, up to what `encode` learns from."""


@dataclass(frozen=True)
class Sample:
    """dump: the streams that chunks were drawn of, left_out: the others. parts: those of each, None for all.

    cuts: all chunks of each. all_chunks, all_values, all_bytes: of the whole input. share: of its values, those in
    streams that are in `dump`.
    """

    dump: Dump
    parts: list[Part] | None
    cuts: list[list[Cut]]
    all_chunks: int
    all_values: int
    all_bytes: int
    share: float = 1.0
    left_out: list[Tensor] = field(default_factory=list)
    left_out_chunks: int = 0

    @property
    def sampled_chunks(self) -> int:
        """How many chunks were drawn."""
        return self.all_chunks if self.parts is None else sum(len(part.coded) for part in self.parts)


def draw(dump: Dump, chunk_frames: int | None, sample_bytes: int, seed: int) -> Sample:
    """A sample of about `sample_bytes` of raw rows at most, in MIN_CHUNKS to MAX_CHUNKS chunks."""
    cuts = [cut_rows(tensor, chunk_frames) for tensor in dump.tensors]
    pool = [(number, cut) for number, some in enumerate(cuts) for cut in some]
    whole = _sample(dump, None, cuts)
    chunk_bytes = whole.all_bytes // max(1, len(pool))
    count = _chunks_within(sample_bytes, chunk_bytes)
    if count >= len(pool):
        return whole
    offset = random.Random(seed).random()
    coded = _of_streams(_evenly(pool, count, offset), len(cuts))
    pool = [(number, cut) for number, cut in pool if coded[number]]
    learnt = min(LEARNT * sample_bytes, SAMPLE_BYTES) // max(1, chunk_bytes)
    if learnt >= len(pool):
        return _sample(dump, [Part(dict.fromkeys(some, 1.0)) for some in coded], cuts)
    read = _of_streams(_evenly(pool, learnt, offset), len(cuts))
    parts = [Part(dict.fromkeys(some, 1.0), some | more) for some, more in zip(coded, read, strict=True)]
    return _sample(dump, parts, cuts)


def _evenly(pool: Sequence[tuple[int, Cut]], count: int, offset: float) -> list[tuple[int, Cut]]:
    """`count` of these, equally far apart. offset: where to begin, in distances."""
    return [pool[int((i + offset) * len(pool) / count)] for i in range(count)]


def _of_streams(drawn: Sequence[tuple[int, Cut]], streams: int) -> list[frozenset[Cut]]:
    """The chunks of every stream."""
    return [frozenset(cut for of, cut in drawn if of == number) for number in range(streams)]


def _chunks_within(sample_bytes: int, chunk_bytes: int) -> int:
    return min(max(MIN_CHUNKS, sample_bytes // max(1, chunk_bytes)), MAX_CHUNKS)


def _sample(dump: Dump, parts: Sequence[Part] | None, cuts: Sequence[list[Cut]]) -> Sample:
    values = [_values(tensor) for tensor in dump.tensors]
    sizes = [count * dtypes.item_bytes(tensor.spec.dtype) for count, tensor in zip(values, dump.tensors, strict=True)]
    everything = Sample(dump, None, list(cuts), sum(map(len, cuts)), sum(values), sum(sizes))
    if parts is None:
        return everything
    kept = [number for number, part in enumerate(parts) if part.coded]
    # times cost next to nothing, and those of rows that were not embedded are not known
    sampled = replace(dump, tensors=[dump.tensors[number] for number in kept], timeline=None, timed_streams=frozenset())
    share = sum(values[number] for number in kept) / sum(values)
    left_out = [tensor for tensor, part in zip(dump.tensors, parts, strict=True) if not part.coded]
    left_out_chunks = sum(len(some) for some, part in zip(cuts, parts, strict=True) if not part.coded)
    return replace(
        everything,
        dump=sampled,
        parts=[parts[number] for number in kept],
        cuts=[cuts[number] for number in kept],
        share=share,
        left_out=left_out,
        left_out_chunks=left_out_chunks,
    )


def _values(tensor: Tensor) -> int:
    if tensor.token_counts is not None:
        return int(tensor.token_counts.sum()) * tensor.spec.channels
    return tensor.spec.known_rows * tensor.spec.row_values


class VideoSample:
    """Which rows of a video are embedded; afterwards a sample of the dump that they made."""

    def __init__(self, chunk_frames: int | None, sample_bytes: int, seed: int) -> None:
        self._chunk_frames = chunk_frames
        self._sample_bytes = sample_bytes
        self._offset = random.Random(seed).randrange(1 << 30)
        self._window = self._most = self._every = 1
        self._windows: list[int] = []
        self._held: list[int] = []  # rows, those of windows that were dropped again included
        self.rows = 0

    def __call__(self, specs: Sequence[StreamSpec]) -> Callable[[int], bool]:
        """The filter for a video of these streams: windows hold whole chunks of each."""
        self._window = math.lcm(*(max(1, chunk_rows(spec, self._chunk_frames)) for spec in specs))
        row_bytes = sum(spec.row_values * dtypes.item_bytes(spec.dtype) for spec in specs)
        self._most = _chunks_within(self._sample_bytes, row_bytes * self._window)
        return self._takes

    def _takes(self, row: int) -> bool:
        self.rows = row + 1
        window = row // self._window
        if row % self._window == 0 and self._chosen(window):
            if len(self._windows) >= self._most:
                self._every *= 2
            self._windows = [one for one in (*self._windows, window) if self._chosen(one)]
        if self._chosen(window):
            self._held.append(row)
            return True
        return False

    def _chosen(self, window: int) -> bool:
        return (window + self._offset) % self._every == 0

    @property
    def embedded_rows(self) -> int:
        """How many rows were let through."""
        return len(self._held)

    def of(self, dump: Dump) -> tuple[Dump, Sample]:
        """The video as a dump of which only sampled rows can be read, and the sample. dump: of the embedded rows."""
        if len(self._held) == self.rows:
            return dump, _sample(dump, None, [cut_rows(tensor, self._chunk_frames) for tensor in dump.tensors])
        held = np.array(self._held)
        tensors = [_HeldRows(tensor.spec.with_rows(self.rows), tensor, held) for tensor in dump.tensors]
        cuts = [cut_rows(tensor, self._chunk_frames) for tensor in tensors]
        held_cuts = [frozenset(cut for cut in some if self._chosen(cut[0] // self._window)) for some in cuts]
        whole = replace(dump, tensors=tensors)
        return whole, _sample(whole, [Part(dict.fromkeys(some, 1.0), some) for some in held_cuts], cuts)


@dataclass(frozen=True)
class _HeldRows:
    """A tensor of which only the rows `rows`, ascending, are there: those of `held`."""

    spec: StreamSpec
    held: Tensor
    rows: np.ndarray
    token_counts: None = None

    def read(self, start: int, stop: int) -> np.ndarray:
        at = int(np.searchsorted(self.rows, start))
        return self.held.read(at, at + stop - start)
