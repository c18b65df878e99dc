"""Clips through NVDEC against the same clips through PyAV: the library is one of our own, on a GPU the real one."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source import nvdec, nvdec_decoder
from embdc_cli.source.device_picture import TOLERANCE
from embdc_cli.source.video import VideoFrame, VideoSource, open_video
from embdc_cli.source.video_parameters import parameters
from tests.source.fake_nvdec import FakeLibrary, library
from tests.source.test_video_damage import overwritten
from tests.source.video_files import ShortReads, coloured, make_video, numbers, remux

__all__ = ["library"]
GPU = torch.device("cuda:0")

OPEN = "log-level=none:info=0:pools=none:frame-threads=1:open-gop=1:keyint=8:min-keyint=8:bframes=2"
KINDS: dict[str, dict[str, Any]] = {
    "b_frames.mp4": {"options": {"bf": "3", "b_strategy": "0", "g": "12"}},
    "fragments.mp4": {"options": {"g": "12"}, "muxer": {"movflags": "frag_keyframe+empty_moov"}},
    "short.mp4": {"options": {"g": "2", "bf": "0"}},
    "hevc.mp4": {"codec": "libx265"},
    "hevc10.mkv": {"codec": "libx265", "pixel_format": "yuv420p10le"},
    "h264_444.mp4": {"pixel_format": "yuv444p"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "8"}},
    "hevc_open.mkv": {"codec": "libx265", "options": {"x265-params": OPEN}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"svtav1-params": "lp=1", "preset": "12"}, "frames": 12},
    "stream.ts": {"options": {"g": "12"}},
    "vfr.mp4": {"rate": 25, "pts": [0, 40, 41, 200, 1000, 1033, 1066, 1500], "timebase": Fraction(1, 1000),
                "frames": 8},
    "turned.mp4": {"rotation": {"degrees": 90, "hflip": True}, "frames": 6},
    "hdr.mp4": {"pixel_format": "yuv420p10le", "frames": 6,
                "settings": {"colorspace": 9, "color_range": 2, "color_primaries": 9, "color_trc": 16}},
}  # fmt: skip


def coloured_video(path: Path, **settings: Any) -> Path:
    size = settings.get("size", (128, 64))
    pictures = [coloured(number, *size) for number in range(settings.get("frames", 48))]
    return make_video(path, **{"pictures": pictures, **settings})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("nvdec")
    return {name: coloured_video(folder / name, **settings) for name, settings in KINDS.items()}


def through(source: Any, where: torch.device | None = GPU, **options: Any) -> tuple[list[VideoFrame], VideoSource]:
    video = open_video(source, EncodeOptions(**options), where)
    try:
        return list(video), video
    finally:
        video.close()


def assert_equal(source: Any, *, by_nvdec: bool = True, again: Any = None, **options: Any) -> VideoSource:
    """NVDEC gives what PyAV gives: the same frames at the same times, levels within the tolerance, the same facts."""
    found, video = through(source, **options)
    wanted, plain = through(again or source, None, **options)
    assert [(frame.start, frame.end) for frame in found] == [(frame.start, frame.end) for frame in wanted]
    if by_nvdec:
        assert all(isinstance(frame.pixels, torch.Tensor) for frame in found)
    for ours, theirs in zip(found, wanted, strict=True):
        pixels = np.asarray(torch.as_tensor(ours.pixels).cpu())
        assert pixels.flags.c_contiguous
        assert np.abs(pixels.astype(int) - theirs.pixels).max() <= TOLERANCE
    assert (video.height, video.width, video.incomplete) == (plain.height, plain.width, plain.incomplete)
    facts = {**video.source, "decoder": dict(video.source["decoder"])}
    if by_nvdec:
        assert facts.pop("nvdec_frames") == facts["frames_decoded"]
        assert facts["decoder"].pop("pynvvideocodec")
    facts.pop("nvdec_frames", None)
    facts["decoder"].pop("pynvvideocodec", None)
    if options.get("time") is None:
        assert facts == plain.source
    return video


@pytest.mark.parametrize("name", KINDS)
def test_frames_times_and_facts_are_those_of_pyav(library: FakeLibrary, videos: dict[str, Path], name: str) -> None:
    video = assert_equal(videos[name])
    assert not [note for note in video.notes if "NVDEC" in note]
    assert video.source["nvdec_frames"] == KINDS[name].get("frames", 48)


@pytest.mark.parametrize("name", ["b_frames.mp4", "hevc_open.mkv", "vp9.webm", "stream.ts"])
@pytest.mark.parametrize(("fps", "time"), [("5", None), (None, "1.1s.."), ("7", "0.6s..1.3s"), (None, "..0.4s")])
def test_windows_and_rates_choose_the_same_frames(
    library: FakeLibrary, videos: dict[str, Path], name: str, fps: str | None, time: str | None
) -> None:
    assert_equal(videos[name], fps=fps, time=time)


def test_a_pipe_is_decoded_as_it_comes(library: FakeLibrary, videos: dict[str, Path]) -> None:
    data = videos["hevc_open.mkv"].read_bytes()
    assert_equal(ShortReads(data), again=ShortReads(data))


def test_hidden_and_leading_frames_stay_away(library: FakeLibrary, tmp_path: Path) -> None:
    def earlier(number: int, packet: Any) -> None:
        packet.pts -= 10 * 512
        packet.dts -= 10 * 512

    source = make_video(tmp_path / "a.mp4", options={"g": "8", "bf": "0"})
    assert_equal(remux(source, tmp_path / "edited.mp4", earlier, {"avoid_negative_ts": "disabled"}))
    source = make_video(tmp_path / "open.mkv", codec="libx265", options={"x265-params": OPEN})
    # begins at a keyframe whose leading pictures need the group before
    path = remux(source, tmp_path / "late.mkv", lambda number, packet: number >= 6)
    assert [frame.start for frame in through(path)[0][:2]] == [333, 375]
    assert_equal(path)
    path = make_video(tmp_path / "a.ts", options={"g": "12", "bf": "0"}, size=(320, 240))
    with av.open(str(path)) as container:
        position = [packet.pos for packet in container.demux(video=0) if packet.size][5]
    assert position is not None
    late = tmp_path / "late.ts"
    late.write_bytes(path.read_bytes()[: 188 * 3] + path.read_bytes()[position:])
    video = assert_equal(late)
    assert video.notes == [f"{late}: 7 frames before the first keyframe are left out"]


@pytest.mark.parametrize("damage", ["middle", "keyframe", "packet", "cut"])
@pytest.mark.parametrize("bf", ["0", "2"])
def test_reported_damage_is_judged_by_pyav(library: FakeLibrary, tmp_path: Path, damage: str, bf: str) -> None:
    settings = {"options": {"g": "12", "bf": bf, "crf": "10"}, "size": (160, 128)}
    good = make_video(tmp_path / "a.mkv", **settings)
    if damage == "cut":
        bad = tmp_path / "b.mkv"
        bad.write_bytes(good.read_bytes()[:-3000])
    elif damage == "packet":
        bad = remux(good, tmp_path / "b.mkv", lambda number, packet: number != 27)
    else:
        bad = overwritten(good, tmp_path / "b.mkv", 36 if damage == "keyframe" else 19)
    refusals = []
    for device in (GPU, None):
        try:
            through(bad, device)
        except SourceError as error:
            refusals.append(error.message)
    assert len(refusals) in (0, 2)
    assert len(set(refusals)) < 2
    assert_equal(bad, by_nvdec=False, keep_going=True)


@pytest.mark.parametrize("stamp", [1, 2, 13, 30, 48])
@pytest.mark.parametrize("name", ["b_frames.mp4", "vp9.webm"])
def test_pyav_gives_what_the_engine_leaves_out(
    library: FakeLibrary, videos: dict[str, Path], name: str, stamp: int
) -> None:
    library.gives = lambda number: number != stamp
    video = assert_equal(videos[name], by_nvdec=False)
    assert len([note for note in video.notes if "PyAV decodes" in note]) == 1


@pytest.mark.parametrize("name", ["b_frames.mp4", "short.mp4", "hevc_open.mkv"])
def test_pyav_goes_on_where_the_engine_fails(library: FakeLibrary, videos: dict[str, Path], name: str) -> None:
    for call in (1, 2, *range(14, 28, 1 if name == "hevc_open.mkv" else 4), 49):
        library.calls, library.fails = 0, {call}
        video = assert_equal(videos[name], by_nvdec=False)
        assert len(video.notes) == 1
        assert "CUDA_ERROR_UNKNOWN" in video.notes[0]
        assert nvdec._idle == []


def test_a_long_group_of_pictures_is_not_kept(
    library: FakeLibrary, videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = videos["h264_444.mp4"]
    monkeypatch.setattr(nvdec_decoder, "_KEPT_BYTES", path.stat().st_size // 2)
    video = assert_equal(path, by_nvdec=False)
    assert 0 < video.source["nvdec_frames"] < 48
    assert [note.partition("cannot: ")[2] for note in video.notes] == ["a group of pictures is too long to be kept"]


def joined(target: Path, *sources: Path) -> Path:
    """MPEG-TS files one after the other, as a recorder writes them whose input changes."""
    with av.open(str(target), "w") as output:
        copy, shift = None, 0
        for source in sources:
            with av.open(str(source)) as given:
                stream = given.streams.video[0]
                copy = copy or output.add_stream_from_template(stream)
                for packet in given.demux(stream):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = copy
                        output.mux(packet)
            shift += 90000
    return target


@pytest.mark.parametrize("size", [(160, 96), (128, 64)])
def test_a_change_of_parameters_goes_to_pyav(library: FakeLibrary, tmp_path: Path, size: tuple[int, int]) -> None:
    settings = {"colorspace": 6, "color_range": 2} if size == (128, 64) else {}
    first = make_video(tmp_path / "a.ts", frames=20, options={"g": "5"})
    second = make_video(tmp_path / "b.ts", frames=20, size=size, settings=settings)
    video = assert_equal(joined(tmp_path / "c.ts", first, second), by_nvdec=False)
    assert video.source["nvdec_frames"] >= 12
    assert [note.partition("NVDEC ")[2] for note in video.notes] == ["cannot: the stream changes its parameters"]


@pytest.mark.parametrize(
    ("codec", "settings"),
    [
        ("h264", {}), ("hevc", {"codec": "libx265"}), ("vp9", {"codec": "libvpx-vp9"}),
        ("av1", {"codec": "libsvtav1", "options": {"svtav1-params": "lp=1", "preset": "12"}}),
    ],
)  # fmt: skip
def test_parameters_differ_when_the_size_does_and_only_then(tmp_path: Path, codec: str, settings: Any) -> None:
    found = []
    for size in ((128, 64), (128, 64), (128, 66)):
        path = make_video(tmp_path / f"{len(found)}.{codec}.ivf" if codec in ("vp9", "av1") else tmp_path / "a.ts",
                          frames=5, size=size, **settings)  # fmt: skip
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            sets = [parameters(codec, bytes(one), keyframe=one.is_keyframe) for one in packets]
        found.append(set().union(*sets))
    assert [len(one) for one in found] == [1, 1, 1]
    assert found[0] == found[1] != found[2]


def test_clips_share_a_decoder_that_is_reconfigured(library: FakeLibrary, tmp_path: Path) -> None:
    sizes = [(320, 240), (320, 240), (128, 96), (320, 240), (320, 238), (400, 64), (320, 240)]
    for number, size in enumerate(sizes):
        assert_equal(make_video(tmp_path / f"{number}.mp4", frames=4, size=size))
    # 320 x 238 may have the coded size of 320 x 240, and 400 is wider than the decoder was made for
    assert [decoder.reconfigured for decoder in library.decoders] == [
        [(320, 240), (128, 96), (320, 240)], [], [], [],
    ]  # fmt: skip
    assert_equal(make_video(tmp_path / "deep.mp4", frames=4, size=(320, 240), pixel_format="yuv420p10le"))
    assert len(library.decoders) == 5


def test_videos_open_at_once_have_decoders_of_their_own(library: FakeLibrary, videos: dict[str, Path]) -> None:
    first = open_video(videos["b_frames.mp4"], EncodeOptions(), GPU)
    assert_equal(videos["fragments.mp4"])
    assert numbers([VideoFrame(np.asarray(one.pixels), one.start, one.end) for one in first]) == list(range(48))
    first.close()
    assert len(library.decoders) == 2


def no_module(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)


def no_driver(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fails(name: str, *rest: Any) -> Any:
        if name == "PyNvVideoCodec":
            raise RuntimeError("Failed to load NVENC library: libnvidia-encode.so.1\n\n=== TROUBLESHOOTING ===\n1. ...")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fails)


def no_engine(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.capabilities = {"num_decoder_engines": 0}


def too_large(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.capabilities = {"width_max": 100}


def refused(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.refuses = "Codec not supported on this GPU"


def other_names(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "cudaVideoChromaFormat", SimpleNamespace(), raising=False)


def fails_at_once(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.fails = set(range(99))


def other_pixels(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.wrong_chroma = True


PLAIN: dict[str, Any] = {"pictures": [coloured(n) for n in range(6)]}


@pytest.mark.parametrize(
    ("name", "settings", "change", "words"),
    [
        ("a.mp4", PLAIN, no_module, "PyNvVideoCodec cannot be used"),
        ("a.mp4", PLAIN, no_driver, "libnvidia-encode.so.1; a container needs the driver capability video"),
        ("a.mp4", PLAIN, no_engine, "this GPU has no engine for h264 420 with 8 bits"),
        ("a.mp4", PLAIN, too_large, "no engine for h264 420 with 8 bits of 128x64"),
        ("a.mp4", PLAIN, refused, "Codec not supported on this GPU"),
        ("a.mp4", PLAIN, other_names, "capabilities cannot be asked for, 'types.SimpleNamespace'"),
        ("a.mp4", PLAIN, fails_at_once, "CUDA_ERROR_UNKNOWN"),
        ("a.mp4", PLAIN, other_pixels, "its first picture differs from PyAV's in"),
        ("a.mkv", {"codec": "ffv1"}, None, "codec ffv1 is not for it"),
        ("a.mkv", {"codec": "libvpx"}, None, "codec vp8 is not for it"),
        ("a.mkv", {"pixel_format": "yuv422p"}, None, "pictures of 128x64 in yuv422p are not for it"),
        ("a.webm", {"codec": "libvpx-vp9", "size": (99, 65)}, None, "pictures of 99x65"),
        ("a.mp4", {"options": {"x264-params": "tff=1"}}, None, "interlaced pictures are not for it"),
        ("a.mp4", {"options": {"x264-params": "chromaloc=4"}}, None, "chroma lies on the second"),
        ("a.h264", {}, None, "its packets have no times"),
    ],
)  # fmt: skip
def test_what_nvdec_cannot_do_pyav_does_or_status_9(
    library: FakeLibrary,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    settings: dict[str, Any],
    change: Callable[[FakeLibrary, pytest.MonkeyPatch], None] | None,
    words: str,
) -> None:
    path = make_video(tmp_path / name, **{"frames": 6, **settings})
    if change is not None:
        change(library, monkeypatch)
    nvdec._capabilities.cache_clear()
    capfd.readouterr()
    frames, video = through(path)
    wanted, plain = through(path, None)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, wanted, strict=True))
    assert video.source == plain.source
    assert len(video.notes) == 1
    assert "\n" not in video.notes[0]
    assert video.notes[0].startswith(f"{path}: PyAV decodes, NVDEC cannot: ")
    assert words in video.notes[0]
    with pytest.raises(ResourceError) as refusal:
        through(path, device="cuda")
    assert words in refusal.value.message
    assert refusal.value.exit_code == 9
    assert "--device auto" in str(refusal.value.hint)
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
@pytest.mark.parametrize("name", KINDS)
def test_the_real_engine_gives_what_pyav_gives(videos: dict[str, Path], name: str, tmp_path: Path) -> None:
    path = coloured_video(tmp_path / name, **{**KINDS[name], "size": (320, 240)})
    video = open_video(path, EncodeOptions(), GPU)
    video.close()
    if "pynvvideocodec" not in video.source["decoder"]:
        reason = video.notes[-1]
        assert not os.environ.get("EMBDC_REQUIRE_GPU") or "no engine" in reason, reason
        pytest.skip(reason)
    found = assert_equal(path)
    assert all(one.pixels.is_cuda for one in through(path)[0] if isinstance(one.pixels, torch.Tensor))
    assert not [note for note in found.notes if "NVDEC" in note]


@pytest.mark.gpu
def test_the_real_engine_is_reconfigured(tmp_path: Path) -> None:
    for number, size in enumerate([(320, 240), (320, 240), (192, 160), (320, 240), (640, 368), (320, 238)]):
        found = assert_equal(coloured_video(tmp_path / f"{number}.mp4", frames=6, size=size), by_nvdec=False)
        if "pynvvideocodec" not in found.source["decoder"]:
            assert not os.environ.get("EMBDC_REQUIRE_GPU"), found.notes[-1]
            pytest.skip(found.notes[-1])
        assert found.source["nvdec_frames"] == 6
