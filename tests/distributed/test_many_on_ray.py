"""A thousand inputs on a Ray cluster that loses a node, and whose driver is killed. Minutes; prints figures (`-rP`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from tests.distributed.ray_nodes import Nodes
from tests.synthetic import embeddings

pytestmark = pytest.mark.slow

COUNT = 1000
BROKEN = range(7, COUNT, 50)


def encode(folder: Path, nodes: Nodes, run: str) -> subprocess.Popen[bytes]:
    """The batch; its events go to the file `run`, its words to `run`.err."""
    options = ["--files-from", "list", "--out-dir", "out", "--effort", "0", "--skip-existing", "--resume"]
    ray = ["--engine", "ray", "--address", nodes.address, "--events", run, "--json"]
    with open(folder / f"{run}.err", "wb") as err, open(folder / f"{run}.out", "wb") as out:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "embdc_cli", "encode", *options, *ray],
            cwd=folder, env={**nodes.environment, "PYTHONPATH": str(Path(__file__).parents[2])}, stdout=out, stderr=err,
        )  # fmt: skip


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(path: Path, count: int) -> None:
    deadline = time.monotonic() + 1200
    while len(events(path)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_thousand_inputs(tmp_path: Path, nodes: Nodes) -> None:
    assert len(BROKEN) == 20
    names = [f"{number}.npy" for number in range(COUNT)]
    for number, name in enumerate(names):
        np.save(tmp_path / name, embeddings(frames=24, tokens=8, channels=16, seed=number))
        if number in BROKEN:
            os.truncate(tmp_path / name, 100)
    (tmp_path / "list").write_text("\n".join(names))

    begun = time.monotonic()
    with encode(tmp_path, nodes, "first") as driver:
        wait_for(tmp_path / "first", 200)
        nodes.kill()
        wait_for(tmp_path / "first", 500)
        driver.kill()
    first = time.monotonic() - begun
    found = len(list((tmp_path / "out").glob("*.embdc")))
    with encode(tmp_path, nodes, "second") as driver:
        assert driver.wait(timeout=1200) == 3
    nodes.add()
    second = time.monotonic() - begun - first

    status = Counter(event["status"] for event in events(tmp_path / "second"))
    lost = (tmp_path / "first.err").read_text().count("a worker was lost")
    print(
        f"{len(events(tmp_path / 'first'))} items in {first:.0f} s, {lost} workers lost; rerun {second:.0f} s {status}"
    )
    assert lost >= 1
    assert sorted(event["input"] for event in events(tmp_path / "second")) == sorted(names)
    assert status["failed"] == len(BROKEN)
    assert status["skipped"] >= found
    assert json.loads((tmp_path / "second.out").read_text())["totals"]["failed"] == len(BROKEN)
    assert len(list((tmp_path / "out").iterdir())) == COUNT - len(BROKEN)
    for number in set(range(COUNT)) - set(BROKEN):
        embdc.encode(str(tmp_path / f"{number}.npy"), str(tmp_path / "local"), effort=0, force=True)
        assert (tmp_path / "local").read_bytes() == (tmp_path / "out" / f"{number}.embdc").read_bytes()
