"""Batches on a real Ray cluster of two nodes on this machine: losses, stops, and the bytes of a local run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.cli.app import main
from embdc_cli.distributed.cluster import Interrupted, Pool, Workers, connected, ordered
from embdc_cli.errors import ResourceError
from tests.distributed.ray_nodes import Nodes
from tests.synthetic import embeddings

COUNT, BROKEN = 40, (0, 17, 39)


def work(item: Any) -> Any:
    """What workers of these tests do: the item says it."""
    if item == "die":
        os._exit(1)
    if item == "raise":
        raise ValueError("no such item")
    if item == "wait":
        while True:
            time.sleep(0.01)
    return item


def visible_gpus(item: int) -> tuple[int, str | None]:
    time.sleep(0.1)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def test_outcomes_of_a_pool(nodes: Nodes, capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    taken = 0

    def items() -> Iterator[Any]:
        nonlocal taken
        for item in ("die", "raise", *range(20)):
            taken += 1
            yield item

    with connected(nodes.address), Pool(work, Workers(cpus=1), retries=1, note=heard.append) as pool:
        assert pool.count == 2
        outcomes = {}
        for outcome in pool.map(items()):
            outcomes[outcome.index] = outcome
            assert taken <= len(outcomes) + pool.count + 1, "items are read no further than workers are free"
        lost, failed = outcomes[0].error, outcomes[1].error
        assert isinstance(lost, ResourceError)
        assert lost.message.startswith("lost with its worker 2 times, at last because its worker process has died")
        assert heard == [f"a worker was lost, its worker process has died (SYSTEM_ERROR): {AGAIN}"]
        assert isinstance(failed, ValueError)
        assert [outcomes[index].value() for index in range(2, 22)] == list(range(20))

        assert [outcome.value() for outcome in ordered(pool.map(range(9), ahead=2))] == list(range(9))

        waiting = pool.map(["wait", "ready"])
        assert next(waiting).item == "ready"
        (stopped,) = pool.stop()
        assert stopped.item == "wait"
        assert isinstance(stopped.error, Interrupted)
    assert tuple(capfd.readouterr()) == ("", ""), "Ray has words for every worker that dies"


AGAIN = "its item is tried again (1 of 1)"


def test_workers_share_a_gpu(nodes: Nodes) -> None:
    with connected(nodes.address), Pool(visible_gpus, Workers(cpus=0.5, gpus=0.5)) as pool:
        assert pool.count == 2
        found: dict[int, str | None] = {}
        for outcome in pool.map(range(1000)):
            process, gpus = outcome.value()
            found[process] = gpus
            if len(found) == 2:
                break
    assert list(found.values()) == ["0", "0"]


def test_a_cluster_without_room(nodes: Nodes) -> None:
    with connected(nodes.address), pytest.raises(ResourceError) as refused:
        Pool(work, Workers(cpus=0.5, gpus=2))
    assert refused.value.message.startswith("cluster: a worker needs 0.5 CPU and 2 GPU, found nodes of ")
    assert sorted(refused.value.message.partition("nodes of ")[2].split("; ")) == ["1 CPU, 0 GPU", "1 CPU, 1 GPU"]


def command(folder: Path, nodes: Nodes, *options: str) -> subprocess.Popen[str]:
    """`embdc encode` of the list in `folder` on the cluster, with warnings as errors; events go to `events`."""
    batch = ["encode", "--files-from", "list", "--out-dir", "out", "--events", "events", "--effort", "0", "--json"]
    ray = ["--engine", "ray", "--address", nodes.address]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "embdc_cli", *batch, *ray, *options],
        cwd=folder, env={**nodes.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_events(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(events(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with a list of dumps, of which three are broken."""
    names = [f"{number}.npy" for number in range(COUNT)]
    for number, name in enumerate(names):
        np.save(tmp_path / name, embeddings(seed=number))
        if number in BROKEN:
            (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00broken")
    (tmp_path / "list").write_text("\n".join(names))
    return tmp_path


def test_a_batch_of_which_a_node_is_lost(inputs: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    with command(inputs, nodes) as driver:
        wait_for_events(inputs, 5)
        nodes.kill()
        out, err = driver.communicate(timeout=120)
    nodes.add()
    monkeypatch.chdir(inputs)
    assert main(["encode", "--files-from", "list", "--out-dir", "local", "--effort", "0", "-q"]) == 3
    local = {path.name: path.read_bytes() for path in (inputs / "local").iterdir()}
    assert len(local) == COUNT - len(BROKEN)
    assert {path.name: path.read_bytes() for path in (inputs / "out").iterdir()} == local

    assert driver.returncode == 3
    assert "embdc: note: a worker was lost, " in err
    assert "(raylet)" not in out + err
    document = json.loads(out)
    assert [item["input"] for item in document["items"]] == [f"{number}.npy" for number in range(COUNT)]
    assert {item["output"] for item in document["items"]} == {f"out/{number}.embdc" for number in range(COUNT)}
    assert [item["exit"] for item in document["items"]] == [8 if n in BROKEN else 0 for n in range(COUNT)]
    assert document["totals"]["failed"] == len(BROKEN)
    assert sorted(event["input"] for event in events(inputs)) == sorted(f"{number}.npy" for number in range(COUNT))


@pytest.mark.parametrize(
    ("number", "options", "code"), [(signal.SIGINT, ["--skip-existing"], 75), (signal.SIGTERM, [], 143)]
)
def test_a_batch_that_is_stopped(number: int, options: list[str], code: int, inputs: Path, nodes: Nodes) -> None:
    with command(inputs, nodes, *options) as driver:
        wait_for_events(inputs, 3)
        driver.send_signal(number)
        out, _ = driver.communicate(timeout=60)
    assert driver.returncode == code
    document = json.loads(out)
    totals = document["totals"]
    assert totals["stopped"] >= 1
    assert totals["remaining"] >= 1
    assert [event["status"] for event in events(inputs)].count("stopped") == totals["stopped"]
    done = {item["output"] for item in document["items"] if item["status"] == "done"}
    assert {f"out/{path.name}" for path in (inputs / "out").iterdir()} == done, "nothing half done is left"


def test_a_batch_goes_on_after_its_driver_was_killed(inputs: Path, nodes: Nodes) -> None:
    names = [f"{number}.npy" for number in range(16)]
    (inputs / "list").write_text("\n".join(names))
    with command(inputs, nodes, "--skip-existing", "--resume") as driver:
        wait_for_events(inputs, 5)
        driver.kill()
        driver.communicate()
    (inputs / "events").unlink()
    with command(inputs, nodes, "--skip-existing", "--resume") as driver:
        out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 3
    totals = json.loads(out)["totals"]
    assert totals["skipped"] >= 4
    assert totals["done"] + totals["skipped"] == 15
    assert sorted(event["input"] for event in events(inputs)) == sorted(names)
    assert len(list((inputs / "out").iterdir())) == 15
