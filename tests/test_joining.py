"""Archives of an array job joined: one archive of many items, with names, opened at once, whatever their number."""

from __future__ import annotations

import hashlib
import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.batch import Shard
from embdc_cli.cli.app import main
from embdc_cli.container import spec
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter
from tests.container.container_cases import Plan, calls, header_of, summary_of

NAMES = ["north", "south", "west", "east"]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives of a work list, in its order, made by two tasks."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        rows = np.random.default_rng(number).standard_normal((20 + number, 4, 8)).cumsum(axis=0)
        np.save(f"{name}.npy", rows.astype(np.float16))
    Path("list").write_text("".join(f"{name}.npy\n" for name in NAMES))
    assert {Shard(0, 2).holds(f"{name}.npy") for name in NAMES} == {True, False}
    for task in range(2):
        options = ["--out-dir", "parts", "--shard", f"{task}/2", "--record-name", "--preset", "fast", "-q"]
        assert main(["encode", "--files-from", "list", *options]) == 0
    return [f"parts/{name}.embdc" for name in NAMES]


def test_the_parts_of_an_array_job_are_items_by_their_names(job: list[str]) -> None:
    assert main(["cat", *job, "-o", "whole.embdc", "-q"]) == 0
    with ArchiveReader.open("whole.embdc") as reader:
        assert (reader.reads, len(reader.parts)) == (1, 1)
        assert [item.name for item in reader.items] == NAMES
        assert reader.verify() == ()
    whole = embdc.open("whole.embdc")
    for name, path in zip(NAMES, job, strict=True):
        assert whole[f"{name}/data"][:].equal(embdc.open(path)["data"][:])
    embdc.decode("whole.embdc", "again.npy", item="west")
    assert len(np.load("again.npy")) == 22


def test_ls_tells_of_an_item_what_it_told_of_its_part(job: list[str]) -> None:
    joined = embdc.cat(job, "whole.embdc")
    assert (joined["join"], joined["items"]) == ("items", 4)
    parts, items = embdc.ls(job)["items"], embdc.ls("whole.embdc")["items"]
    its_own = ("path", "item", "file_bytes", "root")
    assert [{k: v for k, v in one.items() if k not in its_own} for one in items] == [
        {k: v for k, v in one.items() if k not in its_own} for one in parts
    ]
    assert all(one["source_digest"] for one in items)
    again = embdc.cat(["whole.embdc", job[0]], "again.embdc", join="items")
    assert again["items"] == 5
    assert [row["source_digest"] for row in embdc.ls("again.embdc")["items"]] == [
        row["source_digest"] for row in (*items, items[0])
    ]


def test_in_time_by_request_and_without_names(job: list[str]) -> None:
    assert embdc.cat(job, "time.embdc", join="time")["items"] == 1
    (row,) = embdc.ls("time.embdc")["items"]
    assert (row["name"], row["streams"][0]["shape"]) == (None, [86, 4, 8])
    assert embdc.cat([job[0], job[0]], "same.embdc")["join"] == "time"  # of one video
    assert [item["name"] for item in embdc.inspect("same.embdc")["items"]] == ["north"]


def test_items_of_one_name_are_told_apart(job: list[str]) -> None:
    embdc.cat([job[0], job[0]], "same.embdc", join="items")
    with pytest.raises(embdc.UsageError, match=r"found 2 streams \(north/data, 1/data\)") as caught:
        embdc.decode("same.embdc", "out.npy", item="north")
    assert "--item" in str(caught.value.hint)
    assert embdc.decode("same.embdc", "out.npy", item="1")["streams"][0]["name"] == "1/data"


def many(folder: Path, count: int) -> list[str]:
    """So many archives of a few rows, each of a video of its own."""
    paths = []
    for number in range(count):
        plan = Plan(seed=number, rows=2, bias=False, variable_rate=False, payload_bytes=60)
        header = header_of(plan)
        item = replace(header.items[0], name=f"video{number:04}")
        path = folder / f"{number:04}.embdc"
        with open(path, "wb") as out:
            writer = ArchiveWriter(out, replace(header, items=(item,)))
            for name, arguments in calls(plan):
                getattr(writer, name)(*arguments)
            digest = hashlib.sha256(bytes(number)).hexdigest()
            writer.finish({**summary_of(plan), "source": {"size_bytes": number, "ends_digest": digest}})
        paths.append(str(path))
    return paths


@pytest.mark.parametrize(("count", "reads"), [(80, 1), pytest.param(1000, 2, marks=pytest.mark.slow)])
def test_many_parts(tmp_path: Path, count: int, reads: int) -> None:
    """Fewer descriptors than parts; the end is read at once where it fits, else what is missing of it, at once too."""
    paths = many(tmp_path, count)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        assert embdc.cat(paths, tmp_path / "whole.embdc")["items"] == count
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ArchiveReader.open(tmp_path / "whole.embdc") as reader:
        assert reader.reads == reads
        assert reader.bytes_read <= max(spec.OPENING_BYTES, 170 * count)
        assert [item.name for item in reader.items] == [f"video{number:04}" for number in range(count)]
    rows = embdc.ls(tmp_path / "whole.embdc")["items"]
    assert [row["source_bytes"] for row in rows] == list(range(count))
    assert [row["seconds"] for row in rows] == [pytest.approx(2 / 30)] * count


def test_a_part_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    from embdc_cli.joining import _OpenedToRead

    path = tmp_path / "a"
    path.write_bytes(b"12345")
    storage = _OpenedToRead(str(path))
    assert storage.read(1, 3) == b"23"
    assert (storage.reads, storage.bytes_read) == (1, 2)
    path.write_bytes(b"123456")
    with pytest.raises(embdc.SourceError, match="changed while it was read, 5 bytes became 6"):
        storage.read(1, 3)
