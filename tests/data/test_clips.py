"""Clips of many archives: which rows, in every kind of process."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import embdc_cli as embdc
from embdc_cli.data import Clips, pool, prefetched
from tests.synthetic import embeddings

LENGTHS = (20, 3, 37)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    found = []
    for seed, rows in enumerate(LENGTHS):
        found.append(folder / f"{seed}.embdc")
        x = embeddings(rows, 3, 8) + np.float16(seed)
        embdc.encode({"patch": x, "cls": x[:, 0]}, found[-1], chunk_frames=8, lossless=True)
    return found


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 12), every=st.integers(1, 4), stride=st.none() | st.integers(1, 50))
def test_clips_are_slices_in_order(paths: list[Path], rows: int, every: int, stride: int | None) -> None:
    data = Clips(paths, rows, every=every, stride=stride, stream="patch")
    step = rows * every if stride is None else stride
    wanted = []
    for number, path in enumerate(paths):
        with embdc.open(path) as archive:
            whole = archive["patch"][:]
        starts = [start for start in range(0, len(whole), step) if start + (rows - 1) * every < len(whole)]
        wanted += [(number, start, whole[start : start + (rows - 1) * every + 1 : every]) for start in starts]
    assert len(data) == len(wanted)
    for found, (number, start, values) in zip((data[i] for i in range(len(data))), wanted, strict=True):
        assert (found["archive"], found["start"]) == (number, start)
        assert found["values"].shape == (rows, 3, 8)
        assert torch.equal(found["values"], values)


def test_the_first_stream_and_negative_numbers(paths: list[Path]) -> None:
    data = Clips([str(path) for path in paths], 4)
    assert data[0]["values"].shape == (4, 3, 8)
    assert torch.equal(data[-1]["values"], data[len(data) - 1]["values"])
    assert Clips(paths, 4, stream="cls")[1]["values"].shape == (4, 8)
    for beyond in (len(data), -len(data) - 1):
        with pytest.raises(IndexError):
            data[beyond]


def test_items_of_one_archive_are_all_taken(paths: list[Path], tmp_path: Path) -> None:
    embdc.cat(paths, tmp_path / "all.embdc", join="items")
    one, several = Clips([tmp_path / "all.embdc"], 5, stream="patch"), Clips(paths, 5, stream="patch")
    assert len(one) == len(several)
    assert all(torch.equal(one[i]["values"], several[i]["values"]) for i in range(len(one)))


def test_few_archives_stay_open(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_OPEN", 2)
    data = Clips([*paths, *paths], 3)
    for index in torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist():
        assert data[index]["values"].shape == (3, 3, 8)
        assert len(data._source.archives) <= 2


def test_archives_are_closed_when_their_models_take_too_much(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_BYTES", 1)
    data = Clips(paths, 3)
    for index in (0, len(data) - 1, 1):
        assert data[index]["values"].shape == (3, 3, 8)
        assert len(data._source.archives) == 1


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_give_what_the_process_itself_gives(paths: list[Path], context: str) -> None:
    data = Clips(paths, 4, stream="patch")
    wanted = [data[i] for i in range(len(data))]
    loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context=context)
    found = list(prefetched(loader, "cpu"))
    assert torch.equal(torch.cat([one["values"] for one in found]), torch.stack([one["values"] for one in wanted]))
    assert torch.cat([one["start"] for one in found]).tolist() == [one["start"] for one in wanted]


def test_it_is_sent_without_open_files(paths: list[Path]) -> None:
    data = Clips(paths, 4)
    assert data[0]["start"] == 0
    assert len(data._source.archives) == 1
    again = pickle.loads(pickle.dumps(data))
    assert len(again._source.archives) == 0
    assert torch.equal(again[3]["values"], data[3]["values"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows: expected at least 1, found 0"),
        ({"rows": 2.5}, "rows: expected a number of rows, found 2.5"),
        ({"rows": float("nan")}, "rows: expected a number of rows, found nan"),
        ({"rows": "8"}, "rows: expected a number of rows, found '8'"),
        ({"rows": True}, "rows: expected a number of rows, found True"),
        ({"rows": 2, "every": 1.5}, "every: expected a number of rows, found 1.5"),
        ({"rows": 2, "stride": float("nan")}, "stride: expected a number of rows, found nan"),
        ({"rows": 2, "every": 0}, "every: expected at least 1"),
        ({"rows": 2, "stride": -1}, "stride: expected at least 1"),
        ({"rows": 2, "stream": "pooled"}, "stream 'pooled' is not there"),
        ({"rows": 2, "device": "tpu"}, "--device"),
    ],
)
def test_what_cannot_be_is_said(paths: list[Path], options: dict[str, int], message: str) -> None:
    with pytest.raises(embdc.UsageError, match=message):
        Clips(paths, **options)  # type: ignore[arg-type]


def test_rows_of_unequal_token_counts(tmp_path: Path) -> None:
    counts = [3, 1, 0, 4, 2, 5, 1]
    rows = [np.full((count, 4), number, np.float16) for number, count in enumerate(counts)]
    embdc.encode(rows, tmp_path / "a.embdc", lossless=True, chunk_frames=3)
    data = Clips([tmp_path / "a.embdc"], 2, every=2, stride=1)
    for index in range(len(data)):
        found = data[index]
        assert found["token_counts"].tolist() == [counts[index], counts[index + 2]]
        assert found["values"].tolist() == [*rows[index].tolist(), *rows[index + 2].tolist()]


def test_several_streams_give_the_same_rows(paths: list[Path]) -> None:
    both, patch, cls = (Clips(paths, 4, stream=stream) for stream in (["cls", "patch"], "patch", "cls"))
    assert len(both) == len(patch)
    for index in range(len(both)):
        found = both[index]
        assert torch.equal(found["patch"]["values"], patch[index]["values"])
        assert torch.equal(found["cls"]["values"], cls[index]["values"])
        assert (found["archive"], found["cls"]["start"]) == (patch[index]["archive"], patch[index]["start"])


def test_chunks_of_a_clip_come_in_one_round_trip_and_are_kept(paths: list[Path]) -> None:
    data = Clips(paths, 5, stride=1, stream="patch")
    with data._source.archives.using(0) as archive:
        before = archive.reader.round_trips
        data[6]  # rows 6 to 10, of two chunks
        assert archive.reader.round_trips == before + 1
        data[4]
        assert archive.reader.round_trips == before + 1


def test_damage_is_an_error(paths: list[Path], tmp_path: Path) -> None:
    data = bytearray(paths[2].read_bytes())
    with embdc.open(paths[2]) as archive:
        entry = archive["patch"].stream.entries[2]
    data[entry.offset + entry.length // 2] ^= 1
    (tmp_path / "bad.embdc").write_bytes(data)
    clips = Clips([tmp_path / "bad.embdc"], 8, stream="patch")
    assert clips[0]["values"].shape == (8, 3, 8)
    loader = DataLoader(clips, batch_size=1, num_workers=1)
    with pytest.raises(embdc.CorruptArchive):
        list(loader)


def test_archives_without_rows(tmp_path: Path, paths: list[Path]) -> None:
    embdc.encode({"patch": np.zeros((0, 3, 8), np.float16)}, tmp_path / "none.embdc", lossless=True)
    assert len(Clips([tmp_path / "none.embdc"], 1)) == 0
    assert len(Clips([tmp_path / "none.embdc", paths[0]], 1, stream="patch")) == LENGTHS[0]
    assert len(Clips([], 3)) == 0
