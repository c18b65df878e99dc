"""The batch on a cluster, on a pool that works in this process: documents, stops, and items tried again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli import batch, pipeline
from embdc_cli.container.header import recipe_digest
from embdc_cli.distributed import encode, encode_item
from embdc_cli.distributed.cluster import Workers
from embdc_cli.distributed.item import with_absolute_paths
from embdc_cli.distributed.outcome import Outcome
from embdc_cli.distributed.worker import Interrupted
from embdc_cli.encoding.recipe import recipe_of
from embdc_cli.encoding.work import WorkInProgress
from embdc_cli.errors import ResourceError, Stopped
from embdc_cli.failure import TimeLimit
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Silent

LOSSLESS = EncodeOptions(lossless=True)
QUICK = EncodeOptions(effort=0)


class Here:
    """A pool of one worker, which is this process.

    endings: item number -> what happens instead of its work. stopped: what `stop` finds, from the last item begun on.
    """

    def __init__(self, endings: dict[int, BaseException] | None = None, stopped: Iterable[Any] = ()) -> None:
        self.endings, self.stopped = endings or {}, list(stopped)
        self.begun: list[Any] = []

    def __call__(self, function: Callable[[Any], Any], workers: Workers, **_: Any) -> Here:
        self._function = function
        return self

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, items: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        for index, item in enumerate(items):
            self.begun.append(item)
            ending = self.endings.get(index)
            if isinstance(ending, ResourceError):
                yield Outcome(index, item, error=ending)
            elif ending is not None:
                raise ending
            else:
                yield Outcome(index, item, self._function(item))

    def stop(self) -> Iterator[Outcome[Any, Any]]:
        for index, result in enumerate(self.stopped, start=len(self.begun) - 1):
            yield Outcome(index, self.begun[-1], result, Interrupted() if result is None else None)


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.seen: list[tuple[str, int, int | None, str]] = []

    def progress(self, *seen: Any) -> None:
        self.seen.append(seen)

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[batch.Document]]:
    """`encode.run` on a pool `Here`."""

    @contextmanager
    def connected(address: str | None) -> Iterator[None]:
        yield

    def call(jobs: list[batch.Document], pool: Here, **how: Any) -> list[batch.Document]:
        monkeypatch.setattr(encode, "Pool", pool)
        monkeypatch.setattr(encode, "connected", connected)
        rest: dict[str, Any] = {"reporter": Silent(), "finished": lambda item, error: None, "options": QUICK}
        return encode.run(jobs, address=None, workers=Workers(), **(rest | how))

    return call


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[batch.Document]:
    """Four jobs under relative names; the second input is missing."""
    monkeypatch.chdir(tmp_path)
    for number in (0, 2, 3):
        np.save(f"{number}.npy", np.full((2, 3, 4), number, np.float64))
    return [{"input": f"{number}.npy", "output": f"{number}.embdc"} for number in range(4)]


def without_seconds(items: list[batch.Document]) -> list[batch.Document]:
    return [{name: value for name, value in item.items() if name not in ("seconds", "error")} for item in items]


def test_documents_are_those_of_a_batch_here(run: Any, jobs: list[batch.Document]) -> None:
    pool, reporter, told = Here(), Heard(), []
    items = run(jobs, pool, reporter=reporter, finished=lambda item, error: told.append((item, str(error))))
    written = [Path(job["output"]).read_bytes() for job in (jobs[0], *jobs[2:])]
    assert all(Path(path).is_absolute() for item in pool.begun for path in item.job.values())
    assert items == [item for item, _ in told]
    assert told[1][1].endswith("1.npy: no such file")
    assert reporter.notes == [note for note in reporter.notes if "float64" in note]
    assert len(reporter.notes) == 3
    assert reporter.seen == [("encode", done, 4, "inputs") for done in (1, 2, 3, 4)]

    local = batch.run(jobs, lambda job: pipeline.encode(job["input"], job["output"], replace(QUICK, force=True)))
    assert without_seconds(items) == without_seconds(local)
    assert [Path(job["output"]).read_bytes() for job in (jobs[0], *jobs[2:])] == written


def test_fail_fast_begins_nothing_after_a_failure(run: Any, jobs: list[batch.Document]) -> None:
    assert [item["status"] for item in run(jobs, Here(), fail_fast=True)] == ["done", "failed"]


def test_an_input_lost_with_its_workers_fails_alone(run: Any, jobs: list[batch.Document]) -> None:
    items = run(jobs, Here({2: ResourceError("lost with its worker 4 times")}))
    assert [item["exit"] for item in items] == [0, 8, 9, 0]
    assert items[2]["error"]["message"] == "2.npy: lost with its worker 4 times"


KEPT = ({"status": "stopped", "exit": 75, "error": {"message": "kept", "hint": None}}, [])
DROPPED = ({"status": "stopped", "exit": 130, "error": {"message": "interrupted", "hint": None}}, [])
DONE = ({"status": "done", "exit": 0}, [])


@pytest.mark.parametrize(
    ("stop", "at", "under_way", "resumable", "code"),
    [
        (KeyboardInterrupt(), 2, [DROPPED], False, 130),
        (SystemExit(143), 2, [DROPPED], False, 143),
        (TimeLimit(), 2, [None], False, 1),
        (TimeLimit(), 2, [KEPT], False, 75),
        (TimeLimit(), 2, [None], True, 75),
        (TimeLimit(), 0, [None], True, 1),
        (TimeLimit(), 0, [], True, 1),
        (SystemExit(143), 2, [DROPPED, KEPT], False, 75),
        (SystemExit(143), 2, [DONE, DROPPED], True, 75),
    ],
)
def test_a_stop(
    stop: BaseException, at: int, under_way: list[Any], resumable: bool, code: int, run: Any, jobs: list[Any]
) -> None:
    items = run(jobs, Here({at: stop}, under_way), resumable=resumable)
    summary = batch.summary(items, len(jobs))
    assert summary["exit"] == code
    assert summary["totals"]["stopped"] == max(1, len(under_way) - under_way.count(DONE))
    assert [item["input"] for item in items] == [job["input"] for job in jobs[: len(items)]]


def test_a_stop_right_after_an_item_was_taken(run: Any, jobs: list[batch.Document]) -> None:
    """The pool cannot know that it was, and gives it again."""
    told: list[str] = []

    def finished(item: batch.Document, error: BaseException | None) -> None:
        told.append(item["input"])
        if len(told) == 2:
            raise KeyboardInterrupt

    items = run(jobs, Here(stopped=[DROPPED, DROPPED]), finished=finished)
    assert told == ["0.npy", "1.npy", "2.npy"]
    assert [item["status"] for item in items] == ["done", "failed", "stopped"]


def test_nothing_to_do_needs_no_cluster(run: Any) -> None:
    assert run([], None) == []


def sent(tmp_path: Path, **options: Any) -> Any:
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4), np.float32))
    job = {"input": str(tmp_path / "a.npy"), "output": str(tmp_path / "a.embdc")}
    return encode._Item(job, replace(LOSSLESS, **options))


def test_an_item_finished_by_a_worker_that_was_lost_is_not_in_its_own_way(tmp_path: Path) -> None:
    item = sent(tmp_path)
    assert encode._encode(item)[0]["status"] == "done"
    assert encode._encode(item)[0]["exit"] == 7
    assert encode._encode(item.again())[0]["status"] == "skipped"
    other = replace(item, options=replace(LOSSLESS, lossless=False, target_nmse=0.1))
    assert encode._encode(other.again())[0]["exit"] == 7, "what another run has written stays"


def test_a_lock_of_a_lost_worker_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = sent(tmp_path)
    work = WorkInProgress(Path(item.job["output"]), recipe_digest(recipe_of(item.options, None))[:8])
    held = work._locked()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            held.close()

    monkeypatch.setattr(encode.time, "sleep", sleep)
    assert encode._encode(item)[0]["status"] == "done"
    assert len(slept) == 3

    item = replace(item, options=replace(item.options, force=True))
    held = WorkInProgress(work.target, recipe_digest(recipe_of(item.options, None))[:8])._locked()
    monkeypatch.setattr(encode, "BUSY_SECONDS", 0)
    document = encode._encode(item)[0]
    held.close()
    assert document["exit"] == 9
    assert "another process is writing it" in document["error"]["message"]


def test_encode_item_gives_a_document_or_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = sent(tmp_path)
    assert encode_item(item.job, item.options)["status"] == "done"
    assert encode_item({"input": "missing.npy", "output": "x.embdc"}, LOSSLESS)["exit"] == 8
    for stop in (KeyboardInterrupt(), Stopped("kept")):

        def stopping(*_: Any, stop: BaseException = stop) -> Any:
            raise stop

        monkeypatch.setattr(pipeline, "encode", stopping)
        with pytest.raises(type(stop)):
            encode_item(item.job, item.options)


def test_encode_item_in_processes_that_know_nothing(jobs: list[batch.Document]) -> None:
    """As Spark, Dask or Ray Data call it: the function, its item and its options travel as pickles."""
    absolute = [{name: os.path.abspath(path) for name, path in job.items()} for job in jobs]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        items = list(pool.map(partial(encode_item, options=QUICK), absolute))
    assert [item["exit"] for item in items] == [0, 8, 0, 0]
    assert [item["input"] for item in items] == [job["input"] for job in absolute]


def test_files_that_options_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("channel", "patch-dct", "tower"):
        Path(name).mkdir()
    given = EncodeOptions(codebook="c.embdcb", weighting="w.npy", encoder="tower")
    there = EncodeOptions(codebook=f"{tmp_path}/c.embdcb", weighting=f"{tmp_path}/w.npy", encoder=f"{tmp_path}/tower")
    assert with_absolute_paths(given) == there
    words = EncodeOptions(codebook="s3://bucket/c.embdcb", weighting="channel", encoder="patch-dct")
    assert with_absolute_paths(words) == words
    beside = EncodeOptions(add=("a=a.npy@25fps", "b=b.npy@t.npy", "c=d/c.npz", "d=s3://bucket/d.npy@50hz+0.5s"))
    assert with_absolute_paths(beside).add == (
        f"a={tmp_path}/a.npy@25fps",
        f"b={tmp_path}/b.npy@{tmp_path}/t.npy",
        f"c={tmp_path}/d/c.npz",
        "d=s3://bucket/d.npy@50hz+0.5s",
    )
    hub = EncodeOptions(encoder="openai/clip-vit-large-patch14")
    assert with_absolute_paths(hub) == hub
