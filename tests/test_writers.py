"""Outputs under failure: a full disk, a broken one, a closed pipe, kill -9 at any write: the old file or the new."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.scratch import locked_folder
from tests.synthetic import embeddings

OPTIONS: dict[str, Any] = {"chunk_frames": 4, "lossless": True}  # writes as any other codec does, and is fast
WITH_MODELS: dict[str, Any] = {"chunk_frames": 4, "target_nmse": 0.05, "effort": 0}


class Faults:
    """Counts what is done to files, and at the chosen step does something else."""

    def __init__(self, step: int, failure: Callable[[], None]) -> None:
        self.step, self.failure = step, failure
        self.done: list[str] = []

    def next(self, what: str) -> None:
        self.done.append(what)
        if len(self.done) == self.step:
            self.failure()


def fail(number: int) -> Callable[[], None]:
    def failure() -> None:
        raise OSError(number, os.strerror(number))

    return failure


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def faulty(faults: Faults) -> Iterator[Faults]:
    """Every write, flush to disk, truncation and rename of what is opened for writing is a step."""
    real = {name: getattr(os, name) for name in ("fdopen", "fsync", "replace")}

    def fdopen(descriptor: int, *rest: Any, **options: Any) -> Any:
        file = real["fdopen"](descriptor, *rest, **options)
        return Watched(file, faults)

    def stepped(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            faults.next(name)
            return real[name](*arguments)

        return call

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fdopen", fdopen)
        for name in ("fsync", "replace"):
            patched.setattr(os, name, stepped(name))
        yield faults


class Watched:
    """A file whose writes are steps."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data: bytes) -> int:
        self._faults.next("write")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dump and another, archives of both, and a damaged one."""
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        np.save(f"{number}.npy", embeddings(16, 3, 6, seed=number))
        embdc.encode(f"{number}.npy", f"{number}.embdc", **OPTIONS)
    data = bytearray(Path("1.embdc").read_bytes())
    data[600:620] = bytes(20)
    Path("damaged.embdc").write_bytes(data)
    return tmp_path


WRITERS: dict[str, Callable[[], object]] = {
    "encode": lambda: embdc.encode("2.npy", "out", force=True, **OPTIONS),
    "decode": lambda: embdc.decode("2.embdc", "out", format="safetensors", force=True),
    "cat": lambda: embdc.cat(["1.embdc", "2.embdc"], "out", force=True),
    "repair": lambda: embdc.repair("damaged.embdc", "out", force=True),
}


def names() -> list[str]:
    return sorted(os.listdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ESTALE], ids=errno.errorcode.get)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_failure_at_any_step_leaves_the_old_file(folder: Path, writer: str, number: int) -> None:
    Path("out").write_bytes(b"old")
    before = names()
    with faulty(Faults(0, lambda: None)) as steps:
        WRITERS[writer]()
    new = Path("out").read_bytes()
    last_replace = len(steps.done) - steps.done[::-1].index("replace")
    assert steps.done[last_replace - 2] == "fsync"  # what is renamed is on disk
    assert steps.done[last_replace:] == ["fsync"]  # and then the folder
    for step in range(1, len(steps.done) + 1):
        Path("out").write_bytes(b"old")
        with faulty(Faults(step, fail(number))), pytest.raises((OSError, embdc.EmbdcError)) as caught:
            WRITERS[writer]()
        assert Path("out").read_bytes() == (b"old" if step <= last_replace else new)
        assert names() == before
        if number == errno.ENOSPC:
            assert isinstance(caught.value, embdc.ResourceError) or step > last_replace


def forked(work: Callable[[], object]) -> int:
    """How a child process that does `work` ends: 0, or minus the signal."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # the child must never return into pytest
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("write", "every"),
    [
        (WRITERS["encode"], 1),
        (lambda: embdc.encode("2.npy", "out", force=True, **WITH_MODELS), 5),
        (WRITERS["repair"], 1),  # the others write as it does
    ],
    ids=["encode", "models", "repair"],
)
def test_kill_9_at_any_step_leaves_the_old_file_or_the_new_one(
    folder: Path, write: Callable[[], object], every: int
) -> None:
    with faulty(Faults(0, lambda: None)) as steps:
        write()
    new = Path("out").read_bytes()
    before = names()
    for step in range(1, len(steps.done) + 1, every):
        Path("out").write_bytes(b"old")

        def killed(step: int = step) -> None:
            with faulty(Faults(step, kill)):
                write()

        assert forked(killed) == -signal.SIGKILL
        assert Path("out").read_bytes() in (b"old", new)
        write()
        assert Path("out").read_bytes() == new
        assert names() == before, f"left after step {step}"


