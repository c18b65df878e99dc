"""What `embdc.ls` tells of folders, patterns and URLs, what it reads for it, and the work that it finds undone."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container import spec, storage
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.writing import NullOutput
from embdc_cli.listing.places import places
from embdc_cli.listing.rows import work_rows
from embdc_cli.source.digest import ends_digest
from embdc_cli.traffic import Traffic
from tests.container.container_cases import Plan, archive

SHAPES = Path(__file__).parents[2] / "samples/shapes.mp4"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dump, a video, and their archives."""
    folder = tmp_path_factory.mktemp("made")
    rows = np.random.default_rng(1).standard_normal((40, 4, 8)).cumsum(axis=0)
    np.save(folder / "a.npy", rows.astype(np.float16))
    embdc.encode(folder / "a.npy", folder / "a.embdc", chunk_frames=8)
    embdc.encode(SHAPES, folder / "v.embdc", fps=2, record_name=True)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "made"))


def listed(document: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """(file name, item, status) of every row."""
    return [(Path(row["path"]).name, row["item"], row["status"]) for row in document["items"]]


def interrupted(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int = 500, **options: Any) -> None:
    """An encode that is stopped when it has written so many bytes."""
    write = ArchiveWriter._write

    def stopping(self: ArchiveWriter, data: bytes) -> None:
        if not isinstance(self._out, NullOutput) and self.bytes_written + len(data) > after:
            raise KeyboardInterrupt
        write(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(ArchiveWriter, "_write", stopping)
        with pytest.raises(embdc.Stopped):
            embdc.encode(source, out, **options)


def test_rows_say_what_inspect_says(folder: Path) -> None:
    document = embdc.ls(folder)
    assert listed(document) == [("a.embdc", 0, "complete"), ("v.embdc", 0, "complete")]
    assert document["exit"] == 0
    for row, source in zip(document["items"], (folder / "a.npy", SHAPES), strict=True):
        seen = embdc.inspect(row["path"])
        assert row["seconds"] == seen["items"][0]["seconds"]
        assert row["file_bytes"] == seen["file_bytes"]
        assert row["recipe_digest"] == seen["codec"]["recipe_digest"]
        assert row["encoder"] == seen["encoder"].get("name")
        names = ("name", "shape", "dtype", "codec")
        assert row["streams"] == [{name: one[name] for name in names} for one in seen["streams"]]
        assert (row["source_bytes"], row["source_digest"]) == (source.stat().st_size, ends_digest(source))
        with ArchiveReader.open(row["path"]) as reader:
            assert reader.parts[0].tail is not None
            assert row["root"] == reader.parts[0].tail.root.hex()
            ends = np.append(reader.parts[0].table.chunks["offset"][1:], seen["file_bytes"])
            sizes = ends - reader.parts[0].table.chunks["offset"]
            codes = [spec.TYPE_CODES[kind] for kind in (spec.DATA, spec.MODELS, spec.TIMES)]
            assert row["item_bytes"] == sizes[np.isin(reader.parts[0].table.chunks["code"], codes)].sum()
    assert [row["name"] for row in document["items"]] == [None, "shapes"]
    assert document["items"][0]["seconds"] is None
    assert document["items"][1]["seconds"] == pytest.approx(2.54, abs=0.01)
    total = sum(path.stat().st_size for path in folder.glob("*.embdc"))
    assert document["totals"] | {"archives": 2, "items": 2, "complete": 2, "file_bytes": total} == document["totals"]


PLAN = Plan(rows=60, payload_bytes=9000, variable_rate=False, segment_chunks=10)


class Watched:
    """Every range that is read of any file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ranges: list[tuple[int, int]] = []
        fetch = storage.LocalFile._fetch

        def watching(one: storage.LocalFile, ranges: Any) -> list[bytes]:
            self.ranges += ranges
            return fetch(one, ranges)

        monkeypatch.setattr(storage.LocalFile, "_fetch", watching)


def test_a_whole_archive_is_one_read_of_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(PLAN)
    for number in range(5):
        (tmp_path / f"{number}.embdc").write_bytes(data)
    watched = Watched(monkeypatch)
    document = embdc.ls(tmp_path)
    assert len(document["items"]) == 5
    assert watched.ranges == [(len(data) - spec.OPENING_BYTES, len(data))] * 5
    assert document["io"] == {"requests": 5, "round_trips": 5, "bytes": 5 * spec.OPENING_BYTES}


def test_an_archive_that_ends_early_is_a_read_of_its_end_and_one_of_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive(PLAN)
    cut = len(data) * 2 // 3
    assert cut > 3 * spec.OPENING_BYTES
    (tmp_path / "cut.embdc").write_bytes(data[:cut])
    watched = Watched(monkeypatch)
    document = embdc.ls(tmp_path)
    (row,) = document["items"]
    assert document["io"] == {"requests": 2, "round_trips": 2, "bytes": 2 * spec.OPENING_BYTES}
    assert watched.ranges == [(cut - spec.OPENING_BYTES, cut), (0, spec.OPENING_BYTES)]
    assert (row["status"], row["complete"], row["file_bytes"]) == ("incomplete", False, cut)
    unknown = ("seconds", "item_bytes", "root", "source_digest", "source_bytes", "error")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert row["recipe_digest"] is not None


def test_how_many_rows_are_left_of_an_archive_that_ends_early_is_not_known(folder: Path) -> None:
    data = (folder / "v.embdc").read_bytes()
    (folder / "v.embdc").write_bytes(data[: len(data) - 1])
    (row,) = embdc.ls(folder / "v.embdc")["items"]
    assert row["streams"] == [{"name": "patch", "shape": [None, 196, 384], "dtype": "float16", "codec": "transform"}]
    assert (row["name"], row["encoder"], row["status"]) == ("shapes", "patch-dct", "incomplete")


@pytest.mark.parametrize("behind", [b"", b"\0" * 300], ids=["whole", "with bytes behind"])
def test_parts_behind_each_other_are_items(tmp_path: Path, behind: bytes) -> None:
    data = archive(Plan(seed=1)) + archive(Plan(seed=2))
    (tmp_path / "two.embdc").write_bytes(data + behind)
    rows = embdc.ls(tmp_path)["items"]
    if behind:  # where it ends nothing says what it holds but the header of the first part
        assert [(row["item"], row["status"]) for row in rows] == [(0, "incomplete")]
        return
    assert [(row["item"], row["status"]) for row in rows] == [(0, "complete"), (1, "complete")]
    assert len({row["root"] for row in rows}) == 2
    assert all(row["seconds"] > 0 for row in rows)
    assert embdc.ls(tmp_path, incomplete=True)["items"] == []
    (tmp_path / "two.embdc").write_bytes(archive(Plan(seed=2)))
    assert [row["item_bytes"] for row in embdc.ls(tmp_path)["items"]] == [rows[1]["item_bytes"]]


def test_a_broken_archive_costs_its_own_row(folder: Path) -> None:
    (folder / "b.embdc").write_bytes(b"no archive")
    (folder / "e.embdc").write_bytes(b"")
    (folder / "n.embdc").write_bytes(
        (folder / "a.embdc").read_bytes().replace(b"EMBDC\r\n\x1a\n\0\1", b"EMBDC\r\n\x1a\n\0\7")
    )
    document = embdc.ls(folder)
    broken = {Path(row["path"]).name: row for row in document["items"] if row["error"] is not None}
    assert {name: row["exit"] for name, row in broken.items()} == {"b.embdc": 5, "e.embdc": 5, "n.embdc": 6}
    assert "expected an embdc signature" in broken["b.embdc"]["error"]
    assert document["exit"] == 3
    assert document["totals"]["failed"] == 3
    sizes = [path.stat().st_size for path in folder.glob("*.embdc")]
    assert sum(sizes) <= document["io"]["bytes"] <= 2 * sum(sizes)  # of those that cannot be read too
    assert embdc.ls(folder / "b.embdc")["exit"] == 5
    assert embdc.ls([folder / "b.embdc", folder / "a.embdc"])["exit"] == 3
    assert embdc.ls(folder, incomplete=True)["exit"] == 3


def test_order_recursion_and_what_is_no_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/z", "b/c/y", "a0"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "a.embdc", folder / f"{name}.embdc")
    (folder / ".hidden.embdc").write_bytes(b"")
    (folder / "folder.embdc").mkdir()
    shutil.copy(folder / "a.embdc", folder / "folder.embdc/x.embdc")
    monkeypatch.chdir(folder)

    def paths(*arguments: str, **options: Any) -> list[str]:
        return [row["path"] for row in embdc.ls(arguments, **options)["items"]]

    assert paths(".") == ["./a.embdc", "./a0.embdc", "./v.embdc"]
    expected = ["a.embdc", "a0.embdc", "b/c/y.embdc", "b/z.embdc", "folder.embdc/x.embdc", "v.embdc"]
    assert paths(".", recursive=True) == [f"./{path}" for path in expected]
    assert paths("b", "a*.embdc", "a.embdc", "./b") == ["b/z.embdc", "a.embdc", "a0.embdc"]
    assert paths("**/*.embdc") == ["a.embdc", "a0.embdc", "b/c/y.embdc", "b/z.embdc", "folder.embdc/x.embdc", "v.embdc"]
    for jobs in (1, 3, 32):
        assert embdc.ls(".", recursive=True, jobs=jobs) == embdc.ls(".", recursive=True)
    (folder / "we[i]rd.embdc").write_bytes((folder / "a.embdc").read_bytes())
    assert paths("we[i]rd.embdc") == ["we[i]rd.embdc"]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(embdc.SourceError, match="nothing matches"):
        embdc.ls(tmp_path / "*.embdc")
    assert embdc.ls(tmp_path / "no.embdc")["exit"] == embdc.SourceError.exit_code
    assert embdc.ls(tmp_path)["items"] == []
    document = embdc.ls([tmp_path / "*.embdc", tmp_path])
    assert (document["exit"], [row["status"] for row in document["items"]]) == (3, ["failed"])
    with pytest.raises(embdc.UsageError, match="path: missing"):
        embdc.ls()


@pytest.fixture
def bucket(folder: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    for name in ("a", "v"):
        system.pipe(f"/set/{name}.embdc", (folder / f"{name}.embdc").read_bytes())
    system.pipe("/set/deep/er/a.embdc", (folder / "a.embdc").read_bytes())
    system.pipe("/set/list.txt", b"no archive")
    yield "memory://set"
    system.rm("/set", recursive=True)


@pytest.mark.parametrize(
    ("url", "recursive", "found"),
    [
        ("", False, ["a", "v"]),
        ("/", False, ["a", "v"]),
        ("", True, ["a", "deep/er/a", "v"]),
        ("/*.embdc", False, ["a", "v"]),
        ("/[uvw].embdc", False, ["v"]),
        ("/**/*.embdc", False, ["a", "deep/er/a", "v"]),
        ("/v.embdc", False, ["v"]),
    ],
)
def test_urls(bucket: str, folder: Path, url: str, recursive: bool, found: list[str]) -> None:
    rows = embdc.ls(bucket + url, recursive=recursive)["items"]
    assert [row["path"] for row in rows] == [f"{bucket}/{name}.embdc" for name in found]
    for row in rows:
        (local,) = embdc.ls(folder / Path(row["path"]).name)["items"]
        assert {**row, "path": ""} == {**local, "path": ""}


def test_urls_that_are_not_there(bucket: str) -> None:
    with pytest.raises(embdc.SourceError, match="nothing matches"):
        embdc.ls(f"{bucket}/x*.embdc")
    assert embdc.ls(f"{bucket}/x.embdc")["exit"] == embdc.SourceError.exit_code
    with pytest.raises(embdc.SourceError, match="nowhere"):
        embdc.ls("nowhere://x/*.embdc")


@pytest.mark.parametrize("after", [3, 500])
def test_unfinished_work_names_its_input(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.chdir(folder)
    interrupted(Path("a.npy"), tmp_path / "a.embdc", monkeypatch, after, chunk_frames=8)
    document = embdc.ls(tmp_path, incomplete=True)
    assert document["exit"] == 0
    (row,) = document["items"]
    assert (row["path"], row["status"]) == (str(tmp_path / "a.embdc"), "unfinished")
    assert row["input"] == str(folder / "a.npy")
    assert embdc.encode(row["input"], row["path"], resume=True, chunk_frames=8)["status"] == "done"
    assert embdc.ls(tmp_path, incomplete=True)["items"] == []
    assert (tmp_path / "a.embdc").read_bytes() == (folder / "a.embdc").read_bytes()


def test_work_that_cannot_be_gone_on_with_by_its_input_names_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.load(folder / "a.npy")
    interrupted(rows, tmp_path / "x.embdc", monkeypatch, chunk_frames=8)
    interrupted(folder / "a.npy", folder / "a.embdc", monkeypatch, chunk_frames=8, append=True)
    for place in (tmp_path, folder):
        (row,) = embdc.ls(place, incomplete=True)["items"]
        assert (row["status"], row["input"]) == ("unfinished", None)
    document = embdc.ls(folder)  # what is there, and the work that is to be added to it
    assert listed(document) == [("a.embdc", 0, "unfinished"), ("a.embdc", 0, "complete"), ("v.embdc", 0, "complete")]
    assert document["totals"] | {"archives": 3, "complete": 2, "unfinished": 1} == document["totals"]
    (place,) = [place for place in places(str(folder), recursive=False) if place.work is not None]
    assert place.work is not None
    Path(place.file).unlink()  # it is finished meanwhile
    assert work_rows(place, place.work, None, Traffic()) == []


def test_links_to_folders_are_not_walked(folder: Path) -> None:
    (folder / "again").symlink_to(folder)
    assert len(embdc.ls(folder, recursive=True)["items"]) == 2


def test_a_part_without_a_plan_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".a.embdc.part-01234567").write_bytes(archive(Plan()))
    assert embdc.ls(tmp_path)["items"] == []


def test_expected_inputs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [f"in/{name}.npy" for name in "abcd"]
    out = tmp_path / "out"
    out.mkdir()
    whole = (folder / "a.embdc").read_bytes()
    (out / "a.embdc").write_bytes(whole)
    (out / "b.embdc").write_bytes(whole[: len(whole) // 2])
    interrupted(folder / "a.npy", out / "c.embdc", monkeypatch, chunk_frames=8)
    (out / "other.embdc").write_bytes(whole)
    found = [(Path(row["path"]).name, row["input"], row["status"]) for row in embdc.ls(out, expect=inputs)["items"]]
    assert found == [
        ("a.embdc", "in/a.npy", "complete"),
        ("b.embdc", "in/b.npy", "incomplete"),
        ("c.embdc", "in/c.npy", "unfinished"),
        ("other.embdc", None, "complete"),
        ("d.embdc", "in/d.npy", "missing"),
    ]
    undone = embdc.ls(out, expect=inputs, incomplete=True)
    assert [row["input"] for row in undone["items"]] == inputs[1:]
    assert undone["exit"] == 0
    assert undone["totals"]["complete"] == 0  # of what is listed


def test_expected_beside_their_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(folder / "a.npy", folder / "we[i]rd.embdc", monkeypatch, chunk_frames=8)
    inputs = [folder / "a.npy", folder / "we[i]rd.npy", folder / "b.npy"]
    files = len(os.listdir("/dev/fd"))
    document = embdc.ls(expect=inputs)
    assert listed(document) == [
        ("a.embdc", 0, "complete"), ("we[i]rd.embdc", 0, "unfinished"), ("b.embdc", None, "missing"),
    ]  # fmt: skip
    assert len(os.listdir("/dev/fd")) == files
    with pytest.raises(embdc.UsageError, match="expected one folder"):
        embdc.ls([folder, folder], expect=inputs)
    with pytest.raises(embdc.UsageError, match="would hold both"):
        embdc.ls(expect=["x.npy", "x.npz"])


def test_expected_in_a_bucket(bucket: str) -> None:
    document = embdc.ls(bucket, expect=["in/a.npy", "in/v.mp4", "in/w.mp4"])
    found = [(row["path"], row["input"], row["status"]) for row in document["items"]]
    assert found == [
        (f"{bucket}/a.embdc", "in/a.npy", "complete"),
        (f"{bucket}/v.embdc", "in/v.mp4", "complete"),
        (f"{bucket}/w.embdc", "in/w.mp4", "missing"),
    ]


def test_memory_is_that_of_a_few_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come while later archives are not opened yet, and at most `jobs` and one more wait."""
    from embdc_cli.listing import listing

    data = archive(Plan())
    for number in range(60):
        (tmp_path / f"{number:02}.embdc").write_bytes(data)
    opened = io.BytesIO()
    read = listing.archive_rows

    def counting(*arguments: Any) -> Any:
        opened.write(b".")
        return read(*arguments)

    monkeypatch.setattr(listing, "archive_rows", counting)
    rows = iter(listing.Listing([str(tmp_path)], listing.Wanted(jobs=4)))
    for seen in range(1, 40):
        next(rows)
        assert opened.tell() <= seen + 5


def test_what_cannot_be_opened_is_told_in_the_words_of_open(folder: Path, tmp_path: Path) -> None:
    data = (folder / "a.embdc").read_bytes()
    flipped = bytearray(data)
    flipped[60] ^= 1  # in the header
    broken = [data[:size] for size in range(0, 120, 7)] + [bytes(flipped), bytes(3000), b"some text\n" * 100]
    for number, content in enumerate(broken):
        path = tmp_path / f"{number}.embdc"
        path.write_bytes(content)
        with pytest.raises(embdc.CorruptArchive) as caught:
            embdc.open(path)
        (row,) = embdc.ls(path)["items"]
        assert (row["status"], row["exit"], row["error"]) == ("failed", 5, caught.value.message)


def test_a_pipe_in_a_folder_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "p.embdc")
    document = embdc.ls(folder)
    assert listed(document) == [("a.embdc", 0, "complete"), ("p.embdc", None, "failed"), ("v.embdc", 0, "complete")]
    assert document["items"][1]["error"] == f"{folder}/p.embdc: expected a file, found a pipe"
    with pytest.raises(embdc.SourceError, match="found a pipe"):
        embdc.open(folder / "p.embdc")
    with pytest.raises(embdc.SourceError, match="found a device"):
        embdc.open(os.devnull)
