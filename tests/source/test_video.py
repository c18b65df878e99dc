"""Frames in presentation order with exact times, from every kind of container."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.digest import ends_digest, head_digest
from embdc_cli.source.time_spec import parse_range
from embdc_cli.source.video import open_video
from tests.source.video_files import ShortReads, make_video, number_of, numbers, picture, read, remux

KINDS: dict[str, dict[str, Any]] = {
    "b_frames.mp4": {"options": {"bf": "3", "b_strategy": "0"}},
    "front.mp4": {"muxer": {"movflags": "faststart"}},
    "fragments.mp4": {"options": {"g": "12"}, "muxer": {"movflags": "frag_keyframe+empty_moov"}},
    "hevc.mp4": {"codec": "libx265"},
    "h264.mov": {},
    "h264.mkv": {},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1", "options": {"svtav1-params": "lp=1", "preset": "12"}, "frames": 12},
    "stream.ts": {},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"b": "2M"}},
    "h264.avi": {},
    "raw.h264": {},
    "ffv1.mkv": {"codec": "ffv1"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}
# (timebase, first PTS, ticks per frame) where it is not the plain one
TIMES = {
    "fragments.mp4": (Fraction(1, 12288), 1024, 512),
    "stream.ts": (Fraction(1, 90000), 7500, 3750),
    "mpeg4.avi": (Fraction(1, 24), 0, 1),
    "h264.avi": (Fraction(1, 24), 0, 1),
    "mjpeg.avi": (Fraction(1, 24), 0, 1),
    "raw.h264": (Fraction(1, 1200000), 0, 50000),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {name: make_video(folder / name, **settings) for name, settings in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_once_in_order_with_its_time(videos: dict[str, Path], name: str) -> None:
    video = open_video(videos[name], EncodeOptions())
    frames = list(video)
    video.close()
    count = KINDS[name].get("frames", 48)
    assert numbers(frames) == list(range(count))
    assert all(frame.pixels.shape == (64, 128, 3) and frame.pixels.dtype == np.uint8 for frame in frames)
    if video.timebase == Fraction(1, 1000):  # Matroska rounds to milliseconds
        starts = [round(1000 * n / 24) for n in range(count)]
    else:
        timebase, first, step = TIMES.get(name, (Fraction(1, 12288), 0, 512))
        assert video.timebase == timebase
        starts = [first + step * n for n in range(count)]
    assert [frame.start for frame in frames] == starts
    assert [frame.end for frame in frames[:-1]] == starts[1:]
    assert frames[-1].end - frames[-1].start in (round(1 / 24 / video.timebase), int(1 / 24 / video.timebase))
    assert video.incomplete is None
    assert video.source["frames_decoded"] == count
    assert video.source["vfr"] is False
    assert video.source["interlaced"] is False


@pytest.mark.parametrize("name", KINDS)
def test_a_pipe_gives_what_the_file_gives(videos: dict[str, Path], name: str) -> None:
    data = videos[name].read_bytes()
    piped = open_video(ShortReads(data), EncodeOptions())
    frames = list(piped)
    piped.close()
    file = open_video(videos[name], EncodeOptions())
    expected = list(file)
    file.close()
    assert [(frame.start, frame.end) for frame in frames] == [(frame.start, frame.end) for frame in expected]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, expected, strict=True))
    assert piped.source == file.source
    assert file.notes == []
    copied = name in ("b_frames.mp4", "hevc.mp4", "h264.mov", "av1.mp4") or name.endswith(".avi")
    assert [("copied to a scratch file" in note) for note in piped.notes] == [True] * copied


def test_a_pipe_is_read_to_its_end_even_when_less_is_asked(tmp_path: Path) -> None:
    path = make_video(tmp_path / "large.mkv", codec="ffv1", size=(320, 240))
    data = path.read_bytes()
    assert len(data) > 1_000_000
    video = open_video(ShortReads(data, most=50_000), EncodeOptions(time="..0.5s"))
    assert numbers(list(video)) == list(range(12))
    video.close()
    assert video.source["size_bytes"] == len(data)
    assert video.source["ends_digest"] == ends_digest(path)
    assert video.source["head_digest"] == head_digest(data[: 64 << 10])


@pytest.mark.parametrize("name", ["b_frames.mp4", "vp9.webm", "stream.ts", "h264.avi"])
@pytest.mark.parametrize(
    ("fps", "time", "expected"),
    [
        ("1", None, [0, 24]),
        ("8", None, list(range(0, 48, 3))),
        ("100", None, list(range(48))),
        ("every:10", None, [0, 10, 20, 30, 40]),
        ("native", "1.5s..", list(range(36, 48))),
        ("2", "0.5s..1.2s", [12, 24]),
        ("every:10", "1s..", [30, 40]),
    ],
)
def test_fps_and_time_choose_frames(
    videos: dict[str, Path], name: str, fps: str | None, time: str | None, expected: list[int]
) -> None:
    # 12/24 s is 500.0 ms but 3/24 s is rounded to 125 ms: still the same frames
    assert numbers(read(videos[name], fps=fps, time=time)) == expected


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "open.mp4", "hevc_open.mp4", "late.webm"])
@pytest.mark.parametrize("time", ["1.02s..", "1.5s..1.6s", "0.26s..1s"])
def test_a_late_window_skips_decoding_and_gives_the_same(tmp_path: Path, name: str, time: str) -> None:
    settings: dict[str, Any] = {"options": {"g": "6", "bf": "2"}}
    if name == "open.mp4":
        settings = {"options": {"g": "6", "bf": "2", "x264-params": "open-gop=1"}}
    elif name == "hevc_open.mp4":
        parameters = "log-level=none:info=0:pools=none:frame-threads=1:open-gop=1:keyint=6:min-keyint=6:bframes=2"
        settings = {"codec": "libx265", "options": {"x265-params": parameters}}
    elif name == "late.webm":
        settings = {"codec": "libvpx-vp9", "options": {"g": "6"}}
    path = make_video(tmp_path / name, **settings)
    decoded, total = check_late_window(path, time)
    if name in ("late.mp4", "late.mkv", "late.webm"):
        assert decoded < total - 5


def check_late_window(path: Path, time: str) -> tuple[int, int]:
    """Whether a window gives what the whole video gives there; how many frames were decoded for each."""
    late = open_video(path, EncodeOptions(time=time))
    frames = list(late)
    late.close()
    whole = open_video(path, EncodeOptions())
    every = list(whole)
    whole.close()
    window = parse_range(time)
    expected = [frame for frame in every if window.holds((frame.start - every[0].start) * whole.timebase)]
    assert len(expected) > 1
    assert [(a.start, a.end) for a in frames] == [(b.start, b.end) for b in expected]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, expected, strict=True))
    return late.source["frames_decoded"], whole.source["frames_decoded"]


def test_a_window_that_begins_at_an_entry_knows_the_frame_before_it(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", options={"g": "6", "bf": "2"})
    # slot 5 of 4.5 a second, at 1.11 s, takes frame 27: the keyframe 30, at 1.25 s, is no row
    assert numbers(read(path, fps="4.5", time="1.25s..")) == [32, 38, 43]


def test_variable_frame_rate_keeps_every_time(tmp_path: Path) -> None:
    pts = [0, 40, 41, 200, 1000, 1033, 1066, 1500]
    for name in ("vfr.mkv", "vfr.mp4"):
        path = make_video(tmp_path / name, frames=8, rate=25, pts=pts, timebase=Fraction(1, 1000))
        video = open_video(path, EncodeOptions())
        frames = list(video)
        video.close()
        assert numbers(frames) == list(range(8))
        assert [frame.start * video.timebase * 1000 for frame in frames] == pts
        assert [frame.end for frame in frames[:-1]] == [frame.start for frame in frames[1:]]
        assert frames[-1].end > frames[-1].start
        assert video.source["vfr"] is True
        assert video.source["times_repaired"] == 0


def test_times_that_go_back_are_repaired_and_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=10, codec="mjpeg", pixel_format="yuvj420p")
    # SimpleBlock header: track 1, time in the cluster, keyframe
    block, earlier = (b"\x81" + ms.to_bytes(2, "big") + b"\x80" for ms in (208, 83))
    data = path.read_bytes()
    assert data.count(block) == 1
    path.write_bytes(data.replace(block, earlier))
    video = open_video(path, EncodeOptions())
    frames = list(video)
    video.close()
    assert numbers(frames) == list(range(10))
    assert [frame.start for frame in frames] == [0, 42, 83, 125, 167, 208, 250, 292, 333, 375]
    assert video.source["times_repaired"] == 1


def test_frames_that_an_edit_list_hides_stay_hidden(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", options={"g": "8", "bf": "0"})

    def earlier(number: int, packet: av.Packet[Any]) -> None:
        del number
        packet.pts -= 10 * 512
        packet.dts -= 10 * 512

    path = remux(source, tmp_path / "b.mp4", earlier, {"avoid_negative_ts": "disabled"})
    assert numbers(read(path)) == list(range(10, 48))


@pytest.mark.parametrize("size", [(99, 65), (33, 17), (16, 16)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int], pixel_format: str) -> None:
    even = pixel_format == "yuv444p" or not (size[0] % 2 or size[1] % 2)
    codec = "libx264" if even else "ffv1"
    path = make_video(tmp_path / "odd.mkv", frames=3, size=size, codec=codec, pixel_format=pixel_format)
    frames = read(path)
    assert [frame.pixels.shape for frame in frames] == [(size[1], size[0], 3)] * 3
    assert all(frame.pixels.flags.c_contiguous for frame in frames)
    if size[0] >= 32:
        assert np.abs(frames[1].pixels.astype(int) - picture(1, *size)).mean() < 12


@pytest.mark.parametrize(
    ("pixel_format", "codec", "settings"),
    [
        ("yuv420p10le", "libx264", {}),
        ("yuv444p10le", "libx264", {}),
        ("gray", "libx264", {"color_range": 2}),
        ("gray", "ffv1", {}),
        ("gray10le", "ffv1", {}),
        ("gbrp", "libx265", {}),
    ],
)
def test_deep_and_gray_formats(tmp_path: Path, pixel_format: str, codec: str, settings: dict[str, int]) -> None:
    path = make_video(tmp_path / "deep.mkv", frames=5, codec=codec, pixel_format=pixel_format, settings=settings)
    frames = read(path)
    assert numbers(frames) == list(range(5))
    assert np.abs(frames[3].pixels.astype(int) - picture(3)).mean() < 4


def test_interlaced_video_is_flagged(tmp_path: Path) -> None:
    path = make_video(tmp_path / "i.mp4", frames=4, options={"x264-params": "tff=1"})
    video = open_video(path, EncodeOptions())
    assert len(list(video)) == 4
    video.close()
    assert video.source["interlaced"] is True


def test_the_source_says_how_it_was_read_and_never_its_name(tmp_path: Path) -> None:
    path = make_video(tmp_path / "private name.mp4", frames=6, rate=Fraction(30000, 1001))
    video = open_video(str(path), EncodeOptions(fps="10", time="..1s"))
    list(video)
    video.close()
    assert "private" not in repr(video.source)
    assert os.sep not in repr(video.source)
    known = {
        "kind": "video", "codec": "h264", "height": 64, "width": 128, "pixel_format": "yuv420p",
        "average_fps": [30000, 1001], "timebase": [1, 30000], "declared_frames": 6, "frames_decoded": 6,
        "sampling": {"fps": "10", "time": "..1s"}, "rotation": {"degrees": 0, "mirrored": False},
        "size_bytes": path.stat().st_size, "ends_digest": ends_digest(path), "head_digest": head_digest(path),
    }  # fmt: skip
    assert {key: video.source[key] for key in known} == known


def test_closing_twice_and_early_is_harmless(videos: dict[str, Path]) -> None:
    video = open_video(videos["h264.mkv"], EncodeOptions())
    first = next(iter(video))
    video.close()
    video.close()
    assert number_of(first.pixels) == 0


@pytest.mark.parametrize(("sizes", "used"), [(((128, 64), (128, 64)), 0), (((64, 32), (128, 64)), 1)])
def test_the_best_of_several_video_tracks_is_used(
    tmp_path: Path, sizes: tuple[tuple[int, int], ...], used: int
) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("ffv1", rate=24) for _ in range(2)]
        for stream, (width, height) in zip(streams, sizes, strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(3):
            for offset, stream in enumerate(streams):
                frame = av.VideoFrame.from_ndarray(picture(number + 100 * (offset != used)), format="rgb24")
                frame = frame.reformat(stream.width, stream.height, format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 24)
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode(None))
    video = open_video(path, EncodeOptions())
    assert numbers(list(video)) == [0, 1, 2]
    video.close()
    assert video.notes == [f"{path}: 2 video tracks, track {used} (128x64) is used"]


@pytest.mark.parametrize("options", [{"fps": "x"}, {"time": "5s"}])
def test_a_bad_request_is_told_before_the_file_is_looked_at(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        open_video("no such file.mp4", EncodeOptions(**options))


def test_a_late_window_of_a_real_clip(shared_data: Path) -> None:
    decoded, total = check_late_window(shared_data / "data" / "clips" / "juggle.mp4", "9.1s..9.5s")
    assert decoded < total
