"""The array job in `samples/slurm/`, run as a scheduler runs it: stopped, preempted, queued again, until it is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from embdc_cli.cli.app import main
from tests.synthetic import embeddings

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "samples" / "slurm" / "encode.sbatch"
JOB = ROOT / "samples" / "kubernetes" / "encode.yaml"
TASKS = 2

EMBDC = f"""#!/bin/sh
echo $$ > "$SPOOL/pid"
exec {sys.executable} -m embdc_cli "$@"
"""
SCONTROL = """#!/bin/sh
test "$1" = requeue && echo "$2" >> "$SPOOL/requeued"
"""


@dataclass
class Scheduler:
    """What Slurm does for the tasks of an array whose script is run in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        for name, script in {"embdc": EMBDC, "scontrol": SCONTROL}.items():
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)

    def start(self, task: int, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        (self.folder / "pid").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "SPOOL": str(self.folder),
            "SLURM_JOB_ID": str(1000 + task),
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": str(TASKS),
            **variables,
        }
        command = ["bash", str(SCRIPT), "list", "out", "--effort", "0", "-q", *options]
        return subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True)

    def requeued(self) -> list[str]:
        """The jobs that were queued again by themselves since the last call."""
        path = self.folder / "requeued"
        jobs = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return jobs

    def events(self, task: int) -> int:
        path = self.folder / f"out-{task}.ndjson"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def wait_for_an_event(self, task: int, process: subprocess.Popen[bytes]) -> None:
        before = self.events(task)
        while self.events(task) == before and process.poll() is None:
            time.sleep(0.02)


def write_inputs(folder: Path, count: int) -> list[str]:
    names = [f"{number}.npy" for number in range(count)]
    for number, name in enumerate(names):
        np.save(folder / name, embeddings(seed=number))
    (folder / "list").write_text("\n".join(names))
    return names


def check_archives(folder: Path, names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of a run without a scheduler, and `embdc cat` joins them."""
    monkeypatch.chdir(folder)
    assert main(["encode", "--files-from", "list", "--out-dir", "local", "--effort", "0", "-q"]) == 0
    local = {path.name: path.read_bytes() for path in Path("local").iterdir()}
    assert len(local) == len(names)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == local
    parts = sorted(str(path) for path in Path("out").iterdir())
    assert main(["cat", "--join", "items", *parts, "-o", "all.embdc", "-q"]) == 0


def test_tasks_that_are_stopped_and_preempted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, slurm = write_inputs(tmp_path, 16), Scheduler(tmp_path)
    endings = []
    for task in range(TASKS):
        with slurm.start(task) as stopped:  # as at the end of --time-limit
            slurm.wait_for_an_event(task, stopped)
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        endings.append((stopped.returncode, slurm.requeued()))
        with slurm.start(task) as preempted:
            slurm.wait_for_an_event(task, preempted)
            os.killpg(preempted.pid, signal.SIGTERM)
        endings.append((preempted.returncode, slurm.requeued()))
        with slurm.start(task) as last:
            pass
        endings.append((last.returncode, slurm.requeued()))
    assert endings == [ending for job in ("1000", "1001") for ending in ((75, [job]), (-signal.SIGTERM, []), (0, []))]
    check_archives(tmp_path, names, monkeypatch)


def test_a_task_with_a_broken_input_is_not_queued_again(tmp_path: Path) -> None:
    names, slurm = write_inputs(tmp_path, 2), Scheduler(tmp_path)
    (tmp_path / names[0]).write_bytes(b"\x93NUMPY")
    with slurm.start(0, SHARDS="1") as task:
        pass
    assert (task.returncode, slurm.requeued()) == (3, [])
    events = [json.loads(line) for line in (tmp_path / "out-0.ndjson").read_text().splitlines()]
    assert [event["exit"] for event in events] == [8, 0]


@pytest.mark.slow
def test_tasks_whose_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, slurm = write_inputs(tmp_path, 80), Scheduler(tmp_path)
    rounds, limit_seconds = [0] * TASKS, 4
    for task in range(TASKS):
        queued = True
        while queued:
            with slurm.start(task, TIME_LIMIT=f"{limit_seconds}s") as process:
                pass
            rounds[task] += 1
            assert process.returncode in (0, 1, 75)
            queued = process.returncode != 0
            assert slurm.requeued() == ([str(1000 + task)] if process.returncode == 75 else [])
            if process.returncode == 1:  # too little for a single input: that is for people to see
                limit_seconds *= 2
    print(f"rounds: {rounds}")
    assert max(rounds) > 1
    check_archives(tmp_path, names, monkeypatch)


def test_the_pods_of_kubernetes_take_all_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = yaml.safe_load(JOB.read_text())["spec"]
    container = spec["template"]["spec"]["containers"][0]
    names = write_inputs(tmp_path, 4)
    monkeypatch.chdir(tmp_path)
    for pod in range(spec["completions"]):
        words = [*container["command"], *container["args"]]
        given = [
            word.replace("$(JOB_COMPLETION_INDEX)", str(pod)).replace("/data/videos.txt", "list") for word in words
        ]
        assert given[0] == "embdc"
        assert main([word.replace("/data/", "") for word in given[1:]] + ["--lossless", "-q"]) == 0
    assert sorted(path.stem for path in (tmp_path / "archives").iterdir()) == [
        name.removesuffix(".npy") for name in names
    ]
    codes = [rule["onExitCodes"]["values"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert codes == [[75], [2, 3]]
