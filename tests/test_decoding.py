"""Decoding into dumps: selection, types, several items, and what is done about damage."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import embdc_cli as embdc
from tests.synthetic import embeddings

ROWS = 30


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    out = tmp_path / "a.embdc"
    embdc.encode({"x": embeddings(ROWS), "y": embeddings(9, 3, 5)}, str(out), chunk_frames=8, target_nmse=0.05)
    return out


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """One stream whose second chunk (rows 8 to 16) is broken."""
    out = tmp_path / "d.embdc"
    embdc.encode(embeddings(ROWS), str(out), chunk_frames=8, target_nmse=0.05)
    data = bytearray(out.read_bytes())
    data[embdc.inspect(str(out), chunks=True)["chunks"][1]["offset"] + 140] ^= 16
    out.write_bytes(data)
    return out


def test_one_stream_and_a_slice(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    document = embdc.decode(str(archive), str(out), stream="x", frames="5:29:4")
    np.testing.assert_array_equal(np.load(out), embdc.open(str(archive))["x"][5:29:4].numpy())
    assert document["frames"] == 6
    assert document["exit"] == 0


def test_several_streams_need_a_format_that_holds_them(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(embdc.UsageError):
        embdc.decode(str(archive), str(tmp_path / "x.npy"))
    document = embdc.decode(str(archive), str(tmp_path / "x.npz"))
    assert [stream["name"] for stream in document["streams"]] == ["x", "y"]
    with np.load(tmp_path / "x.npz") as arrays:
        assert sorted(arrays) == ["x", "y"]


@pytest.mark.parametrize(("asked", "dtype"), [("f32", np.float32), ("f16", np.float16)])
def test_the_type_can_be_chosen(archive: Path, tmp_path: Path, asked: str, dtype: type) -> None:
    embdc.decode(str(archive), str(tmp_path / "x.npy"), stream="x", dtype=asked)
    assert np.load(tmp_path / "x.npy").dtype == dtype


def test_jobs_change_nothing(archive: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        embdc.decode(str(archive), str(tmp_path / f"{jobs}.npy"), stream="x", jobs=jobs)
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "2.npy").read_bytes()


def test_pipes_equal_files(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embdc.decode(str(archive), str(tmp_path / "x.safetensors"))
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(archive.read_bytes())))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    embdc.decode("-", "-")
    assert out.getvalue() == (tmp_path / "x.safetensors").read_bytes()


def test_items_after_raw_concatenation(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        embdc.encode(embeddings(10, seed=seed), str(tmp_path / f"{name}.embdc"))
    both = tmp_path / "both.embdc"
    both.write_bytes((tmp_path / "a.embdc").read_bytes() + (tmp_path / "b.embdc").read_bytes())
    assert embdc.verify(str(both))["ok"]
    with pytest.raises(embdc.UsageError):
        embdc.decode(str(both), str(tmp_path / "x.npy"))
    embdc.decode(str(both), str(tmp_path / "x.npy"), item="1")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), embdc.open(str(tmp_path / "b.embdc"))["data"][:].numpy())
    embdc.decode(str(both), str(tmp_path / "x.npz"))
    with np.load(tmp_path / "x.npz") as arrays:
        assert sorted(arrays) == ["0/data", "1/data"]


def test_cat_in_time_is_one_longer_stream(tmp_path: Path) -> None:
    x = embeddings(40)
    names = []
    for number, part in enumerate((x[:25], x[25:])):
        names.append(str(tmp_path / f"{number}.embdc"))
        embdc.encode(part, names[-1], target_nmse=0.05, chunk_frames=8)
    out = str(tmp_path / "c.embdc")
    document = embdc.cat(names, out)
    assert document["file_bytes"] == Path(out).stat().st_size
    joined = embdc.open(out)["data"][:].numpy()
    parts = [embdc.open(name)["data"][:].numpy() for name in names]
    np.testing.assert_array_equal(joined, np.concatenate(parts))
    assert embdc.verify(out)["ok"]
    assert sum(embdc.inspect(out)["parts"].values()) == Path(out).stat().st_size
    embdc.cat(names, str(tmp_path / "i.embdc"), join="items")
    assert embdc.open(str(tmp_path / "i.embdc")).streams == ["0/data", "1/data"]


def test_cat_refuses_what_does_not_fit(tmp_path: Path) -> None:
    embdc.encode(embeddings(), str(tmp_path / "a.embdc"), target_nmse=0.05)
    embdc.encode(embeddings(), str(tmp_path / "b.embdc"), target_nmse=0.06)
    with pytest.raises(embdc.UsageError):
        embdc.cat([str(tmp_path / "a.embdc"), str(tmp_path / "b.embdc")], str(tmp_path / "c.embdc"))
    assert not (tmp_path / "c.embdc").exists()


def test_damage_fails_by_default(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(embdc.CorruptArchive):
        embdc.decode(str(damaged), str(tmp_path / "x.npy"))
    assert not (tmp_path / "x.npy").exists()


def test_damage_skipped(damaged: Path, tmp_path: Path) -> None:
    document = embdc.decode(str(damaged), str(tmp_path / "x.npy"), on_damage="skip")
    assert document["exit"] == 3
    assert document["lost"] == [{"stream": "data", "rows": [8, 16], "seconds": None}]
    assert np.load(tmp_path / "x.npy").shape[0] == ROWS - 8
    assert document["streams"][0]["shape"][0] == ROWS - 8


def test_damage_as_nan(damaged: Path, tmp_path: Path) -> None:
    document = embdc.decode(str(damaged), str(tmp_path / "x.npy"), on_damage="nan", frames="2:30:2")
    y = np.load(tmp_path / "x.npy")
    assert document["exit"] == 3
    assert np.isnan(y).all(axis=(1, 2)).tolist() == [8 <= row < 16 for row in range(2, 30, 2)]


def test_a_cut_archive_decodes_to_what_is_there(archive: Path, tmp_path: Path) -> None:
    whole = embdc.open(str(archive))["x"][:].numpy()
    archive.write_bytes(archive.read_bytes()[:-600])
    document = embdc.decode(str(archive), str(tmp_path / "x.npy"), stream="x")
    assert document["exit"] == 3
    y = np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(y, whole[: len(y)])
