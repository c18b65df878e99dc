"""Reading along: every row as soon as its chunk is whole, to the tail, through renames, stops and appends."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli import following
from embdc_cli.container import growing, spec, times
from embdc_cli.container.growing import unfinished_work
from embdc_cli.encoding import causal
from embdc_cli.errors import CorruptArchive, EmbdcError, IncompleteError, SourceError, UsageError
from tests.container.container_cases import forged, split
from tests.synthetic import embeddings

ROWS = 96


@pytest.fixture(autouse=True)
def fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(growing, "_DAMAGED_SECONDS", 0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of four segments, with times: 12 chunks."""
    folder = tmp_path_factory.mktemp("whole")
    np.savez(folder / "a.npz", data=embeddings(ROWS, 4, 8), timestamps=np.arange(ROWS) / 25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(causal, "WINDOW_BYTES", 24 * 4 * 8 * 2)
        embdc.encode(folder / "a.npz", folder / "a.embdc", chunk_frames=8, one_pass=True)
    return (folder / "a.embdc").read_bytes()


def decoded(path: Path) -> np.ndarray:
    with embdc.open(path) as archive:
        return archive["data"].numpy(range(len(archive["data"])))


def edges(data: bytes, folder: Path) -> list[int]:
    """File offsets behind each DATA chunk."""
    (folder / "edges.embdc").write_bytes(data)
    found = embdc.inspect(folder / "edges.embdc", chunks=True)["chunks"]
    return [one["offset"] + one["bytes"] for one in found if one["stream"] == "data"]


class Writer(threading.Thread):
    """Writes pieces of a file with pauses, then does something to it."""

    def __init__(self, path: Path, pieces: list[bytes], then: Callable[[], Any] = lambda: None) -> None:
        super().__init__(daemon=True)
        self.path, self.pieces, self.then = path, pieces, then

    def run(self) -> None:
        with open(self.path, "ab", buffering=0) as out:
            for piece in self.pieces:
                out.write(piece)
                time.sleep(0.01)
        self.then()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [7, 1000, 1 << 20])
def test_rows_come_as_they_are_written_and_end_at_the_tail(whole: bytes, tmp_path: Path, size: int) -> None:
    pieces = cut(whole, size) if size > 7 else [*cut(whole[:200], 7), whole[200:-300], *cut(whole[-300:], 7)]
    part, final = tmp_path / ".a.embdc.part-12345678", tmp_path / "a.embdc"
    part.touch()
    Writer(part, pieces, lambda: os.replace(part, final)).start()
    found = list(embdc.follow(final, stream="data", idle_timeout=20))
    (tmp_path / "b.embdc").write_bytes(whole)
    assert [one.row0 for one in found] == list(range(0, ROWS, 8))
    assert np.array_equal(np.concatenate([one.values for one in found]), decoded(tmp_path / "b.embdc"))
    seconds = np.concatenate([one.seconds for one in found if one.seconds is not None])
    assert np.allclose(seconds, np.arange(ROWS) / 25, atol=1e-6)
    assert found[0].tensor.shape == (8, 4, 8)


