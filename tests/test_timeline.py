"""A timeline in pieces is the timeline of their arrays, and a constant rate takes no memory by the row."""

from __future__ import annotations

import pickle
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.container import spec, times
from embdc_cli.container.repair import _Clock
from embdc_cli.values import ArrayTicks, SteadyTicks, Ticks, Timeline

TIMEBASE = Fraction(1, 30000)
STEPS = st.lists(st.integers(0, 3), min_size=1, max_size=6)
PIECES = st.lists(st.tuples(st.sampled_from(["steady", "array", "coded"]), STEPS), min_size=1, max_size=6)


def pieces_of(drawn: list[tuple[str, list[int]]]) -> list[Ticks]:
    """Rising rows from tick -5; those of a steady piece have the length of its first, or 1."""
    found: list[Ticks] = []
    tick = -5
    for kind, steps in drawn:
        edges = tick + np.cumsum([0, *steps], dtype=np.int64)
        starts, ends = edges[:-1], edges[1:]
        if kind == "steady":
            found.append(SteadyTicks(tick, max(1, steps[0]), len(steps)))
            edges = np.array([tick + len(steps) * max(1, steps[0])])
        elif kind == "array":
            found.append(ArrayTicks(starts, ends))
        else:
            content = times.to_content(0, 0, starts, ends)
            found.append(times.CodedTicks(tick, len(steps), content))
        tick = int(edges[-1])
    return found


@given(PIECES, st.integers(0, 40))
def test_pieces_are_as_their_arrays(drawn: list[tuple[str, list[int]]], rows: int) -> None:
    pieces = pieces_of(drawn)
    starts, ends = (np.concatenate([piece.columns()[at] for piece in pieces])[:rows] for at in (0, 1))
    timeline = Timeline.of(pieces, rows, TIMEBASE)
    plain = Timeline(starts, ends, TIMEBASE)
    for one in (timeline, plain, pickle.loads(pickle.dumps(timeline))):
        assert len(one) == len(starts)
        assert one.starts.tolist() == starts.tolist()
        assert one.ends.tolist() == ends.tolist()
        assert [(one.start(row), one.end(row)) for row in range(len(one))] == list(zip(starts, ends, strict=True))
        for tick in (*range(-7, 110), -(1 << 80), 1 << 80):
            assert one.rows_before(tick) == sum(start < tick for start in starts.tolist())
        for row in (-1, len(one)):
            with pytest.raises(IndexError):
                one.start(row)
    assert [timeline.seconds(row) for row in range(len(starts))] == [plain.seconds(row) for row in range(len(starts))]


def test_51_days_at_a_constant_rate_take_no_memory() -> None:
    rows = 4096  # of a chunk
    tracemalloc.start()
    try:
        steady = (SteadyTicks(7 + row0 * 1001, 1001, rows) for row0 in range(0, spec.MAX_TIMELINE_ROWS, rows))
        timeline = Timeline.of(steady, spec.MAX_TIMELINE_ROWS, TIMEBASE)
        last = len(timeline) - 1
        assert last == (1 << 27) - 1
        assert timeline.seconds(last) == pytest.approx(last * 1001 / 30000)
        assert timeline.rows_before(timeline.start(last) + 1) == last + 1
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("until", [None, 500])
def test_lost_times_are_spread_in_pieces(until: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def spread() -> list[list[int]]:
        clock = _Clock((1, 1000))
        clock.add(np.array([10, 40]), np.array([40, 77]))
        return [np.concatenate(column).tolist() for column in zip(*clock.spread(11, until), strict=True)]

    whole = spread()
    assert whole[0][0] == 77
    assert whole[1][-1] == (until or 77 + 11 * 37)
    assert whole[0][1:] == whole[1][:-1]
    monkeypatch.setattr(spec, "MAX_TIMES_ROWS", 4)
    assert spread() == whole


@pytest.mark.parametrize(
    ("rows", "jitter", "kind"),
    [(64, 5, ArrayTicks), (5000, 5, ArrayTicks), (64, 0, SteadyTicks), (1 << 20, 0, SteadyTicks)],
)
def test_real_times_are_kept_as_arrays(rows: int, jitter: int, kind: type) -> None:
    edges = np.arange(rows + 1, dtype=np.int64) * 1000
    edges += np.random.default_rng(0).integers(0, jitter + 1, rows + 1)
    _, ticks = times.ticks_of(times.to_content(0, 0, edges[:-1], edges[1:]), "test")
    assert type(ticks) is kind
    assert [column.tolist() for column in ticks.columns()] == [edges[:-1].tolist(), edges[1:].tolist()]


def test_long_runs_are_decoded_when_they_are_needed() -> None:
    edges = np.arange(1 << 16, dtype=np.int64) * 1000
    edges[-1] += 1
    _, ticks = times.ticks_of(times.to_content(0, 0, edges[:-1], edges[1:]), "test")
    assert type(ticks) is times.CodedTicks
    assert (ticks.first, ticks.rows) == (0, (1 << 16) - 1)
    assert ticks.columns()[1].tolist() == edges[1:].tolist()
