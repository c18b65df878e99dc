"""The same input and options give the same bytes, whatever the jobs, the way in, or an interruption."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.writing import NullOutput
from embdc_cli.failure import Failure
from tests.synthetic import embeddings

OPTIONS: list[dict[str, Any]] = [
    {"target_nmse": 0.05, "chunk_frames": 8},
    {"target_bpv": 2.5, "chunk_frames": 8},
    {"lossless": True, "chunk_frames": 8},
    {"one_pass": True, "target_nmse": 0.05, "chunk_frames": 8},
]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.npy"
    np.save(path, embeddings(100))
    return path


def encoded(source: Any, folder: Path, name: str = "a.embdc", **options: Any) -> bytes:
    out = folder / name
    embdc.encode(source, str(out), force=True, **options)
    return out.read_bytes()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_jobs_repetition_and_a_pipe_change_nothing(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    first = encoded(str(dump), tmp_path, **options)
    assert encoded(str(dump), tmp_path, **options) == first
    assert encoded(str(dump), tmp_path, jobs=2, **options) == first
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(dump.read_bytes())))
    assert encoded("-", tmp_path, **options) == first
    piped = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=piped))
    embdc.encode(str(dump), "-", **options)
    assert piped.getvalue() == first


def test_neither_name_nor_folder_nor_time_is_in_the_bytes(dump: Path, tmp_path: Path) -> None:
    first = encoded(str(dump), tmp_path)
    other = tmp_path / "elsewhere"
    other.mkdir()
    moved = other / "another-name.npy"
    moved.write_bytes(dump.read_bytes())
    os.utime(moved, (1, 1))
    assert encoded(str(moved), other, "z.embdc") == first
    assert b"dump" not in first


def test_record_name_is_the_exception(dump: Path, tmp_path: Path) -> None:
    encoded(str(dump), tmp_path, record_name=True)
    assert embdc.inspect(str(tmp_path / "a.embdc"))["items"][0]["name"] == "dump"


def interrupt_at(
    monkeypatch: pytest.MonkeyPatch, offset: int, stop: type[BaseException] | BaseException = KeyboardInterrupt
) -> None:
    """Let a writer of a real file be stopped, or fail, when it has written `offset` bytes."""
    write = ArchiveWriter._write

    def stopping(self: ArchiveWriter, data: bytes) -> None:
        if not isinstance(self._out, NullOutput) and self.bytes_written + len(data) > offset:
            self._out.write(data[: max(0, offset - self.bytes_written)])
            raise stop
        write(self, data)

    monkeypatch.setattr(ArchiveWriter, "_write", stopping)


@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_resume_gives_the_bytes_of_an_undisturbed_run(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    whole = encoded(str(dump), tmp_path, "whole.embdc", **options)
    rng = random.Random(4)
    offsets = [3, 40, len(whole) - 1, len(whole) - 100, *(rng.randrange(len(whole)) for _ in range(3))]
    for offset in offsets:
        with monkeypatch.context() as patched:
            interrupt_at(patched, offset)
            with pytest.raises(embdc.Stopped) as stopped:
                encoded(str(dump), tmp_path, **options)
        assert stopped.value.exit_code == 75
        assert not (tmp_path / "a.embdc").exists()
        assert encoded(str(dump), tmp_path, resume=True, **options) == whole
        (tmp_path / "a.embdc").unlink()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["dump.npy", "whole.embdc"]


def test_the_work_in_progress_is_a_readable_prefix(dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoded(str(dump), tmp_path, "whole.embdc", **OPTIONS[0])
    with monkeypatch.context() as patched:
        interrupt_at(patched, len(whole) // 2)
        with pytest.raises(embdc.Stopped):
            encoded(str(dump), tmp_path, **OPTIONS[0])
    (part,) = (path for path in tmp_path.glob(".a.embdc.part-*") if not path.name.endswith(".plan"))
    cut, full = embdc.open(str(part)), embdc.open(str(tmp_path / "whole.embdc"))
    assert not cut.complete
    rows = len(cut["data"])
    assert 0 < rows < 100
    np.testing.assert_array_equal(cut["data"][:].numpy(), full["data"][:rows].numpy())


def test_resume_with_another_recipe_is_a_usage_error(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 2500)
        with pytest.raises(embdc.Stopped):
            encoded(str(dump), tmp_path, target_nmse=0.05)
    kept = sorted(tmp_path.iterdir())
    with pytest.raises(embdc.UsageError, match="another recipe"):
        encoded(str(dump), tmp_path, target_nmse=0.06, resume=True)
    np.save(dump, embeddings(100, seed=9))
    with pytest.raises(embdc.UsageError, match="another input"):
        encoded(str(dump), tmp_path, target_nmse=0.05, resume=True)
    assert sorted(tmp_path.iterdir()) == kept


def test_a_stop_of_one_pass_keeps_nothing(dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 2500)
        with pytest.raises(KeyboardInterrupt):
            encoded(str(dump), tmp_path, one_pass=True, chunk_frames=8)
    assert list(tmp_path.iterdir()) == [dump]


def kill_and_resume(dump: Path, folder: Path, seed: int, kills: int) -> None:
    """Kill -9 a real encode at random moments, each time going on; the result equals an undisturbed run."""
    command = [sys.executable, "-m", "embdc_cli", "encode", str(dump), "--chunk-frames", "2", "--target-nmse", "0.02"]
    begun = time.monotonic()
    subprocess.run([*command, "-o", str(folder / "whole.embdc")], check=True, capture_output=True)
    usual = time.monotonic() - begun
    rng = random.Random(seed)
    out = folder / "a.embdc"
    for _ in range(kills):
        process = subprocess.Popen([*command, "-o", str(out), "--resume"], stderr=subprocess.PIPE)
        try:
            process.wait(rng.uniform(0.3, 1.0) * usual)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        else:
            process.communicate()
            assert process.returncode == 0
        if out.exists():  # the name appears only when the archive is complete, even at the moment of the kill
            assert out.read_bytes() == (folder / "whole.embdc").read_bytes()
            out.unlink()
    subprocess.run([*command, "-o", str(out), "--resume"], check=True, capture_output=True)
    assert out.read_bytes() == (folder / "whole.embdc").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["a.embdc", "dump.npy", "whole.embdc"]


def test_kill_9_and_resume(tmp_path: Path) -> None:
    np.save(tmp_path / "dump.npy", embeddings(200, 16, 24))
    kill_and_resume(tmp_path / "dump.npy", tmp_path, seed=1, kills=2)


@pytest.mark.slow
def test_kill_9_ten_times_and_resume(tmp_path: Path) -> None:
    np.save(tmp_path / "dump.npy", embeddings(4000, 32, 64))
    kill_and_resume(tmp_path / "dump.npy", tmp_path, seed=2, kills=10)


def test_two_encodes_to_one_output_do_not_mix(dump: Path, tmp_path: Path) -> None:
    begin = ArchiveWriter.__init__
    refused = []

    def second(self: ArchiveWriter, out: Any, *rest: Any, **options: Any) -> None:
        begin(self, out, *rest, **options)
        if not isinstance(out, NullOutput) and not refused:
            refused.append(True)
            with pytest.raises(embdc.ResourceError, match="another process is writing"):
                encoded(str(dump), tmp_path, target_nmse=0.05)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ArchiveWriter, "__init__", second)
        encoded(str(dump), tmp_path, target_nmse=0.05)
    assert refused
    assert embdc.verify(tmp_path / "a.embdc")["ok"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.embdc", "dump.npy"]


def test_resume_refuses_an_input_that_changed_anywhere(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 20_000)
        with pytest.raises(embdc.Stopped):
            encoded(str(dump), tmp_path, **OPTIONS[2])
    x = embeddings(100)
    x[99, 3, 3] += 1
    np.save(dump, x)
    with pytest.raises(embdc.UsageError, match="another input"):
        encoded(str(dump), tmp_path, resume=True, **OPTIONS[2])


OUTSIDE: list[Exception] = [
    OSError(errno.EIO, "Input/output error"),
    embdc.ResourceError("a.embdc: no space left on the device", hint="free some"),
    embdc.SourceError("dump.npy: cannot be read"),
    MemoryError(),
]
REPEATED: list[Exception] = [embdc.TargetMissed("too small"), embdc.CorruptArchive("two plans")]


@pytest.mark.parametrize("failure", [*OUTSIDE, *REPEATED], ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("resume", [False, True])
def test_a_failure_keeps_what_resume_can_go_on_from(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, resume: bool
) -> None:
    whole = encoded(str(dump), tmp_path, "whole.embdc", **OPTIONS[0])
    parts = []
    for offset in (len(whole) // 3, 2 * len(whole) // 3):
        with monkeypatch.context() as patched:
            interrupt_at(patched, offset, failure)
            told = embdc.ResourceError if isinstance(failure, MemoryError) else type(failure)
            with pytest.raises(told) as caught:
                encoded(str(dump), tmp_path, resume=resume, **OPTIONS[0])
        parts.append(sum(path.stat().st_size for path in tmp_path.glob(".a.embdc.part-????????")))
        hint = Failure.of(caught.value).hint or ""
        kept = resume and failure in OUTSIDE
        assert ("--resume goes on" in hint) == kept
        assert (parts[-1] > 0) == kept
    if kept:
        assert len(whole) > parts[1] > parts[0]
    assert encoded(str(dump), tmp_path, resume=resume, **OPTIONS[0]) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.embdc", "dump.npy", "whole.embdc"]


def test_a_stop_before_the_work_is_looked_at_leaves_it(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 20_000)
        with pytest.raises(embdc.Stopped):
            encoded(str(dump), tmp_path, **OPTIONS[2])
    kept = {path: path.read_bytes() for path in tmp_path.glob(".a.*")}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("embdc_cli.pipeline.open_input", stop)
        with pytest.raises((embdc.Stopped, KeyboardInterrupt)) as stopped:
            encoded(str(dump), tmp_path, resume=True, **OPTIONS[2])
    assert stopped.type is embdc.Stopped
    assert {path: path.read_bytes() for path in tmp_path.glob(".a.*")} == kept


@pytest.mark.parametrize("plan", ["{", "{}", "[]", ""])
def test_a_plan_that_cannot_be_read_means_a_fresh_start(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    whole = encoded(str(dump), tmp_path, "whole.embdc", **OPTIONS[0])
    with monkeypatch.context() as patched:
        interrupt_at(patched, len(whole) // 2)
        with pytest.raises(embdc.Stopped):
            encoded(str(dump), tmp_path, **OPTIONS[0])
    (file,) = tmp_path.glob(".a.embdc.part-*.plan")
    file.write_text(plan)
    assert encoded(str(dump), tmp_path, resume=True, **OPTIONS[0]) == whole


def test_skip_existing_knows_dumps_and_videos(dump: Path, tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "samples/shapes.mp4"
    for source, options in ((dump, {}), (video, {"fps": 4})):
        out = tmp_path / f"{source.stem}.embdc"
        assert embdc.encode(source, out, **options)["status"] == "done"
        assert embdc.encode(source, out, skip_existing=True, **options)["status"] == "skipped"
        with pytest.raises(embdc.OutputExists):
            embdc.encode(source, out, skip_existing=True, target_nmse=0.5, **options)


def test_the_batch_size_changes_nothing(tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "samples/shapes.mp4"
    found = [encoded(str(video), tmp_path, fps=6, batch_size=size) for size in (1, 5)]
    assert found[0] == found[1]
