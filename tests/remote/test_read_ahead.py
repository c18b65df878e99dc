"""What is going to be read is on its way before it is asked for, and no more of it than is said."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.container import readahead
from embdc_cli.container.readahead import Range, ReadAhead
from embdc_cli.remote import blocks
from embdc_cli.remote.object import RemoteObject
from embdc_cli.source import location
from embdc_cli.source.digest import END_BYTES
from tests.remote.web_server import Web

DATA = np.random.default_rng(1).bytes(4000)


def fetched(ranges: Sequence[Range]) -> list[bytes]:
    return [DATA[start:stop] for start, stop in ranges]


RANGES = st.tuples(st.integers(0, 3990), st.integers(1, 300)).map(lambda one: (one[0], min(one[0] + one[1], 4000)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(RANGES, max_size=12), st.lists(RANGES, max_size=12), st.integers(0, 50))
def test_what_is_found_is_what_was_asked_for(ahead: list[Range], asked: list[Range], gap: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readahead, "BATCH_BYTES", 500)
        reader = ReadAhead(fetched, ahead, gap)
        for one in (*sorted(ahead), *asked):
            assert reader.find(one) in (DATA[one[0] : one[1]], None)
    in_order = ReadAhead(fetched, ahead, gap)
    assert [in_order.find(one) for one in sorted(ahead)] == fetched(sorted(ahead))


def test_the_next_batch_comes_while_this_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "BATCH_BYTES", 1000)
    begun = {start: threading.Event() for start in range(0, 4000, 1000)}

    def fetch(ranges: Sequence[Range]) -> list[bytes]:
        begun[ranges[0][0]].set()
        return fetched(ranges)

    reader = ReadAhead(fetch, [(start, start + 100) for start in range(0, 4000, 100)], 0)
    for start in range(0, 4000, 1000):
        assert reader.find((start, start + 100)) == DATA[start : start + 100]
        if start < 3000:
            assert begun[start + 1000].wait(10)
        assert not any(begun[later].is_set() for later in range(start + 2000, 4000, 1000))
        assert len(reader._coming) <= 3


def test_a_failure_is_raised_where_the_bytes_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "BATCH_BYTES", 1000)

    def fetch(ranges: Sequence[Range]) -> list[bytes]:
        if ranges[0][0] >= 1000:
            raise OSError("gone")
        return fetched(ranges)

    reader = ReadAhead(fetch, [(0, 4000)], 0)
    assert reader.find((0, 500)) == DATA[:500]
    with pytest.raises(OSError, match="gone"):
        reader.find((900, 1100))


@pytest.mark.parametrize("jobs", [1, 3])
def test_decoding_takes_few_requests(
    web: Web, archive: Path, features: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(readahead, "BATCH_BYTES", 100_000)
    web.bodies["a.embdc"] = archive.read_bytes()
    document = embdc.decode(web.url("a.embdc"), tmp_path / "a.npy", jobs=jobs)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), features)
    assert document["io"]["requests"] == len(web.asked) <= archive.stat().st_size // 100_000 + 3
    assert document["io"]["bytes"] < archive.stat().st_size + 2 * 65_536
    with embdc.open(web.url("a.embdc")) as opened:
        opened["data"][16:80]  # four chunks that follow each other
        assert (opened.reader.reads, opened.reader.round_trips) == (2, 2)


def test_verifying_reads_everything_once(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    document = embdc.verify(web.url("a.embdc"))
    assert document["io"]["requests"] == len(web.asked) == 2
    assert document["io"]["bytes"] == archive.stat().st_size


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 50_000)
    monkeypatch.setattr(location, "BLOCK_BYTES", 50_000)
    return 50_000


def test_a_dump_is_read_in_blocks_each_once(web: Web, tmp_path: Path, features: np.ndarray, small_blocks: int) -> None:
    np.save(tmp_path / "a.npy", features)
    web.bodies["a.npy"] = (tmp_path / "a.npy").read_bytes()
    embdc.encode(web.url("a.npy"), tmp_path / "a.embdc", target_nmse=0.1)  # reads it twice and more
    embdc.encode(tmp_path / "a.npy", tmp_path / "same.embdc", target_nmse=0.1)
    assert (tmp_path / "a.embdc").read_bytes() == (tmp_path / "same.embdc").read_bytes()
    count = -(-len(web.bodies["a.npy"]) // small_blocks)
    assert len(web.asked) == len(set(web.asked)) == count + 1  # what it is was asked before


def test_only_the_tensor_that_is_wanted_is_read(
    web: Web, tmp_path: Path, features: np.ndarray, small_blocks: int
) -> None:
    np.savez(tmp_path / "a.npz", first=np.zeros((500, 4096), np.float32), wanted=features[:20])
    web.bodies["a.npz"] = (tmp_path / "a.npz").read_bytes()
    embdc.encode(web.url("a.npz"), tmp_path / "a.embdc", key="wanted", lossless=True)
    blocks_of_ends = 2 * (-(-END_BYTES // small_blocks) + 1)  # of which a digest is taken
    assert len(web.asked) < blocks_of_ends + 8 < len(web.bodies["a.npz"]) // small_blocks / 3


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors", "h5", "pt"])
def test_every_format_is_read_behind_a_url(
    web: Web, tmp_path: Path, features: np.ndarray, small_blocks: int, suffix: str
) -> None:
    del small_blocks
    embdc.encode(features, tmp_path / "a.embdc", lossless=True)
    embdc.decode(tmp_path / "a.embdc", tmp_path / f"a.{suffix}")
    web.bodies["a"] = (tmp_path / f"a.{suffix}").read_bytes()
    embdc.encode(web.url("a"), tmp_path / "b.embdc", lossless=True)
    with embdc.open(tmp_path / "b.embdc") as opened:
        np.testing.assert_array_equal(opened["data"][:].numpy(), features)


def test_blocks_are_read_by_many_threads(web: Web, small_blocks: int) -> None:
    body = np.random.default_rng(2).bytes(30 * small_blocks + 17)
    web.bodies["a"] = body
    kept = blocks.Blocks(RemoteObject(web.url("a"), first_bytes=small_blocks), keep_max=1)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for offset in rng.integers(0, len(body) - 1000, 40).tolist():
            buffer = bytearray(1000)
            done = kept.read_into(offset, memoryview(buffer))
            if buffer[:done] != body[offset : offset + done]:
                wrong.append(offset)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert os.fstat(kept._file.fileno()).st_size <= blocks._LEAST * small_blocks
    kept.close()
    assert wrong == []


def test_the_block_that_was_used_least_recently_is_dropped(web: Web, small_blocks: int) -> None:
    web.bodies["a"] = bytes(30 * small_blocks)
    kept = blocks.Blocks(RemoteObject(web.url("a"), first_bytes=small_blocks), keep_max=1)

    def asked_for(number: int) -> int:
        before = len(web.asked)
        kept.read_into(number * small_blocks, memoryview(bytearray(10)))
        return len(web.asked) - before

    assert blocks._LEAST == 8
    # none beside the one before, so that nothing is read ahead
    assert [asked_for(number) for number in (4, 8, 12, 16, 20, 24, 28)] == [1] * 7
    assert [asked_for(number) for number in (4, 26, 22, 4, 8)] == [0, 1, 1, 0, 1]
    kept.close()
