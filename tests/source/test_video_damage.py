"""Broken videos: refused with the place, or with keep_going the good part and words about the rest; never silent."""

from __future__ import annotations

import os
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import open_video
from embdc_cli.source.video_input import declared_size
from embdc_cli.source.video_losses import Losses
from tests.source.video_files import ShortReads, make_video, numbers, picture, read

TRUNCATED: dict[str, dict[str, Any]] = {
    "front.mp4": {"options": {"g": "6"}, "muxer": {"movflags": "faststart"}},
    "fragments.mp4": {"options": {"g": "6"}, "muxer": {"movflags": "frag_keyframe+empty_moov"}},
    "h264.mkv": {"options": {"g": "6"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "6"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"b": "2M"}},
    "h264.avi": {"options": {"g": "6"}},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("damage")
    return {name: make_video(folder / name, **settings) for name, settings in TRUNCATED.items()}


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("part", [0.7, 0.9])
def test_a_truncated_file_is_refused_or_gives_its_good_part(
    videos: dict[str, Path], tmp_path: Path, name: str, part: float
) -> None:
    path = tmp_path / name
    data = videos[name].read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(SourceError, match=f"{path}: .*(truncated|damaged)") as refusal:
        read(path)
    assert refusal.value.hint == "--keep-going encodes the good part"
    video = open_video(path, EncodeOptions(keep_going=True))
    frames = list(video)
    video.close()
    assert video.incomplete is not None
    assert "left out: everything after" in video.incomplete
    assert 10 <= len(frames) < 48
    assert numbers(frames) == list(range(len(frames)))  # no hole before the end
    whole = read(videos[name])
    assert [frame.start for frame in frames] == [frame.start for frame in whole[: len(frames)]]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, whole, strict=False))


@pytest.mark.parametrize("name", ["front.mp4", "h264.mkv"])
def test_a_truncated_pipe_is_noticed_too(videos: dict[str, Path], name: str) -> None:
    data = videos[name].read_bytes()
    data = data[: len(data) * 8 // 10]
    with pytest.raises(SourceError, match="stdin: truncated"):
        read(ShortReads(data))
    video = open_video(ShortReads(data), EncodeOptions(keep_going=True))
    assert len(list(video)) >= 10
    video.close()
    assert video.incomplete is not None


def test_a_cut_between_two_packets_is_noticed_by_the_index(videos: dict[str, Path], tmp_path: Path) -> None:
    with av.open(str(videos["front.mp4"])) as container:
        position = [packet.pos for packet in container.demux(video=0) if packet.size][30]
    path = tmp_path / "cut.mp4"
    path.write_bytes(videos["front.mp4"].read_bytes()[:position])
    with pytest.raises(SourceError, match="truncated, 18 of 48 frames are missing"):
        read(path)
    assert numbers(read(path, keep_going=True))[:25] == list(range(25))


def test_every_cut_is_noticed(videos: dict[str, Path], tmp_path: Path) -> None:
    """From a few frames before the end to the last byte that matters: all 48 frames, or a complaint."""
    for name in ("front.mp4", "h264.mkv"):
        data = videos[name].read_bytes()
        path = tmp_path / name
        outcomes = set()
        for cut in range(len(data) - 1, len(data) - 6000, -487):
            path.write_bytes(data[:cut])
            try:
                outcomes.add(len(read(path)))
            except SourceError:
                outcomes.add("refused")
        assert outcomes <= {48, "refused"}
        assert "refused" in outcomes


def test_an_mp4_cut_before_its_index_cannot_be_opened(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-2000])
    for keep_going in (False, True):
        with pytest.raises(SourceError, match=r"no video that can be read") as refusal:
            read(path, keep_going=keep_going)
        assert "cut off before its index" in str(refusal.value.hint)


