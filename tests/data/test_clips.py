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
from embdc_cli.data import Clips, clips, prefetched
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
    monkeypatch.setattr(clips, "MOST_OPEN", 2)
    data = Clips([*paths, *paths], 3)
    for index in torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist():
        assert data[index]["values"].shape == (3, 3, 8)
        assert len(data._opened) <= 2


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
    again = pickle.loads(pickle.dumps(data))
    assert not again._opened
    assert torch.equal(again[3]["values"], data[3]["values"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows: expected at least 1, found 0"),
        ({"rows": 2, "every": 0}, "every: expected at least 1"),
        ({"rows": 2, "stride": -1}, "stride: expected at least 1"),
        ({"rows": 2, "stream": "pooled"}, "stream 'pooled' is not there"),
        ({"rows": 2, "device": "tpu"}, "--device"),
    ],
)
def test_what_cannot_be_is_said(paths: list[Path], options: dict[str, int], message: str) -> None:
    with pytest.raises(embdc.UsageError, match=message):
        Clips(paths, **options)  # type: ignore[arg-type]


def test_rows_of_unequal_shape_are_refused(tmp_path: Path) -> None:
    embdc.encode([np.ones((3, 4), np.float16), np.ones((1, 4), np.float16)], tmp_path / "a.embdc", lossless=True)
    with pytest.raises(embdc.UsageError, match="no rows of equal shape"):
        Clips([tmp_path / "a.embdc"], 1)
