"""What batches of a DataLoader come to, against a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import embdc_cli as embdc
from embdc_cli.data.progress import Progress, after_batches


def batches_in_turn(clips: list[int], given_: list[int], size: int, drop_last: bool) -> Iterator[tuple[int, int]]:
    """(worker, clips) of every batch: workers in turn, those without any more left out."""
    left = [count - done for count, done in zip(clips, given_, strict=True)]
    while any(count >= (size if drop_last else 1) for count in left):
        for worker, count in enumerate(left):
            if count >= (size if drop_last else 1):
                yield worker, min(size, count)
                left[worker] -= min(size, count)


@given(st.lists(st.integers(0, 11), min_size=1, max_size=5), st.integers(1, 4), st.booleans(), st.data())
def test_a_loop_that_stops_goes_on_with_the_same_batches(
    clips: list[int], size: int, drop_last: bool, data: st.DataObject
) -> None:
    shares, done = tuple(range(len(clips))), (0,) * len(clips)
    wanted = [(worker, size_) for worker, size_ in batches_in_turn(clips, list(done), size, drop_last)]
    found: list[tuple[int, int]] = []
    for _ in range(3):  # stops
        counts = [clips[share] for share in shares]
        coming = [(shares[worker], many) for worker, many in batches_in_turn(counts, list(done), size, drop_last)]
        taken = data.draw(st.integers(0, len(coming)))
        found += coming[:taken]
        assert found + coming[taken:] == wanted
        shares, done = after_batches(shares, done, counts, size, drop_last, taken)
        assert sorted(shares) == list(range(len(clips)))
    with pytest.raises(embdc.UsageError, match="batches: expected 0 to"):
        after_batches(shares, done, [clips[share] for share in shares], size, drop_last, 1000)


class Counting(IterableDataset[tuple[int, int]]):
    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def __iter__(self) -> Iterator[tuple[int, int]]:
        info = get_worker_info()
        assert info is not None
        return iter([(info.id, number) for number in range(self.counts[info.id])])


@pytest.mark.parametrize("drop_last", [False, True])
def test_that_is_how_a_data_loader_takes_turns(drop_last: bool) -> None:
    counts = [7, 2]
    loader = DataLoader(Counting(counts), batch_size=2, num_workers=2, drop_last=drop_last)
    found = [(int(worker[0]), len(worker)) for worker, _ in loader]
    assert found == list(batches_in_turn(counts, [0, 0], 2, drop_last))


def test_millions_of_batches_take_no_time() -> None:
    shares, done = after_batches((0, 1), (0, 0), [10**12, 10**12 - 5], 1, False, 10**12)
    assert (shares, done) == ((0, 1), (10**12 // 2,) * 2)


@pytest.mark.parametrize("state", [{}, None, {"version": 1}, {"version": 2, "epoch": 0}])
def test_other_states_are_refused(state: dict[str, int]) -> None:
    with pytest.raises(embdc.UsageError, match="state: expected"):
        Progress.of(state)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "x"},
        {"epoch": -1},
        {"given": [5]},
        {"given": [5, -1]},
        {"given": 5},
        {"shares": [0, 2]},
        {"shares": []},
    ],
)
def test_a_state_that_was_changed_is_refused(change: dict[str, Any]) -> None:
    good = Progress(0, (1, 0), (5, 3), 0, 0, 1, 31)
    assert Progress.of(good.state()) == good
    with pytest.raises(embdc.UsageError, match="state: expected what state_dict gave"):
        Progress.of(good.state() | change)
