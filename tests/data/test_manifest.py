"""What archives hold, read once from their ends; and thousands of them, of which few are open."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.data import Clips, Manifest, ShuffledClips, pool
from tests.synthetic import embeddings


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("manifest") / "a.embdc"
    x = embeddings(21, 3, 8)
    embdc.encode(
        {"patch": x, "timestamps": np.arange(21) / 30, "bias": x[0, 0].copy()}, out, lossless=True, chunk_frames=8
    )
    return out


def test_it_says_what_the_archive_says(path: Path) -> None:
    (found,) = Manifest.of([path])
    assert (found.path, found.file_bytes) == (str(path), path.stat().st_size)
    with embdc.open(path) as archive:
        timed = [name for name in archive if archive[name].spec.timed]
        assert [one.name for one in found.streams] == timed
        timeline = archive["patch"].timeline
        assert timeline is not None
        patch = found.streams[0]
        assert (patch.rows, patch.timebase) == (21, timeline.timebase)
        assert (patch.zero, patch.last, patch.beside) == (timeline.zero, timeline.end(20), False)
        assert patch.chunks.tolist() == [
            [start, stop, timeline.start(start)] for start, stop in ((0, 8), (8, 16), (16, 21))
        ]


def test_opening_is_one_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = []
    monkeypatch.setattr(ArchiveReader, "close", lambda self: readers.append(self))
    Manifest.of([path])
    assert [reader.round_trips for reader in readers] == [1]


def test_a_saved_manifest_is_the_same_and_opens_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.of([path, path])
    manifest.save(tmp_path / "m.json")
    assert os.listdir(tmp_path) == ["m.json"]
    monkeypatch.setattr(ArchiveReader, "open", None)
    again = Manifest.load(tmp_path / "m.json")
    assert len(Clips(again, seconds=0.1)) == len(Clips(manifest, seconds=0.1)) > 0
    assert len(again) == 2
    for one, other in zip(again, manifest, strict=True):
        assert [{**vars(a), "chunks": 0} for a in one.streams] == [{**vars(b), "chunks": 0} for b in other.streams]
        assert all(np.array_equal(a.chunks, b.chunks) for a, b in zip(one.streams, other.streams, strict=True))


@pytest.mark.parametrize(
    ("number", "told", "message"),
    [
        (errno.ENOSPC, embdc.ResourceError, "m.json: no space left on the device"),
        (errno.EACCES, embdc.ResourceError, "m.json: cannot be written"),
    ],
)
def test_a_manifest_that_cannot_be_saved_leaves_the_old_one(
    number: int, told: type[Exception], message: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.of([path])
    manifest.save(tmp_path / "m.json")
    before = (tmp_path / "m.json").read_bytes()
    (tmp_path / "m.json.part").write_text("of somebody else")

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(told, match=message):
        Manifest([*manifest, *manifest]).save(tmp_path / "m.json")
    assert sorted(os.listdir(tmp_path)) == ["m.json", "m.json.part"]
    assert (tmp_path / "m.json").read_bytes() == before
    assert (tmp_path / "m.json.part").read_text() == "of somebody else"
    with pytest.raises(embdc.UsageError, match="does not exist"):
        manifest.save(tmp_path / "none" / "m.json")
    with pytest.raises(embdc.UsageError, match="expected a local file"):
        manifest.save("memory://m.json")


NO_SECONDS = '{"streams":[{"timebase":[1,90],"zero":[1,0],"chunks":[]}]}'


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version":1}', '{"version":1,"archives":[]}', f'{{"version":2,"archives":[{NO_SECONDS}]}}'],
)
def test_other_files_are_no_manifests(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(embdc.SourceError, match="manifest"):
        Manifest.load(tmp_path / "m.json")
    with pytest.raises(embdc.SourceError, match="No such file"):
        Manifest.load(tmp_path / "none.json")


def test_a_changed_archive_is_noticed(path: Path, tmp_path: Path) -> None:
    grown = tmp_path / "b.embdc"
    grown.write_bytes(path.read_bytes())
    data = Clips([grown], 4)
    embdc.encode({"patch": embeddings(30, 3, 8), "timestamps": np.arange(30) / 30}, grown, lossless=True, force=True)
    with pytest.raises(embdc.SourceError, match=r"expected \d+ bytes, found"):
        data[0]


def test_one_path_is_no_list(path: Path) -> None:
    with pytest.raises(embdc.UsageError, match="expected a list"):
        Clips(str(path), 4)


def test_thousands_of_archives_leave_few_files_open(path: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.embdc" for number in range(2000)]
    for one in paths:
        one.symlink_to(path)
    files = len(os.listdir("/dev/fd"))
    looked_into = list(Manifest.of(paths[:100]))
    assert len(os.listdir("/dev/fd")) <= files
    manifest = Manifest([replace(looked_into[0], path=str(one)) for one in paths])
    clips = Clips(manifest, 21, stream="patch")
    assert len(clips) == 2000
    for index in range(0, 2000, 20):
        assert clips[index]["archive"] == index
    assert len(clips._source.archives) == pool.MOST_OPEN
    assert len(os.listdir("/dev/fd")) <= files + pool.MOST_OPEN
    shuffled = ShuffledClips(Manifest(manifest[:100]), 21, stream="patch")
    assert sorted(one["archive"] for one in shuffled) == list(range(100))
    assert len(os.listdir("/dev/fd")) <= files + 2 * pool.MOST_OPEN + 8  # and what processes share