def test_models_of_segments_that_are_over_are_let_go(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.embdc").write_bytes(whole)
    segments = {chunk["segment"] for chunk in embdc.inspect(tmp_path / "a.embdc", chunks=True)["chunks"]}
    assert len(segments) == 4
    for _ in embdc.follow(tmp_path / "a.embdc", stream="data"):
        assert sum(type(one) is following._Segment for one in gc.get_objects()) == 1


def test_a_chunk_is_given_before_the_next_one_is_there(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    behind = edges(whole, tmp_path)
    path.write_bytes(whole[: behind[2]])
    files = len(os.listdir("/dev/fd"))
    arriving = embdc.follow(path, stream="data", idle_timeout=20)
    assert [next(arriving).row0 for _ in range(3)] == [0, 8, 16]
    with path.open("ab") as out:
        out.write(whole[behind[2] : behind[3] - 1])
    with path.open("ab") as out:
        out.write(whole[behind[3] - 1 : behind[3]])
    assert next(arriving).row0 == 24
    arriving.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/dev/fd")) == files


def test_what_gets_its_name_while_it_is_opened_is_found_there(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, final = tmp_path / ".a.embdc.part-12345678", tmp_path / "a.embdc"
    part.write_bytes(whole)
    opened = growing.LocalFile

    def renamed(name: str) -> growing.LocalFile:
        if part.exists():
            os.replace(part, final)
        return opened(name)

    monkeypatch.setattr(growing, "LocalFile", renamed)
    assert sum(one.rows for one in embdc.follow(final, stream="data", idle_timeout=5)) == ROWS


def until_it_fails(arriving: Iterator[Any]) -> tuple[list[int], EmbdcError]:
    """First rows of the chunks that came, and why no more did."""
    found: list[int] = []
    try:
        found.extend(one.row0 for one in arriving)
    except EmbdcError as error:
        return found, error
    raise AssertionError("ended without a failure")


def test_a_writer_that_is_killed_leaves_what_is_whole_and_says_so(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    behind = edges(whole, tmp_path)
    size = len(whole)
    for kept, chunks in ((behind[4] + 10, 5), (behind[0], 1), (8, 0), (size - 1, 12), (size + 5, 12)):
        path.write_bytes((whole * 2)[:kept])
        found, error = until_it_fails(embdc.follow(path, stream="data", idle_timeout=0.05))
        assert found == list(range(0, 8 * chunks, 8))
        assert isinstance(error, IncompleteError)
        assert "no tail, and nothing new" in error.message


def test_damage_is_not_waited_for_as_long_as_a_writer_is(whole: bytes, tmp_path: Path) -> None:
    behind = edges(whole, tmp_path)
    damaged = bytearray(whole)
    damaged[behind[1] + 100] ^= 1
    path = tmp_path / "a.embdc"
    path.write_bytes(damaged)
    found, error = until_it_fails(embdc.follow(path, stream="data", idle_timeout=600))
    assert found == [0, 8]
    assert isinstance(error, CorruptArchive)


def test_bytes_that_are_wrong_for_a_moment_only_are_waited_for(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "_DAMAGED_SECONDS", 20)
    path = tmp_path / "a.embdc"
    late = bytearray(whole)
    late[1000:1200] = bytes(200)  # as a network file system shows what it has not got yet
    path.write_bytes(late)

    def mend() -> None:
        time.sleep(0.1)
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(whole[1000:1200])

    threading.Thread(target=mend, daemon=True).start()
    assert sum(one.rows for one in embdc.follow(path, stream="data", idle_timeout=20)) == ROWS


def halved(content: bytes) -> bytes:
    """A TIMES chunk with the first half of its rows."""
    record, starts, ends = times.from_content(content, "test")
    half = record.rows // 2
    return times.to_content(record.item, record.row0, starts[:half], ends[:half])


@pytest.mark.parametrize(
    ("kind", "edit", "words"),
    [
        (spec.DATA, lambda content: content[:20] + b"\1\2\3\4" + content[24:], "decoded integers have checksum"),
        (spec.MODELS, lambda content: content[:-1] + bytes([content[-1] ^ 1]), "made with other models"),
        (spec.TIMES, halved, "times of rows 8 to 15 are lost"),
        (spec.TIMES, None, "times of rows 0 to 7 are lost"),
    ],
)
def test_what_is_whole_and_yet_wrong_is_no_value(
    whole: bytes, tmp_path: Path, kind: bytes, edit: Callable[[bytes], bytes] | None, words: str
) -> None:
    """The first chunk of a kind, edited or left out, with right checksums."""
    chunks = split(whole)
    at = [kind for kind, _ in chunks].index(kind)
    chunks[at : at + 1] = [] if edit is None else [(kind, edit(chunks[at][1]))]
    path = tmp_path / "a.embdc"
    path.write_bytes(forged(chunks))
    with pytest.raises(CorruptArchive, match=words):
        list(embdc.follow(path, stream="data", idle_timeout=0.05))


class Clock:
    """A clock for `growing` that only sleeping moves, and what is done when it has come so far."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.later: list[tuple[float, Callable[[], Any]]] = []
        patch.setattr(growing, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.later and self.later[0][0] <= self.now:
            self.later.pop(0)[1]()


def test_the_time_that_its_reader_takes_is_not_that_of_the_writer(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, path = Clock(monkeypatch), tmp_path / "a.embdc"
    behind = edges(whole, tmp_path)
    path.write_bytes(whole[: behind[2]])
    arriving = embdc.follow(path, stream="data", idle_timeout=10)
    assert [next(arriving).row0 for _ in range(3)] == [0, 8, 16]
    clock.now += 1000
    clock.later.append((clock.now + 9, lambda: path.write_bytes(whole[: behind[3]])))
    assert next(arriving).row0 == 24
    begun = clock.now
    with pytest.raises(IncompleteError, match="nothing new for 10 s"):
        next(arriving)
    assert 10 < clock.now - begun < 10.1


def test_unfinished_work_that_is_deleted_ends_at_once(whole: bytes, tmp_path: Path) -> None:
    part = tmp_path / ".a.embdc.part-1"
    part.write_bytes(whole[: len(whole) // 2])
    arriving = embdc.follow(tmp_path / "a.embdc", stream="data", idle_timeout=600)
    assert next(arriving).row0 == 0
    part.unlink()
    with pytest.raises(IncompleteError, match="deleted unfinished"):
        list(arriving)


def test_a_writer_that_resumes_is_followed_on_and_one_that_begins_anew_is_not(whole: bytes, tmp_path: Path) -> None:
    behind = edges(whole, tmp_path)
    for again, rest in ((whole, True), (whole[:16] + bytes(len(whole)), False)):
        path = tmp_path / "a.embdc"
        path.write_bytes(whole[: behind[5]])
        arriving = embdc.follow(path, stream="data", idle_timeout=1)
        assert [next(arriving).row0 for _ in range(6)][-1] == 40
        os.truncate(path, behind[2])

        def go_on(path: Path = path, again: bytes = again) -> None:
            time.sleep(0.05)
            path.write_bytes(again)

        threading.Thread(target=go_on, daemon=True).start()
        if rest:
            assert sum(one.rows for one in arriving) == ROWS - 48
        else:
            with pytest.raises(IncompleteError, match="begun anew"):
                list(arriving)


def test_parts_that_are_appended_are_items(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(whole)
    assert {one.item for one in embdc.follow(path, stream="data", idle_timeout=600)} == {0}
    arriving = embdc.follow(path, appends=True, stream="data", idle_timeout=0.5)
    assert [next(arriving).item for _ in range(12)] == [0] * 12
    Writer(path, cut(whole, 999)).start()
    rest = list(arriving)  # ends when nothing has come for a while, at a tail: no failure
    assert [one.item for one in rest] == [1] * 12
    assert [one.row0 for one in rest] == list(range(0, ROWS, 8))


def test_encode_append_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    embdc.encode(embeddings(16, 4, 8), path, lossless=True)
    arriving = embdc.follow(path, appends=True, stream="data", idle_timeout=1)
    assert next(arriving).item == 0
    embdc.encode(embeddings(24, 4, 8, seed=2), path, lossless=True, append=True)
    (second,) = list(arriving)
    assert (second.item, second.rows) == (1, 24)
    assert np.array_equal(second.values, embeddings(24, 4, 8, seed=2))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such archive"):
        list(embdc.follow(tmp_path / "a.embdc", stream="data", idle_timeout=0.05))
    with pytest.raises(SourceError, match="local file"):
        list(embdc.follow("https://example.org/a.embdc"))


def test_the_youngest_unfinished_work_is_taken_and_no_plan(tmp_path: Path) -> None:
    for age, name in ((30, "1"), (10, "2"), (20, "3"), (0, "2.plan"), (0, "2.plan.new")):
        path = tmp_path / f".a.embdc.part-{name}"
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    found = [Path(name).name[-1] for name in unfinished_work(str(tmp_path / "a.embdc"))]
    assert found == ["2", "3", "1"]


def test_ragged_rows_and_a_codebook_that_is_embedded(tmp_path: Path) -> None:
    rows = [embeddings(1, count, 8, seed=count)[0] for count in (3, 1, 4)]
    embdc.encode(rows, tmp_path / "r.embdc", lossless=True)
    (one,) = embdc.follow(tmp_path / "r.embdc")
    assert one.token_counts == (3, 1, 4)
    assert np.array_equal(one.values, np.concatenate(rows))
    brain = torch.from_numpy(embeddings(8, 4, 8)).bfloat16()
    embdc.encode(brain, tmp_path / "b.embdc", lossless=True)
    (one,) = embdc.follow(tmp_path / "b.embdc")
    assert torch.equal(one.tensor, brain)
    np.save(tmp_path / "a.npy", embeddings(64, 16, 8))
    embdc.train_codebook([tmp_path / "a.npy"], tmp_path / "c.embdcb", holdout=0)
    for embed in ("yes", "no"):
        options = {"codebook": tmp_path / "c.embdcb", "embed_codebook": embed, "force": True}
        embdc.encode(tmp_path / "a.npy", tmp_path / "a.embdc", **options)
        found = np.concatenate([one.values for one in embdc.follow(tmp_path / "a.embdc")])
        assert np.array_equal(found, decoded(tmp_path / "a.embdc"))


def followed(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "embdc_cli", "decode", *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def test_the_command_writes_an_array_per_chunk(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(whole)
    done = followed(str(path), "--follow", "-o", "-", "--stream", "data", "--dtype", "f32")
    assert done.returncode == 0, done.stderr
    out = io.BytesIO(done.stdout)
    arrays = []
    while out.tell() < len(done.stdout):
        arrays.append(np.load(out))
    assert [len(one) for one in arrays] == [8] * 12
    assert np.array_equal(np.concatenate(arrays), decoded(path).astype(np.float32))
    path.write_bytes(whole[:-50])
    done = followed(str(path), "--follow", "--stream", "data", "--format", "raw", "--idle-timeout", "100ms")
    assert done.returncode == 3
    assert np.array_equal(np.frombuffer(done.stdout, np.float16).reshape(ROWS, 4, 8), np.concatenate(arrays))
    assert done.stderr.decode().splitlines()[0].endswith("nothing new for 0 s")


def test_what_is_added_is_written_too_and_counted(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "a.embdc"
    for appends, parts in ((False, 1), (True, 2)):
        path.write_bytes(whole)
        values = decoded(path)
        Clock(monkeypatch).later.append((9, lambda: path.write_bytes(whole * 2)))
        options: dict[str, Any] = {"appends": appends, "idle_timeout": 10, "stream": "data", "format": "raw"}
        document = embdc.decode(path, "-", follow=True, **options)
        assert document["streams"] == [{"name": "data", "shape": [ROWS * parts, 4, 8], "dtype": "float16"}]
        assert document["frames"] == ROWS * parts
        assert capfdbinary.readouterr().out == values.tobytes() * parts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "--follow", "-o", "a.npy"), "--follow: writes to standard output"),
        (("-", "--follow"), "--follow: expected a path, found standard input"),
        (("a", "--follow", "--time", "1..2"), "--time: not with --follow"),
        (("a", "--follow", "--frames", "1:2"), "--frames: not with --follow"),
        (("a", "--follow", "--item", "1"), "--item: not with --follow"),
        (("a", "--follow", "--on-damage", "nan"), "--on-damage: not with --follow"),
        (("a", "--follow", "--for", "vllm:m"), "--for: not with --follow"),
        (("a", "--follow", "--format", "npz"), "--follow: expected --format npy or raw, found npz"),
        (("a", "--idle-timeout", "4s"), "--appends, --idle-timeout: only with --follow"),
        (("a", "--grid", "2x2"), "--modality, --grid: only with --for"),
        (("a", "--modality", "image"), "--modality, --grid: only with --for"),
        (("a", "--follow", "--idle-timeout", "soon"), "--idle-timeout: expected a time"),
    ],
)
def test_what_does_not_go_with_it(arguments: tuple[str, ...], words: str) -> None:
    done = followed(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr.decode()


def test_several_streams_need_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    embdc.encode({"a": embeddings(8, 4, 8), "b": embeddings(8, 2, 4)}, path, lossless=True)
    assert {one.stream for one in embdc.follow(path)} == {"a", "b"}
    assert {one.stream for one in embdc.follow(path, stream="b")} == {"b"}
    with pytest.raises(UsageError, match="'c' is not in the archive"):
        list(embdc.follow(path, stream="c"))
    with pytest.raises(
        EmbdcError, match=r"expected one stream, found 'a' \(float16 \[4, 8\]\) and 'b' \(float16 \[2, 4\]\)"
    ):
        embdc.decode(path, "-", follow=True, format="raw")
    embdc.encode({"a": embeddings(8, 4, 8).astype(np.float32)}, tmp_path / "c.embdc", lossless=True)
    path.write_bytes((tmp_path / "c.embdc").read_bytes() + path.read_bytes())
    with pytest.raises(EmbdcError, match=r"found 'a' \(float32 \[4, 8\]\) and 'a' \(float16 \[4, 8\]\)"):
        embdc.decode(path, "-", follow=True, format="raw", stream="a", appends=True, idle_timeout=0.05)
