"""Commands that write into an object store: what appears, what does not, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.errors import OutputExists, ResourceError, SourceError, UsageError
from embdc_cli.remote import upload
from tests.remote.conftest import contents, unfinished
from tests.remote.s3_server import Request, Store, denied, slow_down, times

MIB = 1 << 20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest parts that S3 takes."""
    monkeypatch.setattr(upload, "PART_BYTES", 5 * MIB)


def large_archive(folder: Path) -> Path:
    """An archive of 12 MB, which is three parts."""
    values = np.random.default_rng(5).integers(0, 2**16, (1500, 4096), np.uint16).view(np.float16)
    embdc.encode(values, folder / "large.embdc", lossless=True)
    return folder / "large.embdc"


def test_commands_write_and_read_objects(
    store: Store, tmp_path: Path, features: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", features)
    local = str(tmp_path / "a.embdc")
    for arguments in (
        ["encode", str(tmp_path / "a.npy"), "--lossless", "-o", local],
        ["decode", local, "-o", store.url("a.npy")],
        ["encode", store.url("a.npy"), "--lossless", "-o", store.url("x/a.embdc")],
        ["encode", store.url("a.npy"), "--lossless", "--out-dir", store.url("archives")],
        ["decode", store.url("x/a.embdc"), "-o", store.url("back.npy")],
        ["decode", store.url("x/a.embdc"), "-o", store.url("back.h5")],
        ["decode", store.url("x/a.embdc"), "-o", store.url("back.npz")],
        ["cat", store.url("x/a.embdc"), local, "-o", store.url("both.embdc")],
        ["verify", store.url("both.embdc"), "--deep"],
        ["verify", store.url("x/a.embdc"), "--against", store.url("a.npy")],
        ["inspect", store.url("both.embdc"), store.url("x/a.embdc")],
        ["repair", store.url("both.embdc"), "-o", store.url("repaired.embdc")],
        ["compare", store.url("a.npy"), store.url("x/a.embdc")],
        ["train-codebook", store.url("a.npy"), store.url("back.h5"), "-o", store.url("c.embdcb")],
        ["encode", store.url("a.npy"), "--codebook", store.url("c.embdcb"), "-o", store.url("c.embdc"),
         "--embed-codebook", "no"],
        ["decode", store.url("c.embdc"), "--codebook", store.url("c.embdcb"), "-o", store.url("c.npy")],
    ):  # fmt: skip
        assert main([*arguments, "-q"]) == 0, (arguments, capsys.readouterr().err)
    found = contents(store)
    npy = (tmp_path / "a.npy").read_bytes()
    assert found["a.npy"] == found["back.npy"] == npy
    assert found["x/a.embdc"] == found["archives/a.embdc"] == Path(local).read_bytes()
    assert found["repaired.embdc"] == found["both.embdc"]
    with embdc.open(store.url("both.embdc")) as both:
        np.testing.assert_array_equal(both["data"][:].numpy(), np.concatenate([features, features]))
    np.savez(tmp_path / "q.npz", q=features[0, 0].astype(np.float32))
    fsspec.filesystem("s3").put_file(str(tmp_path / "q.npz"), f"{store.bucket}/q.npz")
    assert main(["search", store.url("x/a.embdc"), "--query", store.url("q.npz"), "-q"]) == 0
    assert unfinished(store) == []
    assert [one.name for one in (tmp_path / "scratch").rglob("*") if one.is_file()] == []


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_is_a_multipart_upload(store: Store, tmp_path: Path) -> None:
    archive = large_archive(tmp_path)
    store.forget()
    embdc.cat([archive], store.url("large.embdc"))
    assert sum("partNumber" in one.query for one in store.requests) == 3
    whole = contents(store)["large.embdc"]
    embdc.cat([archive], tmp_path / "same.embdc")
    assert whole == (tmp_path / "same.embdc").read_bytes()
    assert unfinished(store) == []


def test_parts_grow_so_that_large_objects_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def put(self: upload.Upload, part: bytes | None) -> None:
        sizes.append(len(part or b""))
        self._begun += 1

    monkeypatch.setattr(upload.Upload, "_put", put)
    monkeypatch.setattr(upload, "PART_BYTES", 10)
    monkeypatch.setattr(upload, "_GROWS_AFTER", 2)
    upload.Upload("memory://outputs/a").write(bytes(99))
    assert sizes == [10, 10, 20, 20, 30]


def test_what_exists_is_not_overwritten(store: Store, features: np.ndarray, archive: Path) -> None:
    fsspec.filesystem("s3").pipe_file(f"{store.bucket}/a.embdc", b"mine")
    for write in (
        lambda **options: embdc.encode(features[:20], store.url("a.embdc"), **options),
        lambda **options: embdc.decode(archive, store.url("a.embdc"), format="npy", **options),
        lambda **options: embdc.cat([archive], store.url("a.embdc"), **options),
    ):
        with pytest.raises(OutputExists, match=f"^output: {store.url('a.embdc')} exists$"):
            write()
        assert contents(store) == {"a.embdc": b"mine"}
        write(force=True)
        assert contents(store)["a.embdc"] != b"mine"
        fsspec.filesystem("s3").pipe_file(f"{store.bucket}/a.embdc", b"mine")


@pytest.mark.parametrize(
    ("output", "options", "kind", "words"),
    [
        ("https://127.0.0.1/a.embdc", {}, UsageError, "web servers cannot be written to"),
        ("s3://no-such-bucket-here/a.embdc", {}, UsageError, "cannot be written, The specified bucket does not exist"),
        ("{bucket}/", {}, UsageError, "is a folder"),
        ("{bucket}/a.embdc", {"append": True}, UsageError, "nothing can be added to an object"),
    ],
)
def test_outputs_that_are_refused(
    store: Store, features: np.ndarray, output: str, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        embdc.encode(features[:20], output.format(bucket=f"s3://{store.bucket}"), **options)


def test_a_bucket_that_is_missing_is_told_before_any_work(store: Store) -> None:
    with pytest.raises(UsageError, match="The specified bucket does not exist"):
        upload.check_object("s3://no-such-bucket-here/a.embdc", force=False)


def test_who_may_only_write_has_to_say_so(store: Store, archive: Path) -> None:
    store.faults.append(times(1000, denied, lambda request: request.method != "PUT"))
    with pytest.raises(SourceError, match="access is denied"):
        embdc.cat([archive], store.url("a.embdc"))
    embdc.cat([archive], store.url("a.embdc"), force=True)
    store.faults.clear()
    assert list(contents(store)) == ["a.embdc"]


def test_what_is_current_is_skipped(store: Store, tmp_path: Path, features: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", features)
    url = store.url("a.embdc")
    first = embdc.encode(tmp_path / "a.npy", url, skip_existing=True)
    store.forget()
    again = embdc.encode(tmp_path / "a.npy", url, skip_existing=True)
    assert (first["status"], again["status"]) == ("done", "skipped")
    assert again["file_bytes"] == first["file_bytes"]
    assert store.asked("PUT") == store.asked("POST") == 0
    with pytest.raises(OutputExists):  # another recipe
        embdc.encode(tmp_path / "a.npy", url, skip_existing=True, target_nmse=0.5)
    np.save(tmp_path / "a.npy", features + 1)
    assert embdc.encode(tmp_path / "a.npy", url, skip_existing=True, force=True)["status"] == "done"


def failing_parts(fault: Callable[..., Iterable[bytes]], after: int) -> Callable[..., Any]:
    """Every part behind the first `after` fails."""

    def at_parts(request: Request, answer: Callable[[], list[bytes]], start: Callable[..., Any]) -> Any:
        number = dict(pair.split("=", 1) for pair in request.query.split("&") if "=" in pair).get("partNumber", "0")
        return fault(request, answer, start) if int(number) > after else None

    return at_parts


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("fault", "kind"), [(slow_down, ResourceError), (denied, SourceError)])
def test_a_failed_upload_leaves_nothing(store: Store, tmp_path: Path, fault: Any, kind: type[Exception]) -> None:
    archive = large_archive(tmp_path)
    store.faults.append(failing_parts(fault, after=1))
    with pytest.raises(kind, match=f"^output: {store.url('a.embdc')}: cannot be written"):
        embdc.cat([archive], store.url("a.embdc"))
    store.faults.clear()
    assert contents(store) == {}
    assert unfinished(store) == []


@pytest.mark.usefixtures("small_parts")
def test_an_encode_whose_upload_failed_goes_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).integers(0, 2**16, (1500, 4096), np.uint16).view(np.float16)
    url = store.url("a.embdc")
    store.faults.append(failing_parts(slow_down, after=2))
    with pytest.raises(ResourceError, match="reduce your request rate") as caught:
        embdc.encode(values, url, lossless=True)
    assert "--resume goes on" in " ".join(caught.value.__notes__)
    store.faults.clear()
    assert contents(store) == {}
    assert unfinished(store) == []
    embdc.encode(values, tmp_path / "a.embdc", lossless=True)
    assert embdc.encode(values, url, lossless=True, resume=True)["status"] == "done"
    assert contents(store)["a.embdc"] == (tmp_path / "a.embdc").read_bytes()
    assert [one.name for one in (tmp_path / "scratch").rglob("*") if one.is_file()] == []


PROGRAM = """
import sys
from embdc_cli.remote import upload
upload.PART_BYTES = 5 << 20
from embdc_cli.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "command", "part", "code"), [
    (signal.SIGTERM, "encode", 2, 75), (signal.SIGTERM, "decode", 3, 143), (signal.SIGINT, "cat", 2, 130),
])  # fmt: skip
def test_a_signal_leaves_nothing_behind(
    store: Store, tmp_path: Path, number: int, command: str, part: int, code: int
) -> None:
    """part: that which is on its way, of three."""
    archive = large_archive(tmp_path)
    embdc.decode(archive, tmp_path / "a.npy")
    source = [str(tmp_path / "a.npy"), "--lossless"] if command == "encode" else [str(archive)]
    under_way, go_on = threading.Event(), threading.Event()

    def hold(request: Request, answer: Callable[[], list[bytes]], start: Callable[..., Any]) -> None:
        del answer, start
        if f"partNumber={part}" in request.query:
            under_way.set()
            go_on.wait(60)

    store.faults.append(hold)
    arguments = [command, *source, "-o", store.url("out.npy" if command == "decode" else "out.embdc")]
    running = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True)
    assert under_way.wait(60)
    running.send_signal(number)
    go_on.set()
    _, words = running.communicate(timeout=60)
    assert running.returncode == code, words
    assert "Traceback" not in words
    store.faults.clear()
    assert contents(store) == {}
    assert unfinished(store) == []
    if command == "encode":
        resumed = [sys.executable, "-c", PROGRAM, *arguments, "--resume", "-q"]
        assert subprocess.run(resumed, check=False).returncode == 0
        embdc.encode(tmp_path / "a.npy", tmp_path / "same.embdc", lossless=True)
        assert contents(store)["out.embdc"] == (tmp_path / "same.embdc").read_bytes()
        assert os.listdir(tmp_path / "scratch" / f"embdc-work-{os.getuid()}") == []


def test_exit_codes(store: Store, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fsspec.filesystem("s3").put_file(str(archive), f"{store.bucket}/a.embdc")
    there, missing = store.url("a.embdc"), store.url("none.embdc")
    for arguments, code, words in (
        (["decode", missing, "-o", str(tmp_path / "a.npy")], 8, f"embdc: {missing}: no such object\n"),
        (["cat", str(archive), "-o", there], 7, f"embdc: output: {there} exists\nhint: use -f to overwrite it\n"),
        (["cat", there, "-o", there, "-f"], 2, f"embdc: output: {there} is also the input\n"),
        (["cat", str(archive), "-o", "https://127.0.0.1/a"], 2, "embdc: output: https://127.0.0.1/a: web servers"),
        (["encode", "a.npy", "-o", there, "--append"], 2, f"embdc: --append: {there}: nothing can be added"),
    ):
        assert main(arguments) == code
        assert capsys.readouterr().err.startswith(words)
    store.faults.append(denied)
    assert main(["cat", str(archive), "-o", store.url("b.embdc")]) == 8
    assert main(["verify", there]) == 8
    store.faults[:] = [times(1000, slow_down, lambda request: request.method == "PUT")]
    assert main(["cat", str(archive), "-o", store.url("b.embdc")]) == 9
    assert all(len(line) < 300 for line in capsys.readouterr().err.splitlines())