def append(**options: Any) -> dict[str, Any]:
    return embdc.encode("2.npy", "out", append=True, **OPTIONS, **options)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_append_killed_at_any_step_goes_on(folder: Path) -> None:
    old = Path("1.embdc").read_bytes()
    Path("out").write_bytes(old)
    with faulty(Faults(0, lambda: None)) as steps:
        append()
    new = Path("out").read_bytes()
    assert new == old + Path("2.embdc").read_bytes()
    before = names()
    for step in range(1, len(steps.done) + 1):
        Path("out").write_bytes(old)

        def killed(step: int = step) -> None:
            with faulty(Faults(step, kill)):
                append()

        assert forked(killed) == -signal.SIGKILL
        assert Path("out").read_bytes() in (old, new)
        append(resume=True, skip_existing=True)
        assert Path("out").read_bytes() == new
        append(resume=True, skip_existing=True)
        assert Path("out").read_bytes() == new
        assert [name for name in names() if name not in before] == []


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_an_append_cut_short_goes_on_with_the_same_only(folder: Path, share: float) -> None:
    old, added = (Path(f"{number}.embdc").read_bytes() for number in (1, 2))
    torn = old + added[: int(len(added) * share)]
    Path("out").write_bytes(torn)
    with pytest.raises(embdc.IncompleteError, match="is incomplete"):
        append()
    assert Path("out").read_bytes() == torn
    append(resume=True)
    assert Path("out").read_bytes() == old + added
    other = old + added[: int(len(added) * share)][:-1] + b"!"
    Path("out").write_bytes(other)
    with pytest.raises(embdc.IncompleteError, match="another append"):
        append(resume=True)
    assert Path("out").read_bytes() == other
    Path("out").write_bytes(old[:-9] + added)
    with pytest.raises(embdc.IncompleteError, match="is incomplete"):
        append(resume=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_failed_append_leaves_nothing_behind_the_old_tail(folder: Path, number: int) -> None:
    old = Path("1.embdc").read_bytes()
    Path("out").write_bytes(old)
    with faulty(Faults(0, lambda: None)) as steps:
        append()
    before = names()
    for step in range(1, len(steps.done) + 1):
        Path("out").write_bytes(old)
        with faulty(Faults(step, fail(number))), pytest.raises((OSError, embdc.EmbdcError)):
            append()
        assert Path("out").read_bytes() == old
        assert names() == before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "1.npy", "-o", "new.embdc", "--lossless"],
        ["decode", "1.embdc", "-o", "new.npy", "--dtype", "f32"],
        ["cat", "1.embdc", "2.embdc", "-o", "new.embdc"],
        ["repair", "damaged.embdc", "-o", "new.embdc"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_disk_that_fills_up_is_exit_9(folder: Path, arguments: list[str], tmp_path_factory: Any) -> None:
    """For real: the system refuses to let a file grow."""
    said = tmp_path_factory.mktemp("said") / "words"

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with open(said, "w") as sys.stderr:
            code = main(arguments)
        os._exit(code)

    before = names()
    assert forked(limited) == 9
    assert "no space left" in said.read_text()
    assert names() == before


@pytest.mark.parametrize("command", [["cat", "1.embdc", "2.embdc"], ["decode", "1.embdc"], ["repair", "damaged.embdc"]])
def test_a_closed_pipe_is_nobodys_failure(folder: Path, command: list[str]) -> None:
    before = names()
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "embdc_cli", *command, "-o", "-"], stdout=write, stderr=subprocess.PIPE
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    assert names() == before


