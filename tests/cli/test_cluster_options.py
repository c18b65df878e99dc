"""`--engine ray` on the command line: what is handed on, what is refused, and words where Ray is not there."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from embdc_cli.cli import library
from embdc_cli.distributed.cluster import Workers
from tests.cli.documents import encode_document, train_document
from tests.cli.program import Embdc, Fake


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What goes to the cluster, where every item comes back done, the last one first."""
    calls: list[dict[str, Any]] = []

    def encode_on_cluster(jobs: list[Any], options: Any, **how: Any) -> list[Any]:
        calls.append({"jobs": jobs, "options": options, **how})
        items = [encode_document(job["input"], job["output"]) for job in jobs]
        for item in reversed(items):
            how["finished"](item, None)
        return items

    monkeypatch.setattr(library, "encode_on_cluster", encode_on_cluster)
    return calls


def test_a_batch_on_a_cluster(embdc: Embdc, fake: Fake, sent: list[dict[str, Any]], tmp_path: Path) -> None:
    options = ["--json", "--events", "events", "--fail-fast", "--resume"]
    done = embdc("encode", "a.npy", "b.npy", "--engine", "ray", *options)
    assert done.exit == 0
    assert [item["input"] for item in done.json["items"]] == ["a.npy", "b.npy"]
    assert [line[:10] for line in done.err.splitlines()] == ["b.npy -> b", "a.npy -> a"]
    assert len((tmp_path / "events").read_text().splitlines()) == 2
    (call,) = sent
    assert call["jobs"] == [{"input": f"{name}.npy", "output": f"{name}.embdc"} for name in "ab"]
    assert (call["address"], call["workers"]) == (None, Workers(1, 0, None))
    assert (call["fail_fast"], call["resumable"]) == (True, True)
    assert not fake.calls


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        (["-j", "4"], Workers(4, 0)),
        (["--worker-cpus", "0.5", "--workers", "8"], Workers(0.5, 0, 8)),
        (["--worker-gpus", "0.25"], Workers(1, 0.25)),
        (["--worker-gpus", "2", "--worker-cpus", "0"], Workers(0, 2)),
        (["--device", "cuda"], Workers(1, 1)),
        (["--device", "cuda", "--worker-gpus", "0.5"], Workers(1, 0.5)),
    ],
)
def test_what_workers_take(options: list[str], workers: Workers, embdc: Embdc, sent: list[dict[str, Any]]) -> None:
    assert embdc("encode", "a.npy", "--engine", "ray", "--address", "head:6379", *options).exit == 0
    assert (sent[0]["workers"], sent[0]["address"]) == (workers, "head:6379")


@pytest.mark.parametrize("count", [2, 5])
def test_shards_of_a_cluster_are_those_of_a_batch_here(
    count: int, embdc: Embdc, fake: Fake, sent: list[dict[str, Any]]
) -> None:
    names = [f"{number}.npy" for number in range(12)]
    for index in range(count):
        embdc("encode", *names, "--shard", f"{index}/{count}")
        embdc("encode", *names, "--shard", f"{index}/{count}", "--engine", "ray")
    taken = [job["input"] for call in sent for job in call["jobs"]]
    assert taken == [call["source"] for _, call in fake.calls]
    assert sorted(taken) == sorted(names)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-", "-o", "x.embdc"], "--engine ray: not with standard input or output"),
        (["a.npy", "-o", "-"], "--engine ray: not with standard input or output"),
        (["a.npy", "--append", "-o", "x.embdc"], "--append: not with --engine ray"),
        (["a.npy", "--residual-out", "r.npz"], "--residual-out: not with --engine ray"),
        (["a.npy", "--worker-cpus", "0"], "--worker-cpus: expected more than 0 without GPUs"),
        (["a.npy", "--worker-gpus", "1.5"], "expected a number from 0 to 1 or a whole number, found '1.5'"),
        (
            ["a.npy", "--address", "ray://head:10001"],
            "--address: expected HOST:PORT, auto or local, found 'ray://head:",
        ),
        (["a.npy", "--workers", "0"], "--workers: expected a whole number from 1, found '0'"),
    ],
)
def test_refused(args: list[str], message: str, embdc: Embdc, sent: list[dict[str, Any]]) -> None:
    done = embdc("encode", *args, "--engine", "ray")
    assert done.exit == 2
    assert message in done.err.splitlines()[0]
    assert not sent


@pytest.mark.parametrize(
    ("option", "value"), [("--address", "auto"), ("--workers", "1"), ("--worker-cpus", "1"), ("--worker-gpus", "1")]
)
def test_options_that_say_nothing_without_a_cluster(option: str, value: str, embdc: Embdc, fake: Fake) -> None:
    done = embdc("encode", "a.npy", option, value)
    assert (done.exit, done.err) == (2, f"embdc: {option}: only with --engine ray\n")
    assert not fake.calls


def test_ray_that_is_not_installed(embdc: Embdc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = embdc("encode", "a.npy", "--engine", "ray")
    assert done.exit == 9
    assert done.err == "embdc: --engine ray: ray is not installed\nhint: pip install 'embdc[ray]'\n"


def test_a_cluster_that_is_not_there(embdc: Embdc) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{free.getsockname()[1]}"
        done = embdc("encode", "a.npy", "--engine", "ray", "--address", address)
    assert done.exit == 9
    assert done.err == f"embdc: --engine ray: {address}: no cluster there, connection refused\n"


def test_training_on_a_cluster(embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def train(inputs: list[str], output: str, settings: Any, reporter: Any, **place: Any) -> dict[str, Any]:
        calls.append({"inputs": inputs, "output": output, **place})
        return train_document(output)

    monkeypatch.setattr(library, "train_on_cluster", train)
    options = ["--engine", "ray", "--address", "head:6379", "-j", "2", "--workers", "3", "--device", "cuda"]
    assert embdc("train-codebook", "a", "b", "-o", "c", *options, "--json", "-q").json == train_document("c")
    assert calls == [
        {"inputs": ["a", "b"], "output": "c", "address": "head:6379", "workers": Workers(2, 1, 3)},
    ]
    assert not fake.calls


def test_training_on_a_cluster_from_standard_input_is_refused(embdc: Embdc) -> None:
    done = embdc("train-codebook", "-", "-o", "c", "--engine", "ray")
    assert (done.exit, done.err.splitlines()[0]) == (2, "embdc: --engine ray: not with standard input")


def test_training_without_ray(embdc: Embdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a").touch()
    done = embdc("train-codebook", "a", "-o", "c", "--engine", "ray")
    assert done.exit == 9
    assert done.err == "embdc: --engine ray: ray is not installed\nhint: pip install 'embdc[ray]'\n"
