"""A video joined with an embedder: rows, times, and what is told."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from embdc_cli.embedder import feed as feed_module
from embdc_cli.embedder.feed import embed_video
from embdc_cli.embedder.open import frames_device
from embdc_cli.embedder.patch_dct import NOT_SEMANTIC, patch_dct
from embdc_cli.embedder.protocol import Schedule
from embdc_cli.errors import MissingModel, SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import VideoSource, open_video
from embdc_cli.values import Feed, StreamSpec
from tests.source.fake_nvdec import FakeLibrary, library

__all__ = ["library"]

SHAPES = Path(__file__).parents[2] / "samples" / "shapes.mp4"


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, int, int | None, str]] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        self.steps.append((stage, done, total, unit))


def drained(feed: Feed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The stream `patch` of all blocks, starts and ends."""
    blocks = list(feed.blocks)
    starts = [block.starts for block in blocks if block.starts is not None]
    ends = [block.ends for block in blocks if block.ends is not None]
    return np.concatenate([block.arrays["patch"] for block in blocks]), np.concatenate(starts), np.concatenate(ends)


def test_rows_are_the_embeddings_of_the_frames_with_their_times() -> None:
    reporter = Notes()
    feed = embed_video(str(SHAPES), EncodeOptions(fps="8"), reporter)
    assert feed.timebase == Fraction(1, 12288)
    assert feed.name == "shapes"
    assert [spec.name for spec in feed.specs] == ["patch"]
    assert feed.specs[0].rows is None
    rows, starts, ends = drained(feed)
    feed.close()
    video = open_video(SHAPES, EncodeOptions(fps="8"))
    frames = list(video)
    video.close()
    assert rows.shape == (24, 196, 384)
    assert np.array_equal(rows, np.stack([patch_dct(frame.pixels) for frame in frames]))
    assert starts.dtype == ends.dtype == np.int64
    assert starts.tolist() == [frame.start for frame in frames] == [1536 * n for n in range(24)]
    assert ends.tolist() == [frame.end for frame in frames]
    assert feed.incomplete is None
    assert feed.source == video.source
    assert feed.source["frames_decoded"] == 72
    assert feed.encoder is not None
    assert feed.encoder["name"] == "patch-dct"


def test_it_says_once_that_the_built_in_embedder_knows_no_meaning() -> None:
    reporter = Notes()
    feed = embed_video(SHAPES, EncodeOptions(fps="1"), reporter)
    drained(feed)
    assert reporter.notes == [NOT_SEMANTIC]
    assert reporter.steps == [("embed", 3, None, "frames")]


def test_progress_has_a_total_where_the_container_tells_it() -> None:
    reporter = Notes()
    drained(embed_video(SHAPES, EncodeOptions(), reporter))
    assert reporter.steps == [("embed", done, 72, "frames") for done in range(8, 73, 8)]


def test_a_stream_gives_the_same_rows_and_no_name() -> None:
    with open(SHAPES, "rb") as pipe:
        feed = embed_video(pipe, EncodeOptions(fps="4"), Notes())
        assert feed.name == ""
        rows, starts, _ = drained(feed)
    expected, expected_starts, _ = drained(embed_video(SHAPES, EncodeOptions(fps="4"), Notes()))
    assert np.array_equal(rows, expected)
    assert np.array_equal(starts, expected_starts)


def test_a_broken_video_is_refused_or_marked_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(SHAPES.read_bytes()[:60000])
    with pytest.raises(SourceError, match=r"cut\.mp4: truncated"):
        drained(embed_video(str(path), EncodeOptions(), Notes()))
    feed = embed_video(str(path), EncodeOptions(keep_going=True), Notes())
    rows, _, _ = drained(feed)
    assert 20 < len(rows) < 72
    assert feed.incomplete is not None
    assert "everything after" in feed.incomplete


def test_a_window_behind_the_end_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--time 5s\.\.: chooses no frame"):
        drained(embed_video(SHAPES, EncodeOptions(time="5s.."), Notes()))


def test_a_bad_encoder_closes_the_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(SHAPES.read_bytes())
    with pytest.raises(MissingModel):
        embed_video(path, EncodeOptions(encoder=str(tmp_path / "nowhere")), Notes())
    # an unclosed file would be a ResourceWarning, which is an error here


def test_values_beyond_float16_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from embdc_cli.embedder import patch_dct as module

    monkeypatch.setattr(module, "patch_dct", lambda frame: np.full((196, 384), 65504, np.float16))
    reporter = Notes()
    drained(embed_video(SHAPES, EncodeOptions(fps="1"), reporter))
    assert reporter.notes[1:] == ["encoder: some values are beyond float16 and were stored as 65504, its largest"]


def test_batches_of_any_size_give_the_same_rows() -> None:
    rows = [drained(embed_video(SHAPES, EncodeOptions(time="..1s", batch_size=n), Notes()))[0] for n in (1, 7, 8)]
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])


class Means:
    """An embedder that takes frames wherever they are: the mean of each colour."""

    notes: Sequence[str] = ()
    batch_size = 8
    schedule: Schedule = ()
    specs = (StreamSpec("patch", "float16", "t,c", (3,), None),)

    def for_size(self, height: int, width: int, schedule: Schedule) -> Means:
        assert (height, width) == (240, 320)
        return self

    def embed(self, frames: Sequence[Any]) -> dict[str, np.ndarray]:
        self.tensors = sum(isinstance(frame, torch.Tensor) for frame in frames)
        return {"patch": np.stack([np.asarray(frame).mean((0, 1)) for frame in frames]).astype(np.float16)}

    def provenance(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("fails", [False, True])
def test_frames_stay_on_the_device_and_a_hand_back_is_told_once(
    library: FakeLibrary, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(feed_module, "open_embedder", lambda options: Means())
    expected = drained(embed_video(SHAPES, EncodeOptions(), Notes()))
    monkeypatch.setattr(feed_module, "frames_device", lambda options: torch.device("cuda:0"))
    monkeypatch.setattr(VideoSource, "_notes", lambda self, picture: ["early"])
    library.fails = {40} if fails else set()
    reporter = Notes()
    feed = embed_video(SHAPES, EncodeOptions(), reporter)
    rows, starts, ends = drained(feed)
    assert np.abs(rows - expected[0]).max() < 0.1
    assert np.array_equal((starts, ends), expected[1:])
    assert 0 < feed.source["nvdec_frames"] < 40 if fails else feed.source["nvdec_frames"] == 72
    assert reporter.notes[0] == "early"
    assert ["CUDA_ERROR_UNKNOWN" in note for note in reporter.notes[1:]] == [True] * fails


def test_only_networks_on_a_cuda_device_take_frames_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True, device_count=lambda: 2))
    devices = [
        frames_device(EncodeOptions(encoder=encoder, device=device))
        for encoder in (None, "patch-dct", "some/tower")
        for device in ("auto", "cpu", "cuda:1")
    ]
    assert devices == [None] * 6 + [torch.device("cuda"), None, torch.device("cuda:1")]
