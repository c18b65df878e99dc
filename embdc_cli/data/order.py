"""The order in which shuffled clips are read and given: plain numbers from a seed, so that it can be followed anywhere.

A unit is clips of one run that share chunks, from one chunk edge that no clip crosses to the next. Whoever reads a unit
front to back decodes each of its chunks once.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Final, NamedTuple

import numpy as np

_PARTS: Final = 16
"""At least so many parts make a share, so that shares can be nearly equal."""


class Unit(NamedTuple):
    """Clips [first, stop) of run number `run`."""

    run: int
    first: int
    stop: int


Part = list[Unit]


class Taken(NamedTuple):
    """A clip that is read. last: whether the unit ends with it."""

    unit: Unit
    clip: int

    @property
    def last(self) -> bool:
        return self.clip + 1 == self.unit.stop


class Step(NamedTuple):
    """What is in place `slot` of the buffer is given, if `gives`, and then `taken` is put there, if any."""

    slot: int
    gives: bool
    taken: Taken | None


class Event(NamedTuple):
    """`taken` is read and put into place `slot` of the buffer, or what is there is given. ends: its unit is read no
    further."""

    slot: int
    taken: Taken | None
    ends: bool = False


def unit_edges(chunks: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The clips that begin a unit, of (first chunk, chunk after the last) of every clip, rising, for each stream."""
    begins = np.ones(len(chunks[0][0]), bool)
    for first, stop in chunks:
        begins[1:] &= first[1:] >= stop[:-1]
    return np.flatnonzero(begins)


def shares_of(units: Sequence[Unit], shares: int, rng: random.Random) -> list[list[Part]]:
    """The parts of every share, shuffled, and so are the units of each.

    A part is units of one run, all of them unless that is more than a sixteenth of a share: whoever reads it opens its
    archive, and decodes what its chunks have in common, once. Clips of shares differ by no more than the longest part.
    """
    by_run: dict[int, Part] = {}
    for unit in units:
        by_run.setdefault(unit.run, []).append(unit)
    most = -(-_clips(units) // (_PARTS * shares))
    parts = [part for run in by_run.values() for part in _parts_of(rng.sample(run, len(run)), most)]
    rng.shuffle(parts)
    loads = [(0, share) for share in range(shares)]
    home = [0] * len(parts)
    for number in sorted(range(len(parts)), key=lambda number: -_clips(parts[number])):  # longest first
        load, home[number] = loads[0]
        heapq.heapreplace(loads, (load + _clips(parts[number]), home[number]))
    return [[part for part, at in zip(parts, home, strict=True) if at == share] for share in range(shares)]


def clips_in(parts: Sequence[Part]) -> int:
    """Clips of a share."""
    return sum(map(_clips, parts))


def _clips(units: Sequence[Unit]) -> int:
    return sum(unit.stop - unit.first for unit in units)


def _parts_of(run: Part, most: int) -> Iterator[Part]:
    """`run` in parts of at most `most` clips, but of at least one unit."""
    part: Part = []
    for unit in run:
        if part and _clips(part) + unit.stop - unit.first > most:
            yield part
            part = []
        part.append(unit)
    yield part


def steps(parts: Iterable[Part], interleave: int, buffer: int, rng: random.Random) -> Iterator[Step]:
    """Reading and giving of all clips of `parts`, each once, `interleave` parts at a time, through a shuffle buffer."""
    filled = 0
    for taken in _reading(parts, interleave, rng):
        if filled < buffer:
            yield Step(filled, False, taken)
            filled += 1
        else:
            yield Step(int(rng.random() * buffer), True, taken)
    slots = list(range(filled))
    while slots:
        at = int(rng.random() * len(slots))
        slots[at], slots[-1] = slots[-1], slots[at]
        yield Step(slots.pop(), True, None)


def events(order: Iterator[Step], given: int) -> Iterator[Event]:
    """What is read and given after `given` clips; first that which is in the buffer by then is read again."""
    pending: dict[int, Taken] = {}
    reached: dict[Unit, Taken] = {}
    while given and (step := next(order, None)) is not None:
        if step.gives:
            del pending[step.slot]
            given -= 1
        if step.taken is not None:
            pending[step.slot] = reached[step.taken.unit] = step.taken
    again = sorted(pending.items(), key=lambda one: one[1])
    for (slot, taken), following in zip_longest(again, again[1:]):
        ends = reached[taken.unit].last and (following is None or following[1].unit != taken.unit)
        yield Event(slot, taken, ends)
    for step in order:
        if step.gives:
            yield Event(step.slot, None)
        if step.taken is not None:
            yield Event(step.slot, step.taken, step.taken.last)


def _reading(parts: Iterable[Part], interleave: int, rng: random.Random) -> Iterator[Taken]:
    waiting = iter(parts)
    active = [_front_to_back(part) for part in islice(waiting, interleave)]
    while active:
        at = int(rng.random() * len(active))
        taken = next(active[at], None)
        if taken is not None:
            yield taken
        elif (following := next(waiting, None)) is not None:
            active[at] = _front_to_back(following)
        else:
            active[at] = active[-1]
            active.pop()


def _front_to_back(part: Part) -> Iterator[Taken]:
    return (Taken(unit, clip) for unit in part for clip in range(unit.first, unit.stop))
