"""Chunks that are brought into memory ahead of the slices that want them."""

from __future__ import annotations

import asyncio
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.archive import Archive

ROWS, CHUNK = 64, 8
CHUNK_BYTES = CHUNK * 6 * 16 * 2


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prefetch") / "a.embdc"
    rows = np.random.default_rng(0).standard_normal((ROWS, 6, 16)).cumsum(axis=0).astype(np.float16)
    embdc.encode(rows, path, chunk_frames=CHUNK)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First rows of the chunks that are decoded, in order."""
    found = []
    decode = Archive.decode

    def counted(self: Archive, stream: Any, entry: Any, payload: bytes) -> np.ndarray:
        found.append(entry.row0)
        return decode(self, stream, entry, payload)

    monkeypatch.setattr(Archive, "decode", counted)
    return found


def test_slices_are_served_from_memory_afterwards(path: Path, decoded: list[int]) -> None:
    with embdc.open(path) as archive:
        view = archive["data"]
        document = asyncio.run(view.prefetch([slice(4, 20), 63, slice(8, 10)]))
        assert sorted(decoded) == [0, 8, 16, 56]
        assert document.pop("seconds") > 0
        assert document.pop("requests") >= 4
        assert document == {"chunks": 4, "cached": 0, "left": 0, "bytes": 4 * CHUNK_BYTES}
        before = archive.reader.storage.reads
        found = view[4:20]
        assert len(decoded) == 4
        assert archive.reader.storage.reads == before
        again = asyncio.run(view.prefetch([slice(4, 26)]))
        assert {name: again[name] for name in ("chunks", "cached", "bytes")} == {
            "chunks": 1, "cached": 3, "bytes": CHUNK_BYTES,
        }  # fmt: skip
    with embdc.open(path) as archive:
        assert torch.equal(archive["data"][4:20], found)


def test_nothing_is_decoded_beyond_the_bound(path: Path, decoded: list[int]) -> None:
    with embdc.open(path) as archive:
        document = asyncio.run(archive["data"].prefetch([slice(16, None)], most_bytes=3 * CHUNK_BYTES - 1))
        assert sorted(decoded) == [16, 24]
        assert document["left"] == 4
        with pytest.raises(embdc.UsageError, match=f"expected 1 to {archive.cache_bytes} bytes, found 0"):
            asyncio.run(archive["data"].prefetch([0], most_bytes=0))
        with pytest.raises(embdc.UsageError, match="found 9999999999"):
            asyncio.run(archive["data"].prefetch([0], most_bytes=9999999999))


def test_a_chunk_is_decoded_once_for_all(path: Path, decoded: list[int]) -> None:
    async def serve(archive: Archive) -> None:
        view = archive["data"]
        whole = [view.prefetch([slice(None)]) for _ in range(3)]
        await asyncio.gather(*whole, *(view.load(slice(at, at + 16)) for at in range(0, ROWS - 16, 4)))

    with embdc.open(path) as archive:
        asyncio.run(serve(archive))
    assert sorted(decoded) == list(range(0, ROWS, CHUNK))


def test_cancelling_begins_nothing_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = [], threading.Event()
    fetched = Archive._fetched

    def slow(self: Archive, stream: Any, entry: Any) -> Any:
        begun.append(entry.row0)
        assert go_on.wait(60)
        return fetched(self, stream, entry)

    monkeypatch.setattr(Archive, "_fetched", slow)
    monkeypatch.setattr("embdc_cli.prefetching._THREADS", 2)

    async def cancelled(archive: Archive) -> None:
        task = asyncio.ensure_future(archive["data"].prefetch([slice(None)]))
        while len(begun) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await asyncio.sleep(0.1)

    with embdc.open(path) as archive:
        asyncio.run(cancelled(archive))
        assert len(begun) == 2
        assert len(archive["data"][:]) == ROWS


def test_what_cannot_be_prefetched_is_refused(path: Path, tmp_path: Path) -> None:
    chunk = embdc.inspect(path, chunks=True)["chunks"][2]
    bad = bytearray(path.read_bytes())
    bad[chunk["offset"] + chunk["bytes"] // 2] ^= 1
    (tmp_path / "bad.embdc").write_bytes(bad)
    with embdc.open(tmp_path / "bad.embdc") as archive:
        asyncio.run(archive["data"].prefetch([slice(0, 16)]))
        with pytest.raises(embdc.CorruptArchive):
            asyncio.run(archive["data"].prefetch([slice(0, 32)]))
        with pytest.raises(embdc.WrongIndex):
            asyncio.run(archive["data"].prefetch([ROWS]))


def test_ragged_and_whole_tensors_and_copies_of_an_archive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((2 + at % 3, 8)).astype(np.float32) for at in range(20)]
    embdc.encode(rows, tmp_path / "r.embdc", chunk_frames=4)
    archive = pickle.loads(pickle.dumps(embdc.open(tmp_path / "r.embdc")))  # of our own
    document = asyncio.run(archive["data"].prefetch([slice(3, 9)]))
    assert document["chunks"] == 3
    assert document["bytes"] == sum(one.nbytes for one in rows[:12])
