"""Shuffled clips: every one once, each chunk decoded once, in every kind of process, and on after any stop."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import embdc_cli as embdc
from embdc_cli.archive import Archive
from embdc_cli.data import Clips, ShuffledClips, collate, prefetched
from tests.synthetic import embeddings

LENGTHS = (40, 3, 0, 37, 21, 64)
Place = tuple[int, int]

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shuffled")
    found = []
    for seed, rows in enumerate(LENGTHS):
        found.append(folder / f"{seed}.embdc")
        embdc.encode({"patch": embeddings(max(rows, 1), 2, 4)[:rows] + np.float16(seed)}, found[-1], chunk_frames=8,
                     lossless=True)  # fmt: skip
    return found


def places(samples: Any) -> list[Place]:
    """(archive, first row) of samples, or of batches."""
    found: list[Place] = []
    for one in samples:
        if isinstance(one["archive"], torch.Tensor):
            found += zip(one["archive"].tolist(), one["start"].tolist(), strict=True)
        else:
            found.append((one["archive"], one["start"]))
    return found


def every(paths: list[Path], rows: int, **options: Any) -> dict[Place, torch.Tensor]:
    clips = Clips(paths, rows, **options)
    return {(one["archive"], one["start"]): one["values"] for one in (clips[index] for index in range(len(clips)))}


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(1, 11),
    stride=st.none() | st.integers(1, 30),
    buffer=st.integers(1, 40),
    interleave=st.integers(1, 5),
    world_size=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
def test_every_clip_once_over_all_ranks(
    paths: list[Path], rows: int, stride: int | None, buffer: int, interleave: int, world_size: int, epoch: int
) -> None:
    wanted = every(paths, rows, stride=stride)
    found: list[Place] = []
    for rank in range(world_size):
        clips = ShuffledClips(
            paths, rows, stride=stride, buffer=buffer, interleave=interleave, rank=rank, world_size=world_size
        )
        clips.set_epoch(epoch)
        samples = list(clips)
        assert len(samples) == clips.counts()[rank]
        for one in samples:
            assert torch.equal(one["values"], wanted[one["archive"], one["start"]])
        found += places(samples)
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize(
    ("context", "workers", "world_size"), [("fork", 1, 2), ("fork", 2, 2), ("fork", 3, 2), ("spawn", 2, 1)]
)
def test_every_clip_once_over_all_workers(paths: list[Path], context: str, workers: int, world_size: int) -> None:
    wanted = every(paths, 5)
    ranks = []
    for rank in range(world_size):
        clips = ShuffledClips(paths, 5, buffer=6, rank=rank, world_size=world_size)
        loader = DataLoader(clips, batch_size=3, num_workers=workers, multiprocessing_context=context)
        batches = list(prefetched(loader, "cpu"))
        for batch in batches:
            for at, place in enumerate(places([batch])):
                assert torch.equal(batch["values"][at], wanted[place])
        ranks.append(places(batches))
        assert len(ranks[rank]) == clips.counts(workers)[rank]
    assert sorted(chain(*ranks)) == sorted(wanted)


@pytest.mark.parametrize(
    ("rows", "stride", "buffer"), [(8, None, 64), (3, None, 2), (8, 2, 5), (1, None, 1), (20, 5, 9)]
)
def test_each_chunk_is_decoded_once(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, rows: int, stride: int | None, buffer: int
) -> None:
    decoded: Counter[tuple[Any, int]] = Counter()
    original = Archive.decode

    def counted(archive: Archive, stream: Any, entry: Any, payload: bytes) -> np.ndarray:
        decoded[archive._path, entry.row0] += 1
        return original(archive, stream, entry, payload)

    monkeypatch.setattr(Archive, "decode", counted)
    clips = ShuffledClips(paths, rows, stride=stride, buffer=buffer)
    assert places(clips)
    assert set(decoded.values()) == {1}
    with_clips = [length for length in LENGTHS if length >= rows]
    assert len(decoded) <= sum(-(-length // 8) for length in with_clips)


def test_clips_that_are_chunks_are_units_of_their_own(paths: list[Path]) -> None:
    assert len(ShuffledClips(paths, 8)._units) == sum(length // 8 for length in LENGTHS)


def test_epochs_and_seeds_are_orders_of_their_own(paths: list[Path]) -> None:
    def order(epoch: int, seed: int = 0) -> list[Place]:
        clips = ShuffledClips(paths, 4, seed=seed)
        clips.set_epoch(epoch)
        return places(clips)

    assert order(0) == order(0)
    assert len({str(order(epoch)) for epoch in range(4)} | {str(order(0, seed)) for seed in range(1, 4)}) == 7


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_that_persist_hear_of_the_epoch(paths: list[Path], context: str) -> None:
    clips = ShuffledClips(paths, 4)
    loader = DataLoader(clips, num_workers=1, persistent_workers=True, multiprocessing_context=context)
    found = []
    for epoch in (0, 1, 0):
        clips.set_epoch(epoch)
        found.append(places(loader))
    assert found[0] == found[2] != found[1]
    assert sorted(found[0]) == sorted(found[1])
    clips.load_state_dict(clips.state_dict_after(loader, 7))
    assert places(loader) == found[0][7:]
    assert places(loader) == found[0]


@settings(deadline=None, max_examples=15)
@given(stop=st.integers(0, 60), rows=st.integers(2, 9), buffer=st.integers(1, 20))
def test_on_after_any_stop(paths: list[Path], stop: int, rows: int, buffer: int) -> None:
    options: dict[str, Any] = {"buffer": buffer, "interleave": 3, "seed": 5, "stride": 4}
    clips = ShuffledClips(paths, rows, **options)
    clips.set_epoch(2)
    whole = places(clips)
    iterator = iter(clips)
    begun = places(islice(iterator, stop))
    state = pickle.loads(pickle.dumps(clips.state_dict()))
    assert begun == whole[:stop]
    again = ShuffledClips(paths, rows, **options)
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert places(again) == whole[stop:]
    assert places(again) == whole  # a state is gone on with once
    again.set_epoch(3)
    assert places(again) != whole


@pytest.mark.parametrize(
    ("workers", "drop_last"), [(0, False), (0, True), (1, False), (2, False), (2, True), (3, True)]
)
def test_a_plain_loader_goes_on_after_the_batches_that_the_loop_took(
    paths: list[Path], workers: int, drop_last: bool
) -> None:
    def opened() -> tuple[ShuffledClips, DataLoader[Any]]:
        clips = ShuffledClips(paths, 4, buffer=8)
        return clips, DataLoader(
            clips, batch_size=3, num_workers=workers, drop_last=drop_last, prefetch_factor=2 if workers else None
        )

    clips, loader = opened()
    whole = [places([batch]) for batch in loader]
    for stops in ([0, 1, 3, len(whole) - 5, 1], [2, 2, 3]):
        clips, loader = opened()
        done = 0
        for stop in stops:
            found = []
            for batch in prefetched(loader, "cpu"):
                if len(found) == stop:
                    break
                found.append(places([batch]))
            assert found == whole[done : done + stop]
            done += stop
            state = clips.state_dict_after(loader, stop)
            clips, loader = opened()
            clips.load_state_dict(state)
        assert [places([batch]) for batch in loader] == whole[done:]


class Stateful:
    """What the workers of a StatefulDataLoader do with a data set: state after every batch, and again from there."""

    def __init__(self, clips: ShuffledClips) -> None:
        self.clips = clips

    def __call__(self, samples: list[Any]) -> Any:
        return collate(samples), self.clips.state_dict()


def test_the_state_in_a_worker_is_that_of_its_batch(paths: list[Path]) -> None:
    clips = ShuffledClips(paths, 4, buffer=8)
    loader = DataLoader(clips, batch_size=3, num_workers=2)
    loader.collate_fn = Stateful(loader.dataset)  # type: ignore[arg-type]  # both travel to the worker together
    found = [(places([batch]), state) for batch, state in loader]
    with pytest.raises(embdc.UsageError, match="workers read ahead"):
        clips.state_dict()
    for at, (_, state) in enumerate(found):
        worker = at % 2
        mine = [batch for batch, _ in found[worker::2]]
        assert state["given"][worker] == sum(map(len, mine[: at // 2 + 1]))
        assert state["shares"][worker] == worker


@pytest.mark.parametrize("change", [{"seed": 1}, {"rank": 0, "world_size": 2}, {"rows": 5}])
def test_a_state_of_something_else_is_refused(paths: list[Path], change: dict[str, int]) -> None:
    state = ShuffledClips(paths, 4).state_dict()
    with pytest.raises(embdc.UsageError, match="state: it is of"):
        ShuffledClips(paths, **{"rows": 4, **change}).load_state_dict(state)


def test_a_state_of_other_workers_is_refused(paths: list[Path]) -> None:
    clips = ShuffledClips(paths, 4)
    state = clips.state_dict_after(DataLoader(clips, num_workers=2), 3)
    clips.load_state_dict(state)
    with pytest.raises(embdc.UsageError, match="workers: the state is of 2, found 1"):
        iter(clips)
    with pytest.raises(embdc.UsageError, match="workers: the state is of 2, found 1"):
        list(DataLoader(clips, num_workers=1))
    with pytest.raises(embdc.UsageError, match="of this data set"):
        clips.state_dict_after(DataLoader(ShuffledClips(paths, 4)), 0)


def test_damage_is_an_error(paths: list[Path], tmp_path: Path) -> None:
    data = bytearray(paths[0].read_bytes())
    with embdc.open(paths[0]) as archive:
        entry = archive["patch"].stream.entries[2]
    data[entry.offset + entry.length // 2] ^= 1
    (tmp_path / "bad.embdc").write_bytes(data)
    clips = ShuffledClips([*paths, tmp_path / "bad.embdc"], 4)
    with pytest.raises(embdc.CorruptArchive):
        list(clips)
    with pytest.raises(embdc.CorruptArchive):
        list(DataLoader(clips, num_workers=1))


def test_ragged_rows(tmp_path: Path) -> None:
    rows = [np.full((count, 4), number, np.float16) for number, count in enumerate([3, 1, 0, 4, 2, 5, 1, 1, 2])]
    embdc.encode(rows, tmp_path / "a.embdc", lossless=True, chunk_frames=3)
    clips = ShuffledClips([tmp_path / "a.embdc"], 2, buffer=3)
    samples = sorted(clips, key=lambda one: one["start"])
    assert [one["start"] for one in samples] == [0, 2, 4, 6]
    np.testing.assert_array_equal(torch.cat([one["values"] for one in samples]), np.concatenate(rows[:8]))


def test_it_can_be_pickled_and_given_up(paths: list[Path]) -> None:
    clips = ShuffledClips(paths, 4)
    iterator = iter(clips)
    next(iterator)
    again = pickle.loads(pickle.dumps(clips))
    assert places(again) == places(clips)
    iterator.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buffer": 0}, "buffer: expected at least 1"),
        ({"interleave": 0}, "interleave: expected at least 1"),
        ({"world_size": 0}, "world_size: expected at least 1"),
        ({"rank": 2, "world_size": 2}, "rank: expected 0 to 1, found 2"),
    ],
)
def test_what_cannot_be_is_said(paths: list[Path], options: dict[str, int], message: str) -> None:
    with pytest.raises(embdc.UsageError, match=message):
        ShuffledClips(paths, 4, **options)  # type: ignore[arg-type]


def test_no_clips_at_all(paths: list[Path]) -> None:
    assert places(ShuffledClips(paths, 1000)) == []
    assert places(DataLoader(ShuffledClips([], 3), num_workers=1)) == []


@pytest.mark.gpu
def test_on_a_device(paths: list[Path]) -> None:
    clips = ShuffledClips(paths, 4, device="cuda")
    wanted = every(paths, 4)
    for one in clips:
        assert one["values"].is_cuda
        assert torch.equal(one["values"].cpu(), wanted[one["archive"], one["start"]])
