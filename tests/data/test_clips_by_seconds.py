"""Clips by seconds, against the definition: irregular times, gaps, other rates, several streams."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.data import Clips, Manifest, ShuffledClips
from tests.synthetic import embeddings

MICRO = 1_000_000
STREAMS = ("patch", "audio", "text")


def encode(path: Path, starts: np.ndarray, **more: np.ndarray) -> torch.Tensor:
    """Rows that start at `starts` microseconds; the last one as long as the median row."""
    x = embeddings(len(starts), 2, 4)
    embdc.encode({"patch": x, **more, "timestamps": starts / MICRO}, path, lossless=True, chunk_frames=8, force=True)
    return torch.from_numpy(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seconds")


STEPS = st.lists(st.sampled_from([10_000, 33_333, 33_334, 40_000, 100_000, 700_000]), min_size=1, max_size=40)


@settings(deadline=None, max_examples=40)
@given(
    steps=STEPS,
    origin=st.sampled_from([0, 500_000, 3]),
    seconds=st.sampled_from([0.05, 0.1, 0.3, 1.0, 2]),
    stride=st.none() | st.sampled_from([0.04, 0.5]),
    fps=st.none() | st.sampled_from([1, 7.5, 30]),
)
@example(steps=[33_333, 33_334, 33_333], origin=0, seconds=0.1, stride=None, fps=30)  # a row a third of a tick late
@example(steps=[111_111, 111_111], origin=0, seconds=1 / 3, stride=None, fps=None)  # an end a third of a tick early
def test_against_the_definition(
    folder: Path, steps: list[int], origin: int, seconds: float, stride: float | None, fps: float | None
) -> None:
    starts = origin + np.cumsum([0, *steps])
    x = encode(folder / "a.embdc", starts)
    data = Clips([folder / "a.embdc"], seconds=seconds, stride=stride, fps=fps, stream="patch")
    length, step = Fraction(str(seconds)), Fraction(str(seconds if stride is None else stride))
    duration = Fraction(int(starts[-1] - starts[0] + int(np.median(np.diff(starts)))), MICRO)
    exact = [Fraction(int(start - origin), MICRO) for start in starts]
    wanted = []
    while len(wanted) * step + length <= duration + Fraction(1, 2 * MICRO):
        t = len(wanted) * step
        if fps is None:
            rows = [row for row, start in enumerate(exact) if t <= start < t + length]
        else:
            slots = [t + k / Fraction(str(fps)) for k in range(ceil(length * Fraction(str(fps))))]
            shown = [[row for row, start in enumerate(exact) if start <= at + Fraction(1, 2 * MICRO)] for at in slots]
            rows = [one[-1] for one in shown]
        wanted.append((float(t), rows))
    assert len(data) == len(wanted)
    found = [data[index] for index in range(len(data))]
    shuffled = ShuffledClips([folder / "a.embdc"], seconds=seconds, stride=stride, fps=fps, stream="patch", buffer=3)
    read = sorted(shuffled, key=lambda one: one["seconds"])
    assert len(read) == len(found)
    for one, other, (t, rows) in zip(found, read, wanted, strict=True):
        assert one["seconds"] == other["seconds"] == t
        assert torch.equal(one["values"], x[rows])
        assert torch.equal(other["values"], x[rows])
        assert one.get("row_count", len(rows)) == len(rows)
        assert one["start"] == (rows[0] if rows else 0)
        assert ("row_count" in one) == (fps is None)


def test_clips_that_are_chunks_are_units_of_their_own(folder: Path) -> None:
    encode(folder / "chunks.embdc", 40_000 * np.arange(40))
    (archive,) = Manifest.of([folder / "chunks.embdc"])
    assert len(archive.streams[0].chunks) == 5
    assert len(ShuffledClips([folder / "chunks.embdc"], seconds=0.32)._units) == 5


def test_items_of_other_rates_are_cut_by_the_same_seconds(folder: Path) -> None:
    """Two items of one archive, each by a clock of its own, as in `Archive.between`."""
    video = encode(folder / "video.embdc", 500_000 + 40_000 * np.arange(50))
    sound = encode(folder / "sound.embdc", 10_000 * np.arange(300))
    embdc.cat([folder / "video.embdc", folder / "sound.embdc"], folder / "both.embdc", join="items")
    with embdc.open(folder / "both.embdc") as archive:
        names = [name for name in archive if name.endswith("patch")]
    data = Clips([folder / "both.embdc"], seconds=0.4, stream=names)
    assert len(data) == 5
    for clip in range(5):
        first, second = (data[clip][name] for name in names)
        assert torch.equal(first["values"], video[10 * clip : 10 * clip + 10])
        assert torch.equal(second["values"], sound[40 * clip : 40 * clip + 40])
        assert second["start"] == 40 * clip
    with pytest.raises(embdc.UsageError, match="equally many rows"):
        Clips([folder / "both.embdc"], 4, stream=names)


def test_both_streams_of_an_item(folder: Path) -> None:
    starts = 40_000 * np.arange(20)
    more = embeddings(20, 1, 4, seed=3)[:, 0]
    x = encode(folder / "two.embdc", starts, cls=more)
    one = Clips([folder / "two.embdc"], seconds=0.2, fps=10, stream=["cls", "patch"])[2]
    assert torch.equal(one["patch"]["values"], x[[10, 12]])
    assert torch.equal(one["cls"]["values"], torch.from_numpy(more)[[10, 12]])


def test_streams_beside_each_of_several_inputs(folder: Path) -> None:
    frames, sound = embeddings(20, 2, 4), embeddings(100, 1, 4, seed=3)[:, 0]
    np.savez(folder / "seen.npz", patch=frames, timestamps=3.25 + np.arange(20) / 10)
    np.save(folder / "heard.npy", sound)
    add = f"audio={folder / 'heard.npy'}@50hz"
    embdc.encode(folder / "seen.npz", folder / "one.embdc", key="patch", add=add, lossless=True)
    embdc.cat([folder / "one.embdc"] * 2, folder / "twice.embdc", join="items")
    clips = Clips([folder / "twice.embdc"], seconds=0.5, stream=["patch", "audio"])
    assert len(clips) == 8
    for number, clip in enumerate(clips):
        first = number % 4
        assert torch.equal(clip["patch"]["values"], torch.from_numpy(frames[5 * first : 5 * first + 5]))
        assert torch.equal(clip["audio"]["values"], torch.from_numpy(sound[25 * first : 25 * first + 25]))


LATE = 0.5
"""Seconds from the first frame to where the sound begins."""


@pytest.fixture(scope="module")
def late(folder: Path) -> Path:
    """20 frames from 3.25 s on in 2 s, sound from 0.5 s after the first of them to 2.5 s, and two early words."""
    np.savez(folder / "frames.npz", patch=embeddings(20, 2, 4), timestamps=3.25 + np.arange(20) / 10)
    np.save(folder / "sound.npy", embeddings(100, 1, 4, seed=3)[:, 0])
    np.save(folder / "words.npy", embeddings(2, 1, 4, seed=4)[:, 0])
    np.save(folder / "spoken.npy", np.array([[0.25, 0.5], [0.75, 1.0]]))
    adds = [f"audio={folder}/sound.npy@50hz+{LATE}s", f"text={folder}/words.npy@{folder}/spoken.npy"]
    embdc.encode(folder / "frames.npz", folder / "late.embdc", key="patch", add=adds, lossless=True, chunk_frames=8)
    return folder / "late.embdc"


@pytest.mark.parametrize("stride", [0.25, 1.0])
@pytest.mark.parametrize("names", [names for count in (1, 2, 3) for names in permutations(STREAMS, count)])
def test_all_streams_count_from_the_zero_of_the_clock(late: Path, names: tuple[str, ...], stride: float) -> None:
    """The clips of `Archive.between`, in whatever order the streams are named, also from a manifest that was saved."""
    Manifest.of([late]).save(late.with_suffix(".json"))
    manifest = Manifest.load(late.with_suffix(".json"))
    end = 2.0 if "patch" in names else 2.5 if "audio" in names else 1.0
    clips = Clips(manifest, seconds=0.5, stride=stride, stream=names)
    read = sorted(
        ShuffledClips(manifest, seconds=0.5, stride=stride, stream=names), key=lambda one: float(one["seconds"])
    )
    assert len(clips) == len(read) == int((end - 0.5) / stride) + 1
    with embdc.open(late) as archive:
        for number, (clip, shuffled) in enumerate(zip(clips, read, strict=True)):
            wanted = archive.between(number * stride, number * stride + 0.5)
            for found in (clip, shuffled):
                assert found["seconds"] == number * stride
                assert all(torch.equal(found[name]["values"], wanted[name]) for name in names)


def test_at_a_rate_all_streams_count_from_the_zero_of_the_clock(late: Path) -> None:
    for names in permutations(STREAMS):
        clips = Clips([late], seconds=1, fps=4, stream=names)
        assert len(clips) == 2
        with embdc.open(late) as archive:
            for second, clip in enumerate(clips):
                for name in names:
                    shown = [archive.at(second + slot / 4, name) for slot in range(4)]
                    assert clip[name]["start"] == shown[0]
                    assert torch.equal(clip[name]["values"], torch.stack([archive[name][row] for row in shown]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either rows or seconds"),
        ({"rows": 2, "seconds": 1}, "either rows or seconds"),
        ({"seconds": 0}, "seconds: expected more than 0"),
        ({"seconds": float("nan")}, "seconds: expected a number, found nan"),
        ({"seconds": 1, "fps": float("inf")}, "fps: expected a number, found inf"),
        ({"seconds": 1, "stride": "x"}, "stride: expected a number, found 'x'"),
        ({"seconds": 1, "fps": -1}, "fps: expected more than 0"),
        ({"seconds": 1, "stride": 0}, "stride: expected more than 0"),
        ({"seconds": 1, "every": 2}, "every: expected clips by rows"),
        ({"rows": 1, "fps": 2}, "fps: expected clips by seconds"),
        ({"rows": 2, "stride": 1.5}, "stride: expected a number of rows"),
        ({"rows": 2, "stream": ["patch", "patch"]}, "names that differ"),
        ({"rows": 2, "stream": []}, "names that differ"),
    ],
)
def test_what_cannot_be_is_said(folder: Path, options: dict[str, float], message: str) -> None:
    encode(folder / "c.embdc", 40_000 * np.arange(9))
    with pytest.raises(embdc.UsageError, match=message):
        Clips([folder / "c.embdc"], **options)  # type: ignore[arg-type]


def test_without_times_there_are_no_seconds(folder: Path) -> None:
    embdc.encode(embeddings(9, 2, 4), folder / "d.embdc", lossless=True, force=True)
    with pytest.raises(embdc.UsageError, match="keeps no times"):
        Clips([folder / "d.embdc"], seconds=1)
