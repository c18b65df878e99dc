"""Appending adds a part behind the old tail and can be cut anywhere without losing what was there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from tests.synthetic import embeddings


def test_append_adds_an_item(tmp_path: Path) -> None:
    archive = str(tmp_path / "a.embdc")
    embdc.encode(embeddings(seed=1), archive)
    before = embdc.open(archive)["data"][:]
    embdc.encode(embeddings(20, seed=2), archive, append=True)
    both = embdc.open(archive)
    assert both.complete
    assert both.streams == ["0/data", "1/data"]
    np.testing.assert_array_equal(both["0/data"][:], before)
    assert both["1/data"].shape == (20, 12, 24)
    assert embdc.verify(archive)["ok"]


def test_a_cut_anywhere_in_what_was_appended_leaves_the_old_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.embdc"
    embdc.encode(embeddings(8, 2, 6, seed=1), str(archive), chunk_frames=4)
    old = archive.read_bytes()
    first = embdc.open(str(archive))["data"][:]
    embdc.encode(embeddings(8, 2, 6, seed=2), str(archive), append=True, chunk_frames=4)
    new = archive.read_bytes()
    assert new[: len(old)] == old
    for size in range(len(old), len(new), 37):
        archive.write_bytes(new[:size])
        with embdc.open(str(archive)) as cut:
            name = "data" if cut.streams == ["data"] else "0/data"
            np.testing.assert_array_equal(cut[name][:], first)
            assert cut.complete == (size == len(old))


def test_append_needs_a_complete_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.embdc"
    with pytest.raises(embdc.SourceError, match="no such archive"):
        embdc.encode(embeddings(), str(archive), append=True)
    embdc.encode(embeddings(), str(archive))
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(embdc.IncompleteError, match="incomplete"):
        embdc.encode(embeddings(), str(archive), append=True)


def test_append_skips_what_is_in_it_by_the_same_recipe(tmp_path: Path) -> None:
    archive = tmp_path / "a.embdc"
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", embeddings(20, seed=number))
    embdc.encode(tmp_path / "0.npy", archive)
    cases: list[tuple[int, dict[str, object], str, int]] = [
        (1, {}, "done", 2),
        (0, {}, "skipped", 2),
        (1, {}, "skipped", 2),
        (1, {"target_nmse": 0.1}, "done", 3),
        (2, {}, "done", 4),
        (1, {"target_nmse": 0.1}, "skipped", 4),
    ]
    for number, options, status, items in cases:
        before = archive.read_bytes()
        done = embdc.encode(tmp_path / f"{number}.npy", archive, append=True, skip_existing=True, **options)
        assert done["status"] == status
        assert len(embdc.open(archive)) == items
        assert (archive.read_bytes() == before) == (status == "skipped")
