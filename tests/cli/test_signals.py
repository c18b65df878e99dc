"""Signals and time limits: 75, 130, 143, silence on a closed pipe, and a second signal that ends at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.cli import signals
from embdc_cli.errors import Stopped
from tests.cli.program import Embdc, Fake
from tests.synthetic import embeddings

ENDINGS = [(signal.SIGINT, 130, "embdc: interrupted"), (signal.SIGTERM, 143, "embdc: terminated")]


def killing(number: int) -> Callable[..., Any]:
    """An answer that is hit by a signal."""

    def answer(**_: Any) -> Any:
        os.kill(os.getpid(), number)
        time.sleep(30)
        raise AssertionError("the signal did not arrive")

    return answer


@pytest.mark.parametrize(("number", "code", "line"), ENDINGS)
@pytest.mark.parametrize("command", ["encode", "decode"])
def test_signal(embdc: Embdc, fake: Fake, command: str, number: int, code: int, line: str) -> None:
    before = [signal.getsignal(ending) for ending, _, _ in ENDINGS]
    fake.answers[command] = killing(number)
    done = embdc(command, "a.npy", "-o", "b")
    assert (done.exit, done.out, done.err) == (code, "", f"{line}\n")
    assert [signal.getsignal(ending) for ending, _, _ in ENDINGS] == before


def test_signal_with_json_is_one_document(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = killing(signal.SIGTERM)
    done = embdc("encode", "a.npy", "b.npy", "--json")
    assert done.exit == done.json["exit"] == 143
    assert [item["status"] for item in done.json["items"]] == ["stopped"]
    fake.answers["decode"] = killing(signal.SIGINT)
    assert embdc("decode", "a", "-o", "b", "--json").json == {
        "error": {"message": "interrupted", "hint": None},
        "exit": 130,
    }


@pytest.mark.parametrize("flag", ["--resume", "--skip-existing"])
def test_a_batch_that_can_go_on_is_stopped_not_interrupted(embdc: Embdc, fake: Fake, flag: str) -> None:
    def answer(source: str, **_: Any) -> Any:
        return killing(signal.SIGINT)() if source == "b.npy" else {"status": "skipped", "input": "a", "output": "b"}

    fake.answers["encode"] = answer
    assert embdc("encode", "a.npy", "b.npy", "c.npy", flag).exit == 75
    assert embdc("encode", "a.npy", "b.npy", "c.npy").exit == 130


def test_library_turns_a_signal_into_stopped(embdc: Embdc, fake: Fake) -> None:
    def answer(**_: Any) -> Any:
        try:
            killing(signal.SIGTERM)()
        except SystemExit as stop:
            raise Stopped("encode: b: stopped; what is done is kept", hint="the same with --resume goes on") from stop

    fake.answers["encode"] = answer
    done = embdc("encode", "a.npy", "-o", "b")
    assert (done.exit, done.err.splitlines()[0]) == (75, "embdc: encode: b: stopped; what is done is kept")


TIME_LIMITED = """
import os, sys, time
from embdc_cli.cli.app import main
from embdc_cli.encoding.work import WorkInProgress

start = WorkInProgress.start

def slow(self, state):
    part = start(self, state)
    time.sleep(60)
    return part

WorkInProgress.start = slow
os.chdir({folder!r})
sys.exit(main(["encode", "a.npy", "--time-limit", "10s"]))
"""


def sleeping(**_: Any) -> Any:
    """An answer that takes longer than any time limit here."""
    time.sleep(30)
    raise AssertionError("the time limit did not strike")


@pytest.mark.parametrize("limit", ["0", "0.05s"])
def test_time_limit_before_anything_is_kept(embdc: Embdc, fake: Fake, limit: str) -> None:
    fake.answers["encode"] = sleeping
    done = embdc("encode", "a.npy", "b.npy", "--resume", "--time-limit", limit, "--json")
    assert done.exit == done.json["exit"] == 1
    assert done.err.splitlines()[0] == "embdc: stopped, the time limit is over and nothing is kept"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_time_limit_after_an_input_is_done(embdc: Embdc, fake: Fake) -> None:
    def answer(source: str, **_: Any) -> Any:
        return sleeping() if source == "b.npy" else {"status": "done", "input": "a", "output": "b"}

    fake.answers["encode"] = answer
    for flags, code in ((("--resume",), 75), (("--skip-existing",), 75), ((), 1)):
        assert embdc("encode", "a.npy", "b.npy", "c.npy", "--time-limit", "0.2s", "--json", *flags).exit == code


def test_time_limit_with_work_kept(tmp_path: Path) -> None:
    """The real program, stopped while it writes: 75 and resumable."""
    np.save(tmp_path / "a.npy", embeddings())
    work = TIME_LIMITED.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert done.stderr.splitlines()[0].endswith("a.embdc: stopped; what is done is kept")
    assert list(tmp_path.glob(".a.embdc.part-*.plan"))


def test_time_limit_that_is_not_reached(embdc: Embdc, fake: Fake) -> None:
    assert embdc("encode", "a.npy", "--time-limit", "1h").exit == 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_off_the_main_thread_nothing_changes() -> None:
    entered = []

    def work() -> None:
        with signals.raising(), signals.time_limit(0):
            entered.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [(0.0, 0.0)]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.raising():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


STUBBORN = """
import sys, time
from embdc_cli.cli import library
from embdc_cli.cli.app import main

def decode(*_):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(60)

library.decode = decode
sys.exit(main(["decode", "a", "-o", "b"]))
"""


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == -signal.SIGTERM


def run_program(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "embdc_cli", *args], check=False, **options)


BROKEN = """
import sys
from embdc_cli.cli import library
from embdc_cli.cli.app import main

def decode(*_):
    sys.stdout.buffer.write(b"x" * 100_000)  # fails on the way
    sys.stdout.buffer.write(b"x")

library.decode = decode
sys.exit(main(["decode", "a", "-o", "-"]))
"""


@pytest.mark.parametrize("arguments", [["-m", "embdc_cli", "completion", "bash"], ["-c", BROKEN]])
def test_a_closed_pipe_is_silent(arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run([sys.executable, *arguments], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout() -> None:
    with open("/dev/full", "wb") as full:
        done = run_program("completion", "bash", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 9
    assert done.stderr.splitlines() == [b"embdc: no space left on device"]


def test_closed_standard_streams_do_not_matter() -> None:
    for redirection in (">&-", "2>&-", ">&- 2>&- <&-"):
        command = f"{sys.executable} -m embdc_cli encode --nonsense {redirection}"
        assert subprocess.run(command, shell=True, stderr=subprocess.DEVNULL, check=False).returncode == 2