def overwritten(path: Path, target: Path, number: int) -> Path:
    """`path` with the middle of video packet `number` overwritten."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        position, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    assert position is not None
    noise = np.random.default_rng(0).integers(0, 256, 40, dtype=np.uint8).tobytes()
    data[position + size // 2 : position + size // 2 + 40] = noise
    target.write_bytes(data)
    return target


def test_damage_in_the_middle_costs_the_frames_up_to_the_next_keyframe(tmp_path: Path) -> None:
    settings = {"options": {"g": "12", "bf": "2", "crf": "10"}, "size": (320, 240)}
    good = make_video(tmp_path / "a.mp4", **settings)
    bad = overwritten(good, tmp_path / "b.mp4", 24)  # the third keyframe
    with pytest.raises(SourceError, match=r"b.mp4: cannot be decoded, .* at 1\.\d\d\d s"):
        read(bad)
    video = open_video(bad, EncodeOptions(keep_going=True))
    frames = list(video)
    video.close()
    found = numbers(frames)
    assert found[-12:] == list(range(36, 48))
    assert found[:-12] == list(range(len(found) - 12))
    assert 18 <= len(found) - 12 <= 24
    whole = read(good)
    assert all(np.array_equal(frame.pixels, whole[number].pixels) for frame, number in zip(frames, found, strict=True))
    assert video.incomplete is not None
    assert "frames between" in video.incomplete
    assert "1.500 s" in video.incomplete
    gap = len(found) - 13
    assert frames[gap].end < frames[gap + 1].start  # the frame before the gap does not fill it


def test_of_many_gaps_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    settings = {"frames": 72, "options": {"g": "6", "bf": "0", "crf": "10"}, "size": (320, 240)}
    path = make_video(tmp_path / "a.mp4", **settings)
    for number in (6, 18, 30, 42, 54):  # every second keyframe
        path = overwritten(path, tmp_path / f"{number}.mp4", number)
    video = open_video(path, EncodeOptions(keep_going=True))
    found = numbers(list(video))
    video.close()
    assert {number // 6 for number in found} >= set(range(0, 12, 2))
    assert video.incomplete is not None
    first, second, third, more, reason = video.incomplete.split("; ")
    assert first.startswith("damaged video, left out: frames between 0.2")
    assert second.startswith("frames between 0.7")
    assert third.startswith("frames between 1.2")
    assert more == "2 more gaps"
    assert reason.startswith("last reason: ")


def test_a_day_of_gaps_takes_no_more_memory_than_a_few() -> None:
    losses = Losses()
    tracemalloc.start()
    for second in range(86_400):
        losses.gap(Fraction(second), Fraction(2 * second + 1, 2))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 10_000
    losses.open_end = Fraction(86_400)
    assert losses.words("cut") == (
        "damaged video, left out: frames between 0.000 s and 0.500 s; frames between 1.000 s and 1.500 s; "
        "frames between 2.000 s and 2.500 s; 86397 more gaps; everything after 86400.000 s; last reason: cut"
    )
    assert Losses().words("cut") is None


def test_decoding_is_strict_only_about_what_is_asked_for(tmp_path: Path) -> None:
    settings = {"options": {"g": "12", "bf": "0", "crf": "10"}, "size": (320, 240)}
    good = make_video(tmp_path / "a.mp4", **settings)
    bad = overwritten(good, tmp_path / "b.mp4", 40)
    assert numbers(read(bad, time="..1s")) == list(range(24))


def test_a_recording_that_begins_between_keyframes_starts_at_the_first(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", options={"g": "12", "bf": "0"}, size=(320, 240))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        position = packets[5].pos
    assert position is not None
    head = path.read_bytes()[: 188 * 3]  # tables
    late = tmp_path / "b.ts"
    late.write_bytes(head + path.read_bytes()[position:])
    video = open_video(late, EncodeOptions())
    frames = list(video)
    video.close()
    assert numbers(frames) == list(range(12, 48))
    assert video.incomplete is None
    assert video.notes == [f"{late}: 7 frames before the first keyframe are left out"]


def silent_film(path: Path) -> None:
    """An MP4 with sound only."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44100)
        for _ in range(5):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def cover_only(path: Path) -> None:
    """A Matroska file whose only pictures are its cover."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(1, 64, 64), format="rgb24").reformat(format="yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def playlist(path: Path) -> None:
    target = make_video(path.with_name("real.ts"))
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n")


def concat_list(path: Path) -> None:
    """A list of files beside the current folder's, as the concat demuxer would follow it."""
    make_video(path.with_name("real.mp4"))
    path.write_text("ffconcat version 1.0\nfile real.mp4\n")


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("text.mp4", lambda path: path.write_text("not a video\n" * 100), "no video that can be read"),
        ("noise.mp4", lambda path: path.write_bytes(os.urandom(5000)), "no video that can be read"),
        ("empty.mp4", lambda path: path.touch(), "empty file"),
        ("subtitles.mp4", lambda path: path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhi\n\n" * 9), "video track"),
        ("sound.mp4", silent_film, "expected a video track, found audio"),
        ("playlist.mp4", playlist, "no video that can be read"),
        ("concat.mp4", concat_list, "no video that can be read"),
        ("missing.mp4", lambda path: None, "no such file"),
        ("folder.mp4", lambda path: path.mkdir(), "found a folder"),
    ],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    make(path)
    for keep_going in (False, True):
        with pytest.raises(SourceError, match=words) as refusal:
            read(str(path), keep_going=keep_going)
        assert str(path) in refusal.value.message


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    cover_only(path)
    with pytest.raises(SourceError, match="expected a video track"):
        read(path)


def test_an_empty_pipe_is_refused() -> None:
    with pytest.raises(SourceError, match="stdin: empty, 0 bytes"):
        read(ShortReads(b""))


def test_a_pipe_that_has_to_be_copied_respects_the_spool_limit(tmp_path: Path) -> None:
    data = make_video(tmp_path / "a.mp4").read_bytes()
    with pytest.raises(ResourceError, match="to spool"):
        read(ShortReads(data), spool_max=1000)


def test_a_matroska_file_declares_its_size(videos: dict[str, Path]) -> None:
    data = videos["h264.mkv"].read_bytes()
    assert declared_size(data[: 1 << 16]) == len(data)
    assert declared_size(videos["front.mp4"].read_bytes()) is None
    for short in (b"", data[:3], data[:5], data[:40]):
        assert declared_size(short) is None
