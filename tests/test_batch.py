"""Many inputs: shards, events, and a run in which one failure costs one item."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli import batch
from embdc_cli.batch import EventLog, Shard
from embdc_cli.errors import CorruptArchive, EmbdcError, SourceError, Stopped, UsageError

NAMES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(NAMES, max_size=20), st.integers(1, 9))
def test_shards_are_a_partition_in_order(items: list[str], count: int) -> None:
    parts = [[item for item in items if Shard(index, count).holds(item)] for index in range(count)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    for part in parts:
        assert part == [item for item in items if item in part]


@pytest.mark.parametrize(("item", "shard"), [("a.mp4", 0), ("c.mp4", 1), ("videos/ü.mp4", 5), ("-", 1)])
def test_shard_is_the_first_8_bytes_of_sha256(item: str, shard: int) -> None:
    # printf %s a.mp4 | sha256sum, first 16 digits, modulo 8; an array job of another release must agree
    assert [index for index in range(8) if Shard(index, 8).holds(item)] == [shard]


def jobs_of(count: int) -> list[batch.Document]:
    return [{"input": f"{number}.npy", "output": f"{number}.embdc"} for number in range(count)]


def failing(errors: dict[str, BaseException]) -> Callable[[batch.Document], batch.Document]:
    """Work that fails for the named inputs."""

    def work(job: batch.Document) -> batch.Document:
        if job["input"] in errors:
            raise errors[job["input"]]
        return {"status": "done", "file_bytes": 10, "raw_bytes": 100, "values": 50}

    return work


FAILURES: list[tuple[BaseException, int]] = [
    (SourceError("1.npy: empty"), 8),
    (CorruptArchive("1.npy: wrong"), 5),
    (MemoryError(), 9),
    (KeyError("bug"), 1),
    (OSError(28, "No space left on device"), 9),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_one_failure_costs_one_item(error: BaseException, code: int) -> None:
    items = batch.run(jobs_of(3), failing({"1.npy": error}))
    assert [(item["status"], item["exit"]) for item in items] == [("done", 0), ("failed", code), ("done", 0)]
    assert items[1]["input"] == "1.npy"
    assert items[1]["error"]["message"]
    summary = batch.summary(items, 3)
    assert summary["exit"] == 3
    assert summary["items"] == items
    expected = {"inputs": 3, "done": 2, "failed": 1, "remaining": 0, "file_bytes": 20, "raw_bytes": 200, "values": 100}
    assert summary["totals"] == expected | dict.fromkeys(("skipped", "planned", "incomplete", "stopped"), 0)


def test_fail_fast_stops_after_the_first_failure() -> None:
    items = batch.run(jobs_of(4), failing({"1.npy": SourceError("empty")}), fail_fast=True)
    assert [item["status"] for item in items] == ["done", "failed"]
    summary = batch.summary(items, 4)
    assert (summary["exit"], summary["totals"]["remaining"]) == (3, 2)


STOPS: list[tuple[BaseException, bool, int]] = [
    (Stopped("stopped"), False, 75),
    (KeyboardInterrupt(), False, 130),
    (KeyboardInterrupt(), True, 75),
    (SystemExit(143), False, 143),
    (SystemExit(143), True, 75),
    (SystemExit(75), False, 75),
]


@pytest.mark.parametrize(("stop", "resumable", "code"), STOPS)
def test_a_stop_ends_the_batch(stop: BaseException, resumable: bool, code: int) -> None:
    items = batch.run(jobs_of(4), failing({"1.npy": stop}), resumable=resumable)
    assert [item["status"] for item in items] == ["done", "stopped"]
    summary = batch.summary(items, 4)
    assert summary["exit"] == code
    assert (summary["totals"]["stopped"], summary["totals"]["remaining"]) == (1, 2)


def test_a_stop_with_nothing_done_is_not_resumable() -> None:
    assert batch.run(jobs_of(2), failing({"0.npy": KeyboardInterrupt()}), resumable=True)[0]["exit"] == 130


def test_a_broken_pipe_is_nobodys_failure() -> None:
    with pytest.raises(BrokenPipeError):
        batch.run(jobs_of(2), failing({"0.npy": BrokenPipeError()}))


@pytest.mark.parametrize(("exits", "code"), [([], 0), ([0, 0], 0), ([0, 3], 3), ([4], 3), ([0, 75], 3)])
def test_exit_of_a_batch(exits: list[int], code: int) -> None:
    assert batch.summary([{"status": "done", "exit": exit_code} for exit_code in exits], len(exits))["exit"] == code


def test_documents_without_a_status_count_by_their_exit() -> None:
    totals = batch.summary([{"path": "a", "exit": 0}, {"path": "b", "exit": 5}], 2)["totals"]
    assert (totals["done"], totals["failed"]) == (1, 1)


def test_planned_bytes_are_not_written_bytes() -> None:
    item = {"status": "planned", "exit": 0, "file_bytes": 10, "raw_bytes": 20, "values": 10}
    assert batch.summary([item], 1)["totals"]["file_bytes"] == 0


def test_finished_hears_of_every_item_at_once() -> None:
    heard: list[tuple[str, str]] = []

    def finished(item: batch.Document, error: BaseException | None) -> None:
        heard.append((item["input"], type(error).__name__))

    def work(job: batch.Document) -> batch.Document:
        assert len(heard) == int(job["input"][0])
        if job["input"] == "1.npy":
            raise EmbdcError("broken")
        return {}

    batch.run(jobs_of(3), work, finished=finished)
    assert heard == [("0.npy", "NoneType"), ("1.npy", "EmbdcError"), ("2.npy", "NoneType")]


def read_events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_appended_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text('{"v": 1}\n')
    with EventLog(str(path)) as log:
        items = batch.run(jobs_of(2), failing({"1.npy": SourceError("empty", hint="fill it")}))
        log.write(items[0])
        assert len(read_events(path)) == 2
        log.write(items[1])
    common = {"v": 1, "type": "item"}
    assert read_events(path)[1:] == [
        common | {"input": "0.npy", "output": "0.embdc", "status": "done", "exit": 0, "error": None},
        common
        | {"input": "1.npy", "output": "1.embdc", "status": "failed", "exit": 8}
        | {"error": {"message": "empty", "hint": "fill it"}},
    ]


def test_events_to_a_descriptor_leave_it_open(tmp_path: Path) -> None:
    with open(tmp_path / "events", "wb") as file:
        with EventLog(f"fd:{file.fileno()}") as log:
            log.write({"input": "a", "output": "b", "status": "done", "exit": 0})
        file.write(b"more\n")
    assert (tmp_path / "events").read_bytes().endswith(b'"error": null}\nmore\n')


@pytest.mark.parametrize("target", ["missing/events", "fd:999"])
def test_events_that_cannot_be_written(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"--events: {target}: "):
        EventLog(target)
