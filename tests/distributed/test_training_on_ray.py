"""Training on a real Ray cluster of two nodes on this machine, one of which is lost in the middle."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.cli.app import main
from embdc_cli.codebook.training import TrainOptions, train
from embdc_cli.distributed import holding
from embdc_cli.distributed.cluster import Workers, connected
from embdc_cli.distributed.pool import Pool
from embdc_cli.distributed.training import OnCluster
from embdc_cli.reporter import Silent
from tests.codebook.sources import gaussian
from tests.distributed.ray_nodes import Nodes

NAMES = [f"{seed}.npy" for seed in range(6)]


class Killing(Silent):
    """Kills a node when `stage` comes to its item `done`."""

    def __init__(self, nodes: Nodes, stage: str, done: int) -> None:
        self._nodes, self._moment = nodes, (stage, done)
        self.killed = False
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        del total, unit
        if (stage, done) == self._moment:
            self._nodes.kill()
            self.killed = True


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(NAMES):
        np.save(name, gaussian(24, seed=seed))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "stage", "done"),
    [
        ({"holdout": 0.2}, "tables", 2),
        pytest.param(
            {"kind": "vq", "refine": 1, "holdout": 0, "reconstruction": "off"}, "open", 3, marks=pytest.mark.slow
        ),
    ],
)
def test_the_same_codebook_though_a_node_is_lost(
    options: dict[str, Any], stage: str, done: int, inputs: Path, nodes: Nodes
) -> None:
    reporter = Killing(nodes, stage, done)
    engine = OnCluster(NAMES, address=nodes.address, workers=Workers(cpus=1), reporter=reporter)
    try:
        train(NAMES, "ray", TrainOptions(**options), reporter, engine=engine)
    finally:
        nodes.add()
    assert reporter.killed
    assert not holding._open, "no input is read here"
    train(NAMES, "here", TrainOptions(**options))
    assert (inputs / "ray").read_bytes() == (inputs / "here").read_bytes()


def test_a_broken_input_is_told_as_here(inputs: Path, nodes: Nodes, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("2.npy", "4.npy"):
        (inputs / name).write_bytes(b"\x93NUMPY\x01\x00broken")
    command = ["train-codebook", *NAMES, "-o", "c.embdcb"]
    on_ray = ["--engine", "ray", "--address", nodes.address]
    told = [(main([*command, *options]), capfd.readouterr().err) for options in ([], on_ray)]
    assert told[0] == told[1]
    assert told[0][0] == 8
    assert "2.npy" in told[0][1]


def who(item: str) -> int:
    """What a worker says it is."""
    time.sleep(0.02)
    return os.getpid()


def test_items_go_where_what_they_need_is_kept(nodes: Nodes) -> None:
    with connected(nodes.address), Pool(who, Workers(cpus=1)) as pool:
        deadline = time.monotonic() + 60
        while len({outcome.value() for outcome in pool.map("....")}) < 2:  # one may start later
            assert time.monotonic() < deadline
        workers: dict[str, set[int]] = {name: set() for name in "abcd"}
        for items in ("abcd" * 6, "ddddccccbbbbaaaa"):
            found = list(pool.map(items, ahead=8, home=lambda item: item))
            assert sorted(outcome.index for outcome in found) == [*range(len(items))]
            for outcome in found:
                workers[outcome.item].add(outcome.value())
        assert all(len(own) == 1 for own in workers.values())
        assert len(set.union(*workers.values())) == 2
