"""Training on a pool that works in this process: the bytes, the words and the failures of a training here."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli import pipeline
from embdc_cli.codebook.training import TrainOptions, train
from embdc_cli.distributed import holding, training
from embdc_cli.distributed.cluster import Workers
from embdc_cli.distributed.holding import Distant, Input, described
from embdc_cli.distributed.outcome import Lost, Outcome
from embdc_cli.distributed.training import OnCluster
from embdc_cli.errors import EmbdcError, ResourceError, SourceError, Stopped
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.values import Dump
from tests.codebook.sources import gaussian

NAMES = ("0.npy", "1.npy", "2.npy", "3.embdc")


class Shuffling:
    """A pool in this process that finishes calls in any order, each after a journey as bytes."""

    count = 3

    def __init__(self, function: Callable[[Any], Any], workers: Workers, **_: Any) -> None:
        self._function = function
        self.homes: list[Hashable | None] = []

    def __enter__(self) -> Shuffling:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(
        self, items: Iterable[Any], *, ahead: int, home: Callable[[Any], Hashable | None]
    ) -> Iterator[Outcome[Any, Any]]:
        numbered = list(enumerate(items))
        random.Random(len(numbered)).shuffle(numbered)
        for index, item in numbered:
            self.homes.append(home(item))
            try:
                result = self._function(pickle.loads(pickle.dumps(item)))
            except EmbdcError as error:
                yield Outcome(index, item, error=pickle.loads(pickle.dumps(error)))
            else:
                yield Outcome(index, item, result)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Inputs by relative names, a pool in this process, and no input open before and after."""

    @contextmanager
    def connected(address: str | None) -> Iterator[None]:
        yield

    monkeypatch.setattr(training, "connected", connected)
    monkeypatch.setattr(training, "Pool", Shuffling)
    monkeypatch.chdir(tmp_path)
    for seed in range(4):
        np.save(f"{seed}.npy", gaussian(24, seed=seed))
    pipeline.encode("3.npy", "3.embdc", EncodeOptions(lossless=True))
    yield tmp_path
    close_all()


def close_all() -> None:
    """What the end of a worker does."""
    while holding._open:
        for dump in holding._open.popitem()[1]:
            dump.close()


def on_cluster(*names: str, output: str = "ray", reporter: Reporter | None = None, **options: Any) -> dict[str, Any]:
    engine = OnCluster(names, address=None, workers=Workers(), reporter=reporter or Silent())
    return train(names, output, TrainOptions(**options), reporter, engine=engine)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, NAMES),
        ({}, NAMES[:1]),  # parted by rows
        ({"sample": 300, "reconstruction": "on"}, NAMES),
        ({"kind": "vq", "refine": 1, "reconstruction": "off"}, NAMES),
    ],
)
def test_the_same_codebook_and_document(options: dict[str, Any], names: tuple[str, ...], folder: Path) -> None:
    found = on_cluster(*names, **options)
    here = train(names, "here", TrainOptions(**options))
    assert (folder / "ray").read_bytes() == (folder / "here").read_bytes()
    for document in (found, here):
        del document["output"]
        if document["reconstruction"] is not None:
            del document["reconstruction"]["seconds_per_value"]
    assert found == here


def test_a_training_begun_here_goes_on_there(folder: Path) -> None:
    class Watched(Silent):
        def __init__(self, last: str | None = None) -> None:
            self.stages: set[str] = set()
            self._last = last

        def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
            self.stages.add(stage)
            if stage == self._last:
                raise SystemExit(143)

    with pytest.raises(Stopped):
        train(NAMES, "ray", TrainOptions(), Watched("tables"))
    resumed = Watched()
    on_cluster(*NAMES, reporter=resumed, resume=True)
    assert resumed.stages == {"open", "tables", "held-out report"}
    train(NAMES, "here", TrainOptions())
    assert (folder / "ray").read_bytes() == (folder / "here").read_bytes()


def broken(folder: Path) -> None:
    (folder / "1.npy").write_bytes(b"\x93NUMPY\x01\x00broken")
    (folder / "2.npy").write_bytes(b"\x93NUMPY\x01\x00broken")


def missing(folder: Path) -> None:
    (folder / "2.npy").unlink()


def not_finite(folder: Path) -> None:
    array = gaussian(24, seed=1)
    array[20] = np.nan
    for name in ("1.npy", "2.npy"):
        np.save(name, array)


def other_channels(folder: Path) -> None:
    np.save("1.npy", gaussian(24, channels=8))


@pytest.mark.parametrize("damage", [broken, missing, not_finite, other_channels])
def test_a_failure_is_told_as_here(damage: Callable[[Path], None], folder: Path) -> None:
    damage(folder)
    found = []
    for run in (on_cluster, lambda *names: train(names, "here")):
        with pytest.raises(EmbdcError) as caught:
            run(*NAMES)
        found.append((type(caught.value), caught.value.message, caught.value.hint))
    assert found[0] == found[1]
    assert str(folder) not in found[0][1]


def test_an_input_that_is_lost_with_its_workers_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Losing(Shuffling):
        def map(self, items: Iterable[Any], **how: Any) -> Iterator[Outcome[Any, Any]]:
            for outcome in super().map(items, **how):
                lost = Lost("lost with its worker 4 times, at last because memory ran out")
                yield Outcome(outcome.index, outcome.item, error=lost) if outcome.index == 2 else outcome

    monkeypatch.setattr(training, "Pool", Losing)
    with pytest.raises(ResourceError) as caught:
        on_cluster(*NAMES)
    assert caught.value.message == "2.npy: lost with its worker 4 times, at last because memory ran out"


def test_videos_stay_where_they_were_embedded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else may go anywhere, and only so many of them are held open."""
    opened: list[str] = []
    closed: list[str] = []

    def open_any(name: str, reading: EncodeOptions, reporter: Reporter) -> Iterator[Dump]:
        opened.append(Path(name).name)
        for dump in real(name, reading, reporter):
            dump.source["kind"] = "video" if name.endswith("1.npy") else "npy"
            dump.close = partial(closing, Path(name).name, dump.close)
            yield dump

    def closing(name: str, close: Callable[[], None]) -> None:
        close()
        closed.append(name)

    real = holding.open_any
    monkeypatch.setattr(holding, "open_any", open_any)
    monkeypatch.setattr(holding, "MOST_HELD", 1)
    pools: list[Shuffling] = []
    monkeypatch.setattr(training, "Pool", lambda *one, **more: pools.append(Shuffling(*one, **more)) or pools[-1])
    on_cluster(*NAMES, holdout=0)
    assert opened.count("1.npy") == 1
    assert opened.count("0.npy") > 1
    assert "1.npy" not in closed
    assert len(closed) == len(opened) - 2
    (pool,) = pools
    assert set(pool.homes[: len(NAMES)]) == {str(folder / name) for name in NAMES}, "each may turn out to be a video"
    assert set(pool.homes[len(NAMES) :]) == {None, str(folder / "1.npy")}


def test_an_input_that_changes_meanwhile_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dump,) = described(Input(str(folder / "0.npy"), EncodeOptions()), Silent())
    (tensor,) = dump.tensors
    assert isinstance(tensor, Distant)
    assert np.array_equal(tensor.read(3, 5), np.load("0.npy")[3:5])
    close_all()
    np.save("0.npy", gaussian(23))
    with pytest.raises(SourceError, match="changed since it was opened first"):
        tensor.read(3, 5)
