"""The order in which shuffled clips are read and given: plain numbers from a seed, so that it can be followed anywhere.

A unit is clips of one run that share chunks, from one chunk edge that no clip crosses to the next. Whoever reads a unit
front to back decodes each of its chunks once.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import NamedTuple

import numpy as np


class Unit(NamedTuple):
    """Clips [first, stop) of run number `run`."""

    run: int
    first: int
    stop: int


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
    """The clips that begin a unit, of (first chunk, chunk after the last) of every clip, for each stream."""
    begins = np.ones(len(chunks[0][0]), bool)
    for first, stop in chunks:
        begins[1:] &= first[1:] >= np.maximum.accumulate(stop)[:-1]
    return np.flatnonzero(begins)


def shares_of(units: Sequence[Unit], shares: int, rng: random.Random) -> list[list[Unit]]:
    """The units of every share, shuffled. Clips of shares differ by no more than the longest unit has."""
    order = list(units)
    rng.shuffle(order)
    if shares == 1:
        return [order]
    loads = [(0, share) for share in range(shares)]
    home = {}
    for unit in sorted(order, key=lambda unit: unit.first - unit.stop):  # longest first
        load, home[unit] = loads[0]
        heapq.heapreplace(loads, (load + unit.stop - unit.first, home[unit]))
    return [[unit for unit in order if home[unit] == share] for share in range(shares)]


def steps(units: Iterable[Unit], interleave: int, buffer: int, rng: random.Random) -> Iterator[Step]:
    """Reading and giving of all clips of `units`, each once, `interleave` units at a time, through a shuffle buffer."""
    filled = 0
    for taken in _reading(units, interleave, rng):
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


def _reading(units: Iterable[Unit], interleave: int, rng: random.Random) -> Iterator[Taken]:
    waiting = iter(units)
    active = [Taken(unit, unit.first) for unit in islice(waiting, interleave)]
    while active:
        at = int(rng.random() * len(active))
        taken = active[at]
        yield taken
        if not taken.last:
            active[at] = Taken(taken.unit, taken.clip + 1)
            continue
        following = next(waiting, None)
        if following is not None:
            active[at] = Taken(following, following.first)
        else:
            active[at] = active[-1]
            active.pop()
