"""Clips of many archives in shuffled order, each chunk decoded once an epoch: an iterable data set."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from embdc_cli.data.manifest import Manifest, Path
from embdc_cli.data.order import Event, Part, Unit, clips_in, events, shares_of, steps, unit_edges
from embdc_cli.data.progress import Progress, after_batches
from embdc_cli.data.reading import Chunk, ClipSource, Sample
from embdc_cli.errors import UsageError
from embdc_cli.parallel import ordered_map

MOST_WORKERS: Final = 1024
"""Of a DataLoader."""

_AHEAD: Final = 4
"""Clips whose chunks are fetched, as they are coded, while the one before is decoded."""

_EPOCH, _WORKERS, _BUSY, _PLACES = 0, 1, 2, 4
"""What processes share: the epoch, the workers of a state that was loaded, whether workers iterate; and from the fourth
number on the share of each worker, and how many clips of it have been given."""

_T = TypeVar("_T")
_R = TypeVar("_R")


class ShuffledClips(IterableDataset[Sample]):
    """The clips of `Clips`, each once an epoch, read chunk by chunk.

    Clips that share chunks are a unit, read front to back: of clips that are cut where chunks end a unit is a chunk,
    otherwise it may be a whole archive. Archives are shuffled, and the units of each; `interleave` archives are read at
    once, a clip of one of them after the other by chance, and go through a buffer of `buffer` clips, from which one is
    drawn at random when the next comes. An archive is opened once an epoch, by one worker, unless there are few.

    rank, world_size: of the process, in distributed training. Units are split over the workers of all ranks, so that
    every clip comes once an epoch whatever their numbers; `counts` says how many each rank gets, which may differ
    by a few.
    seed: of the order, the same for all ranks. `set_epoch` before every epoch gives it another order, also where
    workers persist.
    Other arguments, and what a clip is: as of `Clips`. `device` other than "cpu": in the main process, without workers.
    Memory of a process: `buffer` clips, `interleave` times a chunk, 128 MiB of indexes and models in at most 64 open
    archives, and the chunk in work.

    Resume: `state_dict` says after which clip of which epoch, and after `load_state_dict` exactly those clips follow
    that would have, without decoding the ones before; with as many workers and ranks, and the same archives. A
    StatefulDataLoader of torchdata calls both by itself, in its workers. A DataLoader does not, and its workers are
    some batches ahead of the loop, so what they have read says nothing: with workers, count the batches that the loop
    has taken and ask `state_dict_after(loader, batches)`.

    Raises: as `Clips`. Iterating raises CorruptArchive at a clip whose chunk is damaged.
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
        seed: int = 0,
        buffer: int = 64,
        interleave: int = 8,
        rank: int = 0,
        world_size: int = 1,
        codebooks: Sequence[Path] = (),
        device: str = "cpu",
    ) -> None:
        for name, value in (("buffer", buffer), ("interleave", interleave), ("world_size", world_size)):
            if value < 1:
                raise UsageError(f"{name}: expected at least 1, found {value}")
        if not 0 <= rank < world_size:
            raise UsageError(f"rank: expected 0 to {world_size - 1}, found {rank}")
        self._source = ClipSource(archives, rows, every, seconds, fps, stride, stream, codebooks, device)
        self._seed, self._buffer, self._interleave = seed, buffer, interleave
        self._rank, self._world_size = rank, world_size
        self._units = self._cut_units()
        self._shared = torch.zeros(_PLACES + 2 * MOST_WORKERS, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch has no types for it
        self._now = (0, 0, 0)  # of the iteration in this process: epoch, share, clips given
        self._loaded: Progress | None = None  # into the main process

    def _cut_units(self) -> list[Unit]:
        found = []
        for number, (run, count) in enumerate(zip(self._source.runs, self._source.counts.tolist(), strict=True)):
            if count:
                clips = np.arange(count)
                chunks = [self._source.cut.chunks(run, stream, clips) for stream in run.streams]
                edges = [*unit_edges(chunks).tolist(), count]
                found += [Unit(number, first, stop) for first, stop in pairwise(edges)]
        return found

    def set_epoch(self, epoch: int) -> None:
        """Which order comes next. Another epoch than that of a state that was loaded forgets where that was."""
        if epoch != int(self._shared[_EPOCH]):
            self._shared.zero_()
            self._shared[_EPOCH] = epoch
            self._loaded = None

    def counts(self, workers: int = 0) -> list[int]:
        """Clips of every rank in the epoch, of DataLoaders with so many workers each."""
        workers = max(1, workers)
        sizes = [clips_in(share) for share in self._shares(self._epoch, workers)]
        return [sum(sizes[rank * workers : (rank + 1) * workers]) for rank in range(self._world_size)]

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration in this process is: behind the clip that it gave last. Raises: UsageError in the main
        process when workers iterate."""
        info = get_worker_info()
        if info is None and int(self._shared[_BUSY]):
            raise UsageError(
                "state_dict: workers read ahead of the loop, what they have read says nothing",
                hint="state_dict_after(loader, batches), or a StatefulDataLoader",
            )
        epoch, share, given = self._now
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        shares, done = list(range(workers)), [0] * workers
        shares[worker], done[worker] = share, given
        return self._progress(epoch, shares, done).state()

    def state_dict_after(self, loader: DataLoader[Any], batches: int) -> dict[str, Any]:
        """The state after a loop has taken so many batches of `loader`, since it began to iterate, whatever was read.

        For DataLoaders with workers, and behind `prefetched`. Raises: UsageError for more batches than there are.
        """
        if loader.dataset is not self:
            raise UsageError("loader: expected one of this data set")
        workers = max(1, loader.num_workers)
        shares, given = tuple(range(workers)), (0,) * workers
        if self._loaded is not None:
            shares, given = self._loaded.shares, self._loaded.given
            self._check_workers(len(shares), workers)
        mine = self._shares(self._epoch, workers)[self._rank * workers : (self._rank + 1) * workers]
        clips = [clips_in(mine[share]) for share in shares]
        size = 1 if loader.batch_size is None else loader.batch_size
        return self._progress(
            self._epoch, *after_batches(shares, given, clips, size, loader.drop_last, batches)
        ).state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was: the next iteration, of this process or of its workers, begins there.

        Raises: UsageError for a state of other archives, another seed or rank; iterating, of other workers.
        """
        found = Progress.of(state)
        expected = self._progress(found.epoch, found.shares, found.given)
        if found != expected:
            raise UsageError(f"state: it is of {found}", hint=f"this is {expected}")
        info = get_worker_info()
        workers = range(len(found.shares))
        if info is None:
            self._loaded = found
        else:  # all workers share what is written here
            self._check_workers(len(found.shares), info.num_workers)
            workers = range(info.id, info.id + 1)
        self._shared[_EPOCH], self._shared[_WORKERS] = found.epoch, len(found.shares)
        for worker in workers:
            self._places[worker, 0], self._places[worker, 1] = found.shares[worker], found.given[worker]
        self._now = (found.epoch, found.shares[workers[0]], found.given[workers[0]])

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        asked = int(self._shared[_WORKERS])
        share, given = worker, 0
        if asked:
            self._check_workers(asked, workers)
            share, given = self._places[worker].tolist()
            self._places[worker, 1] = 0  # it is gone on with once
        self._shared[_BUSY] = info is not None
        self._now = (self._epoch, share, given)
        return self._clips(workers)

    @staticmethod
    def _check_workers(state: int, found: int) -> None:
        if state != found:
            raise UsageError(f"workers: the state is of {state}, found {found}", hint="go on with as many")

    @property
    def _epoch(self) -> int:
        return int(self._shared[_EPOCH])

    @property
    def _places(self) -> torch.Tensor:
        places: torch.Tensor = self._shared[_PLACES:].view(-1, 2)
        return places

    def _progress(self, epoch: int, shares: Sequence[int], given: Sequence[int]) -> Progress:
        clips = int(self._source.counts.sum())
        return Progress(epoch, tuple(shares), tuple(given), self._seed, self._rank, self._world_size, clips)

    def _shares(self, epoch: int, workers: int) -> list[list[Part]]:
        """The parts of all workers of all ranks."""
        return shares_of(self._units, workers * self._world_size, random.Random(f"{self._seed} {epoch}"))

    def _clips(self, workers: int) -> Iterator[Sample]:
        epoch, share, given = self._now
        number = self._rank * workers + share
        rng = random.Random(f"{self._seed} {epoch} {number} {workers * self._world_size}")
        order = steps(self._shares(epoch, workers)[number], self._interleave, self._buffer, rng)
        buffered: dict[int, Sample] = {}
        for event, sample in self._read(events(order, given)):
            if sample is not None:
                buffered[event.slot] = sample
                continue
            given += 1
            self._now = (epoch, share, given)
            yield buffered.pop(event.slot)

    def _read(self, order: Iterator[Event]) -> Iterator[tuple[Event, Sample | None]]:
        """Every event, with the clip that is read there; chunks are fetched some clips ahead, in threads."""
        held: dict[Unit, list[list[Chunk]]] = {}  # of each stream, in order of rows
        for (event, wanted), fetched in _paired(self._planned(order), self._fetch):
            if event.taken is None:
                yield event, None
                continue
            unit, clip = event.taken
            run = self._source.runs[unit.run]
            chunks = held.setdefault(unit, [[] for _ in run.streams])
            rows = [self._source.rows(run, stream, clip) for stream in run.streams]
            for stream, kept, one, found in zip(run.streams, chunks, wanted, fetched, strict=True):
                kept[:] = [chunk for chunk in kept if chunk.row0 >= stream.chunks[one.oldest, 0]]
                kept += [self._source.decode(run, stream, *pair) for pair in zip(one.new, found, strict=True)]
            if event.ends:
                del held[unit]
            yield event, self._source.sample(run, clip, rows, chunks)

    def _planned(self, order: Iterator[Event]) -> Iterator[tuple[Event, list[_Wanted]]]:
        """Every event with the chunks that it wants of each stream."""
        plans: dict[Unit, list[tuple[np.ndarray, np.ndarray]]] = {}
        reached: dict[Unit, list[int]] = {}  # the chunk of each stream from which on none has been read
        for event in order:
            if event.taken is None:
                yield event, []
                continue
            unit, clip = event.taken
            if unit not in plans:
                run, clips = self._source.runs[unit.run], np.arange(unit.first, unit.stop)
                plans[unit] = [self._source.cut.chunks(run, stream, clips) for stream in run.streams]
                reached[unit] = [0] * len(run.streams)
            wanted = []
            for number, (first, stop) in enumerate(plans[unit]):
                oldest, end = int(first[clip - unit.first]), int(stop[clip - unit.first])
                wanted.append(_Wanted(oldest, range(max(oldest, reached[unit][number]), end)))
                reached[unit][number] = max(end, reached[unit][number])
            if event.ends:
                del plans[unit], reached[unit]
            yield event, wanted

    def _fetch(self, planned: tuple[Event, list[_Wanted]]) -> list[list[Any]]:
        event, wanted = planned
        if event.taken is None:
            return []
        run = self._source.runs[event.taken.unit.run]
        return [self._source.fetch(run, *pair) for pair in zip(run.streams, (one.new for one in wanted), strict=True)]


class _Wanted(NamedTuple):
    """Chunks of one stream: `new` ones are read, those before `oldest` are no longer needed."""

    oldest: int
    new: range


def _paired(items: Iterable[_T], function: Callable[[_T], _R]) -> Iterator[tuple[_T, _R]]:
    """Every item with `function` of it, some of them at once."""
    return ordered_map(lambda item: (item, function(item)), items, _AHEAD)