def test_what_a_killed_process_left_is_removed_and_nothing_else(folder: Path) -> None:
    stale = [".out.part-abcd1234", ".out.part-0123abcd.plan", ".out.part-1.plan.new"]
    kept = [".other.part-abcd1234", ".out.part-12345678", ".out.part-12345678.plan", "out.part-x"]
    for name in (*stale, *kept):
        Path(name).write_bytes(b"")
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys\nfile = open('.out.part-living', 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
            "print(flush=True)\nsys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as living:
        assert living.stdout is not None
        living.stdout.readline()
        WRITERS["cat"]()
        assert [name for name in stale if Path(name).exists()] == []
        assert all(Path(name).exists() for name in (*kept, ".out.part-living"))
        living.communicate()
    WRITERS["cat"]()
    assert not Path(".out.part-living").exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_standard_output_leaves_nothing_in_the_folder_for_temporary_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process leaves a folder, and the next one deletes it; not that of a living one, nor any other."""
    scratch = folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("EMBDC_TMPDIR", str(scratch))
    (scratch / ".embdc-other").mkdir()
    (scratch / ".embdc-scratch-link").symlink_to(folder)

    def encode() -> None:
        with open(os.devnull, "w") as nowhere, pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stdout", nowhere)
            embdc.encode("2.npy", "-", **OPTIONS)

    with faulty(Faults(0, lambda: None)) as steps:
        encode()
    kept = [".embdc-other", ".embdc-scratch-link"]
    assert sorted(os.listdir(scratch)) == kept

    def killed() -> None:
        with faulty(Faults(len(steps.done) // 2, kill)):
            encode()

    assert forked(killed) == -signal.SIGKILL
    assert len(os.listdir(scratch)) == 3
    living = locked_folder()
    encode()
    assert sorted(os.listdir(scratch)) == sorted([*kept, living.path.name])
    living.close()
    assert sorted(os.listdir(scratch)) == kept
    assert (folder / "2.npy").exists()


def test_two_appends_at_once_do_not_mix(folder: Path) -> None:
    np.save("big.npy", embeddings(400, 16, 24))
    Path("out").write_bytes(Path("1.embdc").read_bytes())
    command = [sys.executable, "-m", "embdc_cli", "encode", "-o", "out", "--append", "-q"]
    # of two by the same recipe the second is refused while the first one works (exit 9)
    runs = [subprocess.Popen([*command, *rest]) for rest in (["--lossless", "big.npy"], ["--effort", "0", "2.npy"])]
    assert [run.wait() for run in runs] == [0, 0]
    assert embdc.verify("out")["ok"]
    assert len(embdc.open("out")) == 3


def test_a_batch_with_broken_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 inputs, 10 of them broken; mended, a second run does those and nothing else."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("in")
    for number in range(200):
        np.save(f"in/{number:03}.npy", embeddings(4, 2, 4, seed=number))
    good = Path("in/000.npy").read_bytes()
    broken = [f"in/{number:03}.npy" for number in range(7, 200, 20)]
    for name in broken:
        Path(name).write_bytes(good[:-30])
    Path("list").write_text("".join(f"in/{number:03}.npy\n" for number in range(200)))
    command = ["encode", "--files-from", "list", "--out-dir", "out", "--lossless", "-q", "--skip-existing"]
    assert main([*command, "--events", "first"]) == 3
    assert len(os.listdir("out")) == 190
    first = [event_of(line) for line in Path("first").read_text().splitlines()]
    assert [event["input"] for event in first if event["exit"]] == broken
    assert {event["status"] for event in first if not event["exit"]} == {"done"}
    written = {name: os.stat(f"out/{name}").st_mtime_ns for name in os.listdir("out")}
    for name in broken:
        Path(name).write_bytes(good)
    assert main([*command, "--events", "second"]) == 0
    second = [event_of(line) for line in Path("second").read_text().splitlines()]
    assert [event["input"] for event in second if event["status"] == "done"] == broken
    assert len(os.listdir("out")) == 200
    assert {name: os.stat(f"out/{name}").st_mtime_ns for name in written} == written


def event_of(line: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line)
    assert event["type"] == "item"
    return event


def test_shards_at_the_same_time_never_touch_the_same_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        np.save(f"{number}.npy", embeddings(4, 2, 4, seed=number))
    Path("list").write_text("".join(f"{number}.npy\n" for number in range(24)))
    command = [
        sys.executable,
        "-m",
        "embdc_cli",
        "encode",
        "--files-from",
        "list",
        "--out-dir",
        "out",
        "--lossless",
        "-q",
    ]
    runs = [subprocess.Popen([*command, "--shard", f"{shard}/2", "--events", f"{shard}"]) for shard in (0, 1)]
    assert [run.wait() for run in runs] == [0, 0]
    done = [[event_of(line)["output"] for line in Path(f"{shard}").read_text().splitlines()] for shard in (0, 1)]
    assert sorted(done[0] + done[1]) == sorted(f"out/{number}.embdc" for number in range(24))
    assert all(done)
    assert sorted(os.listdir("out")) == sorted(f"{number}.embdc" for number in range(24))
