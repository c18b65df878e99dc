"""The order of shuffled clips: exactly once whatever the shares, front to back within a unit, the same after a stop."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.data.order import Event, Part, Unit, clips_in, events, shares_of, steps, unit_edges

LENGTHS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), max_size=8)


def parts_of(lengths: list[list[int]]) -> list[Part]:
    """A part for each run, its units one after the other."""
    return [
        [Unit(run, sum(units[:at]), sum(units[: at + 1])) for at in range(len(units))]
        for run, units in enumerate(lengths)
    ]


def clips_of(parts: list[Part]) -> list[tuple[int, int]]:
    return [(unit.run, clip) for part in parts for unit in part for clip in range(unit.first, unit.stop)]


def given_clips(order: list[Event]) -> list[tuple[int, int]]:
    """What comes out of the buffer."""
    buffer: dict[int, tuple[int, int]] = {}
    found = []
    for event in order:
        if event.taken is None:
            found.append(buffer.pop(event.slot))
        else:
            assert event.slot not in buffer
            buffer[event.slot] = (event.taken.unit.run, event.taken.clip)
    assert not buffer
    return found


@given(LENGTHS, st.integers(1, 6), st.integers(0, 9))
def test_shares_are_a_fair_partition(lengths: list[list[int]], shares: int, seed: int) -> None:
    units = [unit for part in parts_of(lengths) for unit in part]
    found = shares_of(units, shares, random.Random(seed))
    assert len(found) == shares
    assert sorted(unit for share in found for part in share for unit in part) == units
    sizes = [clips_in(share) for share in found]
    assert max(sizes) - min(sizes) <= max((clips_in([part]) for share in found for part in share), default=0)
    for part in (part for share in found for part in share):
        assert len({unit.run for unit in part}) == 1
        assert len(part) == 1 or clips_in([part]) <= -(-sum(sizes) // (16 * shares))


def test_shares_of_equal_units_differ_by_one() -> None:
    found = shares_of([Unit(run, 0, 4) for run in range(50)], 3, random.Random(1))
    assert sorted(map(len, found)) == [16, 17, 17]


def test_an_archive_is_read_by_one_share_where_there_are_many() -> None:
    found = shares_of([Unit(run, at, at + 1) for run in range(64) for at in range(4)], 2, random.Random(1))
    assert sorted(part[0].run for share in found for part in share) == list(range(64))
    assert [clips_in(share) for share in found] == [128, 128]


@given(LENGTHS, st.integers(1, 4), st.integers(1, 12), st.integers(0, 99), st.integers(0, 60))
def test_every_clip_once_and_again_the_same_after_a_stop(
    lengths: list[list[int]], interleave: int, buffer: int, seed: int, stop: int
) -> None:
    parts = parts_of(lengths)
    whole = list(events(steps(parts, interleave, buffer, random.Random(seed)), 0))
    found = given_clips(whole)
    assert sorted(found) == sorted(clips_of(parts))
    later = list(events(steps(parts, interleave, buffer, random.Random(seed)), stop))
    assert given_clips(later) == found[stop:]
    for order in (whole, later):
        read = [event for event in order if event.taken is not None]
        for unit in (unit for part in parts for unit in part):
            mine = [event for event in read if event.taken is not None and event.taken.unit == unit]
            clips = [event.taken.clip for event in mine if event.taken is not None]
            assert clips == sorted(set(clips))
            assert [event.ends for event in mine] == [False] * (len(mine) - 1) + [True] * bool(mine)
        waiting = 0
        for event in order:
            waiting += 1 if event.taken is not None else -1
            assert waiting <= buffer
    in_work: set[Unit] = set()
    for event in whole:
        if event.taken is not None:
            in_work.add(event.taken.unit)
            assert len(in_work) <= interleave
            if event.ends:
                in_work.remove(event.taken.unit)


def test_another_seed_is_another_order() -> None:
    parts = parts_of([[4]] * 20)
    orders = {str(given_clips(list(events(steps(parts, 3, 8, random.Random(seed)), 0)))) for seed in range(20)}
    assert len(orders) == 20


def test_the_buffer_mixes_units() -> None:
    found = given_clips(list(events(steps(parts_of([[8]] * 16), 4, 32, random.Random(0)), 0)))
    assert sum(a[0] == b[0] for a, b in pairwise(found)) < len(found) / 4


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=12))
def test_no_chunk_belongs_to_two_units(moves: list[tuple[int, int]]) -> None:
    first = np.cumsum([move for move, _ in moves])
    stop = np.maximum.accumulate(first + [length for _, length in moves])
    edges = [*unit_edges([(first, stop)]).tolist(), len(moves)]
    assert edges[0] == 0
    units = [set().union(*(range(first[at], stop[at]) for at in range(*unit))) for unit in pairwise(edges)]
    assert all(not one & other for one, other in pairwise(units))
    for low, high in pairwise(edges):  # nor could a unit be cut further
        assert all(max(stop[low:at]) > first[at] for at in range(low + 1, high))
