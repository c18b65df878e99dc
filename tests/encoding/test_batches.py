"""Chunks that are coded together come back in order, and are of one segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from embdc_cli.encoding.batches import coded
from embdc_cli.tokens import Cut


@dataclass
class Plan:
    """Of a stream whose segments begin at multiples of ten rows."""

    number: int
    most: int
    seen: list[list[Cut]] = field(default_factory=list)

    def segment_of(self, cut: Cut) -> Any:
        return SimpleNamespace(number=cut[0] // 10)

    def at_once(self, cut: Cut) -> int:
        return self.most

    def code(self, cuts: list[Cut]) -> list[Any]:
        self.seen.append(cuts)
        return [(self.number, cut) for cut in cuts]


def taken(plans: list[Plan], starts: list[int], jobs: int) -> list[list[list[int]]]:
    """What each plan was given at once, of chunks that begin at `starts` in all streams by turns."""
    pieces: list[Any] = [(plan, (start, start + 1)) for start in starts for plan in plans]
    assert list(coded(pieces, jobs)) == [(plan.number, cut) for plan, cut in pieces]
    return [[[start for start, _ in cuts] for cuts in plan.seen] for plan in plans]


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_coder_that_wants_one_gets_one(jobs: int) -> None:
    (found,) = taken([Plan(0, 1)], [0, 1, 2, 15, 16], jobs)
    assert sorted(found) == [[0], [1], [2], [15], [16]]


def test_chunks_of_a_segment_are_together() -> None:
    assert taken([Plan(0, 3)], [0, 1, 2, 3, 15, 16, 17, 18], 1) == [[[0, 1, 2], [3], [15, 16, 17], [18]]]


def test_every_thread_has_a_share() -> None:
    assert sorted(taken([Plan(0, 100)], [0, 1, 2, 3, 4], 2)[0]) == [[0, 1, 2], [3, 4]]


def test_streams_that_take_turns_are_together_by_stream() -> None:
    found = taken([Plan(0, 3), Plan(1, 3)], [0, 1, 2, 3, 4, 5], 1)
    assert found == [[[0, 1, 2], [3, 4], [5]], [[0, 1], [2, 3, 4], [5]]]


def test_no_chunks() -> None:
    assert list(coded([], 3)) == []


def test_what_a_chunk_raises_comes_out() -> None:
    plan = Plan(0, 3)
    plan.code = lambda cuts: cuts[9]  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(IndexError):
        taken([plan], [0, 1], 2)
