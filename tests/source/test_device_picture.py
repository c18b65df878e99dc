"""The conversion in torch against the one in swscale, from the same samples."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from embdc_cli.source.device_picture import TOLERANCE, rgb_of
from embdc_cli.source.video_colour import (
    Colour,
    RgbConverter,
    Turn,
    centred_chroma,
    colour_of,
    display_matrix,
    upright,
)
from tests.source.video_files import coloured, make_video

LAYOUTS = {"yuv420p": 8, "yuv420p10le": 10, "yuv420p12le": 12, "yuv444p": 8, "yuv444p10le": 10}
SIZES = [(64, 96), (16, 16), (130, 34), (34, 130)]


def surface_of(frame: av.VideoFrame) -> torch.Tensor:
    """The samples of `frame` as NVDEC lays them out."""
    bits = int(frame.format.components[0].bits)
    kind = np.uint8 if bits == 8 else np.uint16
    planes = [np.frombuffer(one, kind).reshape(one.height, -1)[:, : one.width] for one in frame.planes]
    if "420" in frame.format.name:
        planes[1:] = [np.stack(planes[1:], axis=-1).reshape(len(planes[1]), -1)]
    return torch.from_numpy(np.concatenate(planes) << (0 if bits == 8 else 16 - bits))


def noise(layout: str, height: int, width: int, seed: int) -> av.VideoFrame:
    """Luma of every nominal level, chroma as saturated as RGB can be for most of them."""
    rng = np.random.default_rng(seed)
    bits = LAYOUTS[layout]
    frame = av.VideoFrame(width, height, layout)
    for number, plane in enumerate(frame.planes):
        low, high = (60, 197) if number else (16, 236)
        rows = np.zeros(
            (plane.height, plane.line_size // (1 if bits == 8 else 2)), np.uint8 if bits == 8 else np.uint16
        )
        rows[:, : plane.width] = rng.integers(low << bits - 8, high << bits - 8, (plane.height, plane.width))
        plane.update(rows.tobytes())
    return frame


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("full", [False, True])
def test_levels_are_those_of_swscale(layout: str, full: bool) -> None:
    converter = RgbConverter("test")
    for seed, matrix in enumerate((1, 4, 5, 6, 7, 9, 10)):
        for height, width in SIZES:
            frame = noise(layout, height, width, seed)
            frame.colorspace, frame.color_range = matrix, 2 if full else 1
            found = rgb_of(surface_of(frame), height, colour_of(frame, "test"), display_matrix(frame)).numpy()
            difference = np.abs(found.astype(int) - converter.convert(frame))
            assert difference.max() <= TOLERANCE
            assert difference.mean() < 0.03  # most levels are equal


def assert_close(frame: av.VideoFrame) -> tuple[bool, bool]:
    """Conversion of a decoded picture as swscale's, with the chroma location found by asking swscale."""
    wanted, samples = RgbConverter("test").convert(frame), surface_of(frame).clone()
    colour, turn, centred = colour_of(frame, "test"), display_matrix(frame), centred_chroma(frame)
    found = rgb_of(samples, frame.height, colour, turn, centred).numpy()
    assert np.abs(found.astype(int) - wanted).max() <= TOLERANCE
    return centred


@pytest.mark.parametrize("name", ["cars", "juggle", "nasa"])
def test_levels_of_real_clips_are_those_of_swscale(shared_data: Path, name: str) -> None:
    with av.open(str(shared_data / "data" / "clips" / f"{name}.mp4")) as container:
        assert_close(next(container.decode(video=0)))


# of x264: left, centre, top left, top
@pytest.mark.parametrize(
    ("location", "centred"), [(0, (True, False)), (1, (True, True)), (2, (False, False)), (3, (False, True))]
)
@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le"])
def test_chroma_lies_where_the_stream_says(
    tmp_path: Path, location: int, centred: tuple[bool, bool], layout: str
) -> None:
    options = {"x264-params": f"chromaloc={location}", "crf": "5"}
    path = make_video(
        tmp_path / "a.mp4", pictures=[coloured(n) for n in range(2)], pixel_format=layout, options=options
    )
    with av.open(str(path)) as container:
        assert assert_close(next(container.decode(video=0))) == centred


def test_chroma_below_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2, options={"x264-params": "chromaloc=4"})
    with av.open(str(path)) as container, pytest.raises(ValueError, match="second of two"):
        centred_chroma(next(container.decode(video=0)))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("columns", [False, True])
def test_pictures_are_turned_as_arrays_are(transpose: bool, rows: bool, columns: bool) -> None:
    samples = surface_of(noise("yuv444p", 32, 48, 3))
    turn, colour = Turn(transpose, rows, columns), Colour(1, False, ())
    plain, turned = (rgb_of(samples, 32, colour, one).numpy() for one in (Turn(), turn))
    assert np.array_equal(turned, upright(plain, turn))
    assert turned.flags.c_contiguous
