"""Batches on a real Ray cluster of two nodes on this machine: losses, stops, and the bytes of a local run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.cli.app import main
from embdc_cli.distributed.cluster import Workers, connected
from embdc_cli.distributed.outcome import ordered
from embdc_cli.distributed.pool import Pool
from embdc_cli.distributed.worker import Interrupted
from embdc_cli.errors import ResourceError
from tests.distributed.ray_nodes import Nodes
from tests.remote import web_server
from tests.remote.web_server import Web
from tests.synthetic import embeddings


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


def variable(name: str) -> str | None:
    return os.environ.get(name)


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
        again, stopped = pool.stop()
        assert again.value() == "ready", "perhaps the stop came before it was taken"
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


def test_what_workers_take_over(nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBDC_CODEBOOK_PATH", os.pathsep.join(["books", "", "/shared/books"]))
    monkeypatch.setenv("EMBDC_TMPDIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = ["EMBDC_CODEBOOK_PATH", "EMBDC_TMPDIR", "HF_HUB_OFFLINE"]
    with connected(nodes.address), Pool(variable, Workers(cpus=1, count=1)) as pool:
        found = [outcome.value() for outcome in ordered(pool.map(names))]
    assert found == [f"{tmp_path}/books{os.pathsep}/shared/books", None, "1"], "a folder of this machine stays here"


def test_a_cluster_without_room(nodes: Nodes) -> None:
    with connected(nodes.address), pytest.raises(ResourceError) as refused:
        Pool(work, Workers(cpus=0.5, gpus=2))
    assert refused.value.message.startswith("cluster: a worker needs 0.5 CPU and 2 GPU, found nodes of ")
    assert sorted(refused.value.message.partition("nodes of ")[2].split("; ")) == ["1 CPU, 0 GPU", "1 CPU, 1 GPU"]


def command(folder: Path, nodes: Nodes, *options: str) -> subprocess.Popen[str]:
    """`embdc encode` of the list in `folder` on the cluster, with warnings as errors.

    Its words go to `err`, its events to `events`.
    """
    batch = ["encode", "--files-from", "list", "--out-dir", "out", "--events", "events", "--effort", "0", "--json"]
    ray = ["--engine", "ray", "--address", nodes.address]
    with open(folder / "err", "w") as err:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "embdc_cli", *batch, *ray, *options],
            cwd=folder, env={**nodes.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE, stderr=err, text=True,
        )  # fmt: skip


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Late(dict[str, bytes]):
    """Bodies of a web server that come when they are released. asked: who waits for one."""

    def __init__(self, released: threading.Event) -> None:
        self._released = released
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        self._released.wait(120)
        return super().get(name, default)


class Inputs:
    """A list of dumps, of which two are broken, and two behind a web server that does not answer before `release`.

    Both workers come to these after the first four, and whatever the load, there they are.
    """

    def __init__(self, folder: Path, web: Web) -> None:
        self.folder, self._web = folder, web
        self._late = web.bodies = Late(web.released)
        held = [web.url("4.npy"), web.url("5.npy")]
        self.names = [*(f"{number}.npy" for number in range(4)), *held, *(f"{number}.npy" for number in range(6, 10))]
        self.broken = ["0.npy", "9.npy"]
        for number, name in enumerate(self.names):
            np.save(folder / f"{number}.npy", embeddings(seed=number))
            if name in self.broken:
                (folder / name).write_bytes(b"\x93NUMPY\x01\x00broken")
            if name in held:
                self._late[f"{number}.npy"] = (folder / f"{number}.npy").read_bytes()
        (folder / "list").write_text("\n".join(self.names))

    def wait_until_held(self) -> None:
        wait_until(lambda: self._late.asked == {"4.npy", "5.npy"})

    def release(self) -> None:
        self._web.released.set()


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[Inputs]:
    with web_server.running() as web:
        yield Inputs(tmp_path, web)


def test_a_batch_of_which_a_node_is_lost(inputs: Inputs, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    with command(inputs.folder, nodes) as driver:
        inputs.wait_until_held()
        nodes.kill()
        wait_until(lambda: "embdc: note: a worker was lost, " in (inputs.folder / "err").read_text())
        inputs.release()
        out, _ = driver.communicate(timeout=120)
    nodes.add()
    monkeypatch.chdir(inputs.folder)
    assert main(["encode", "--files-from", "list", "--out-dir", "local", "--effort", "0", "-q"]) == 3
    local = {path.name: path.read_bytes() for path in Path("local").iterdir()}
    assert len(local) == len(inputs.names) - len(inputs.broken)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == local

    assert driver.returncode == 3
    assert "(raylet)" not in out + (inputs.folder / "err").read_text()
    document = json.loads(out)
    assert [item["input"] for item in document["items"]] == inputs.names
    assert [item["output"] for item in document["items"]] == [f"out/{number}.embdc" for number in range(10)]
    assert [item["exit"] for item in document["items"]] == [8 if n in inputs.broken else 0 for n in inputs.names]
    assert document["totals"]["failed"] == len(inputs.broken)
    assert sorted(event["input"] for event in events(inputs.folder)) == sorted(inputs.names)


@pytest.mark.parametrize(
    ("number", "options", "code"), [(signal.SIGINT, ["--skip-existing"], 75), (signal.SIGTERM, [], 143)]
)
def test_a_batch_that_is_stopped(number: int, options: list[str], code: int, inputs: Inputs, nodes: Nodes) -> None:
    with command(inputs.folder, nodes, *options) as driver:
        inputs.wait_until_held()
        driver.send_signal(number)
        out, _ = driver.communicate(timeout=60)
    assert driver.returncode == code
    document = json.loads(out)
    statuses = ["failed", "done", "done", "done", "stopped", "stopped"]
    assert [item["status"] for item in document["items"]] == statuses
    assert document["totals"]["remaining"] == 4
    assert sorted(event["status"] for event in events(inputs.folder)) == sorted(statuses)
    done = {item["output"] for item in document["items"] if item["status"] == "done"}
    assert {f"out/{path.name}" for path in (inputs.folder / "out").iterdir()} == done, "nothing half done is left"


def test_a_batch_goes_on_after_its_driver_was_killed(inputs: Inputs, nodes: Nodes) -> None:
    with command(inputs.folder, nodes, "--skip-existing", "--resume") as driver:
        inputs.wait_until_held()
        driver.kill()
        driver.communicate()
    inputs.release()
    (inputs.folder / "events").unlink()
    with command(inputs.folder, nodes, "--skip-existing", "--resume") as driver:
        out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 3
    totals = json.loads(out)["totals"]
    assert (totals["skipped"], totals["done"], totals["failed"]) == (3, 5, 2)
    assert sorted(event["input"] for event in events(inputs.folder)) == sorted(inputs.names)
    assert len(list((inputs.folder / "out").iterdir())) == 8
