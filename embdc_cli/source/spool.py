"""A feed kept on disk so that it can be read again: raw rows, one anonymous scratch file per stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from embdc_cli.dtypes import item_bytes, storage
from embdc_cli.errors import ResourceError
from embdc_cli.scratch import discard, disk_errors, scratch_file, scratch_folder
from embdc_cli.source.candidate import Candidate, CandidateTensor
from embdc_cli.source.positioned import PositionedFile
from embdc_cli.values import Block, Dump, Feed, StreamSpec, Timeline


class SpoolFull(ResourceError):
    """The bound was reached before the feed ended; `feed` gives all of its blocks again, from the first one on."""

    def __init__(self, message: str, feed: Feed, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.feed = feed


def spool(feed: Feed, limit_bytes: int) -> Dump:
    """The whole feed as a dump; closing either closes both, and scratch files vanish with the process at the latest.

    Raises SpoolFull when the rows need more than `limit_bytes`, ResourceError when the disk is full.
    """
    with ExitStack() as stack:
        stack.callback(feed.close)
        spooled = _Spooled([_Part(spec, stack) for spec in feed.specs])
        for block in feed.blocks:
            if spooled.bytes + sum(array.nbytes for array in block.arrays.values()) > limit_bytes:
                # the producer keeps a reference to its feed and may still mark it incomplete: change this one
                feed.blocks = spooled.replay(block, feed.blocks)
                feed.close = stack.pop_all().close
                hint = "raise --spool-max, or use --one-pass"
                raise SpoolFull(f"spool: more than {limit_bytes} bytes of rows", feed, hint=hint)
            spooled.add(block)
        spooled.flush()
        timeline = spooled.timeline(feed.timebase)
        feed.close = stack.pop_all().close  # closing either closes everything
        return Dump(
            [part.tensor() for part in spooled.parts],
            name=feed.name,
            timeline=timeline,
            timed_streams=frozenset(spec.name for spec in feed.specs if timeline is not None and spec.timed),
            source=feed.source,
            encoder=feed.encoder,
            warnings=feed.warnings,
            incomplete=feed.incomplete,
            close=feed.close,
        )


class _Part:
    """The rows of one stream so far."""

    def __init__(self, spec: StreamSpec, stack: ExitStack) -> None:
        self.spec = spec
        self.elements = 0
        self.counts: list[np.ndarray] = []
        self._out = scratch_file()
        stack.callback(discard, self._out)
        self._file = PositionedFile(self._out, f"spool of {spec.name}")

    def add(self, array: np.ndarray, counts: np.ndarray | None) -> None:
        """Append rows, or tokens with the counts of their rows."""
        with disk_errors(scratch_folder()):
            self._out.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self.elements += len(array)
        if counts is not None:
            self.counts.append(np.asarray(counts, np.int64))

    def flush(self) -> None:
        with disk_errors(scratch_folder()):
            self._out.flush()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows (tokens, when ragged) [start, stop) as they were added."""
        out = np.empty((stop - start, *self.spec.row_shape), storage(self.spec.dtype))
        offset = start * self.spec.row_values * item_bytes(self.spec.dtype)
        self._file.read_into(offset, out.reshape(-1).view(np.uint8).data)
        return out

    def tensor(self) -> CandidateTensor:
        shape = (self.elements, *self.spec.row_shape)
        counts = np.concatenate([np.zeros(0, np.int64), *self.counts]) if self.spec.ragged else None
        rows = self.elements if counts is None else len(counts)
        candidate = Candidate(self.spec.name, self.spec.dtype, shape, lambda: self.read, counts)
        return CandidateTensor(self.spec.with_rows(rows), candidate)


@dataclass
class _Spooled:
    """All blocks so far: their rows in the parts' files, the rest here."""

    parts: list[_Part]
    bytes: int = 0
    outlines: list[Block] = field(default_factory=list)
    """The blocks with arrays of no rows, to be filled again."""
    edges: list[list[int]] = field(default_factory=list)
    """For every block the element at which each part's rows end."""

    def add(self, block: Block) -> None:
        for part in self.parts:
            array = block.arrays[part.spec.name]
            part.add(array, block.token_counts.get(part.spec.name))
            self.bytes += array.nbytes
        self.outlines.append(replace(block, arrays={}))
        self.edges.append([part.elements for part in self.parts])

    def flush(self) -> None:
        for part in self.parts:
            part.flush()

    def timeline(self, timebase: Fraction | None) -> Timeline | None:
        """The times of all rows; None when the blocks carry none."""
        starts = [block.starts for block in self.outlines if block.starts is not None]
        ends = [block.ends for block in self.outlines if block.ends is not None]
        if timebase is None or not starts or not len(starts) == len(ends) == len(self.outlines):
            return None
        return Timeline(np.concatenate(starts), np.concatenate(ends), timebase)

    def replay(self, following: Block, rest: Iterator[Block]) -> Iterator[Block]:
        """Every block again, then `following`, then `rest`."""
        self.flush()
        before = [0] * len(self.parts)
        for outline, after in zip(self.outlines, self.edges, strict=True):
            spans = zip(self.parts, before, after, strict=True)
            yield replace(outline, arrays={part.spec.name: part.read(start, stop) for part, start, stop in spans})
            before = after
        yield following
        yield from rest
