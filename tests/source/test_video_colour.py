"""Colour matrix and range against the formulas of H.273, and the eight orientations."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from embdc_cli.errors import SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import open_video
from embdc_cli.source.video_colour import Colour, RgbConverter, Turn, colour_of, upright
from tests.source.video_files import make_video, read

# H.273 number -> luma weights of red and blue
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
HEIGHT, WIDTH, CELL = 64, 96, 16


def planes_of(bits: int) -> list[np.ndarray]:
    """Y, Cb, Cr (64, 96), constant in cells of 16 x 16 samples, over most of the limited range."""
    rng = np.random.default_rng(7)
    top = 1 << (bits - 8)

    def cells(low: int, high: int) -> np.ndarray:
        values = rng.integers(low * top, high * top, (HEIGHT // CELL, WIDTH // CELL))
        return values.repeat(CELL, 0).repeat(CELL, 1)

    return [cells(16, 235), cells(64, 190), cells(64, 190)]


def frame_of(layout: str, planes: list[np.ndarray], bits: int) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, HEIGHT, layout)
    kind = np.uint8 if bits == 8 else np.uint16
    for plane, values in zip(frame.planes, planes, strict=False):
        down, across = HEIGHT // plane.height, WIDTH // plane.width
        padded = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
        padded[:, : plane.width] = values[::down, ::across]
        plane.update(padded.tobytes())
    return frame


def expected_rgb(planes: list[np.ndarray], matrix: int, full: bool, bits: int) -> np.ndarray:
    y, cb, cr = (plane.astype(np.float64) for plane in planes)
    top, half, unit = 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 8)
    if full:
        y, cb, cr = y / top, (cb - half) / top, (cr - half) / top
    else:
        y, cb, cr = (y - 16 * unit) / (219 * unit), (cb - half) / (224 * unit), (cr - half) / (224 * unit)
    red_weight, blue_weight = WEIGHTS[matrix]
    red, blue = y + 2 * (1 - red_weight) * cr, y + 2 * (1 - blue_weight) * cb
    green = (y - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.clip(255 * np.stack([red, green, blue], axis=-1), 0, 255)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full", [False, True])
def test_conversion_follows_the_formula(layout: str, matrix: int, full: bool) -> None:
    bits = 10 if layout.endswith("10le") else 8
    planes = planes_of(bits)
    frame = frame_of(layout, planes, bits)
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    rgb = RgbConverter("test").convert(frame)
    difference = np.abs(rgb - expected_rgb(planes, matrix, full, bits))
    # away from the cells' borders, where chroma is interpolated between neighbours
    inner = np.zeros(CELL, bool)
    inner[4:-4] = True
    mask = np.tile(inner, HEIGHT // CELL)[:, None] & np.tile(inner, WIDTH // CELL)[None, :]
    assert difference[mask].max() < (0.55 if bits == 8 else 1.25)


@pytest.mark.parametrize(
    ("layout", "full", "gray"), [("gray", False, 16), ("gray", True, 0), ("gray10le", False, 16), ("gray", None, 0)]
)
def test_gray_honours_the_range_that_it_states(layout: str, full: bool | None, gray: int) -> None:
    bits = 10 if layout.endswith("10le") else 8
    luma = planes_of(bits)[0]
    frame = frame_of(layout, [luma], bits)
    frame.color_range = 0 if full is None else 2 if full else 1
    rgb = RgbConverter("test").convert(frame)
    values = luma / (4.0 if bits == 10 and not full else 1.0)
    wanted = (values - gray) * (255 / 219 if gray else 1.0)
    assert np.abs(rgb - np.clip(wanted, 0, 255)[:, :, None]).max() <= (0.5 if bits == 8 else 1.6)


@pytest.mark.parametrize(
    ("height", "layout", "colorspace", "color_range", "expected"),
    [
        (576, "yuv420p", 2, 0, Colour(5, False, ("matrix", "range"))),
        (577, "yuv420p", 2, 0, Colour(1, False, ("matrix", "range"))),
        (578, "yuv420p", 6, 0, Colour(6, False, ("range",))),
        (100, "yuv420p", 9, 1, Colour(9, False, ())),
        (100, "yuv420p", 1, 2, Colour(1, True, ())),
        (100, "yuvj420p", 2, 0, Colour(5, True, ("matrix",))),
        (100, "gray", 2, 0, Colour(5, True, ("range",))),
        (100, "gray", 2, 1, Colour(5, False, ())),
        (100, "rgb24", 2, 0, Colour(0, True, ())),
        (100, "gbrp", 0, 0, Colour(0, True, ())),
    ],
)
def test_what_is_unsaid_is_decided_by_rule(
    height: int, layout: str, colorspace: int, color_range: int, expected: Colour
) -> None:
    frame = av.VideoFrame(64, height, layout)
    frame.colorspace, frame.color_range = colorspace, color_range
    assert colour_of(frame, "test") == expected


def test_a_matrix_without_conversion_is_refused() -> None:
    frame = av.VideoFrame(64, 64, "yuv444p")
    frame.colorspace = 8  # YCgCo
    with pytest.raises(SourceError, match="clip: colour matrix 8"):
        colour_of(frame, "clip")


def test_a_file_that_states_its_colour_is_read_by_it(tmp_path: Path) -> None:
    settings = {"colorspace": 9, "color_range": 2, "color_primaries": 9, "color_trc": 16}
    path = make_video(tmp_path / "hdr.mp4", frames=2, pixel_format="yuv420p10le", settings=settings)
    video = open_video(path, EncodeOptions())
    assert len(list(video)) == 2
    video.close()
    assert video.source["colour"] == {
        "matrix": "bt2020", "range": "full", "assumed": [], "transfer": 16, "primaries": 9,
    }  # fmt: skip
    assert video.notes == [f"{path}: HDR video, samples are used without tone mapping"]


CORNER = np.zeros((32, 64, 3), np.uint8)
CORNER[:16, :16] = 220  # upper left
CORNER[:16, 32:] = 110  # upper right, wider


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_are_turned_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    # the muxer counts counter-clockwise, and mirrors after turning
    rotation: dict[str, Any] = {"degrees": -degrees, "hflip": mirrored}
    path = make_video(tmp_path / "turned.mp4", pictures=[CORNER] * 2, options={"crf": "1"}, rotation=rotation)
    wanted = np.rot90(CORNER, -degrees // 90)
    if mirrored:
        wanted = wanted[:, ::-1]
    video = open_video(path, EncodeOptions())
    frames = list(video)
    video.close()
    assert (video.height, video.width) == wanted.shape[:2]
    assert frames[0].pixels.shape == wanted.shape
    assert np.abs(frames[0].pixels.astype(int) - wanted).mean() < 3
    recorded = video.source["rotation"]
    first = CORNER[:, ::-1] if recorded["mirrored"] else CORNER
    assert np.array_equal(np.rot90(first, -recorded["degrees"] // 90), wanted)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("columns", [False, True])
def test_an_orientation_describes_itself(transpose: bool, rows: bool, columns: bool) -> None:
    turn = Turn(transpose, rows, columns)
    words = turn.provenance()
    image = np.arange(24).reshape(2, 4, 3)
    first = image[:, ::-1] if words["mirrored"] else image
    assert np.array_equal(np.rot90(first, -words["degrees"] // 90), upright(image, turn))


def test_anamorphic_pixels_are_recorded_and_left_alone(tmp_path: Path) -> None:
    path = make_video(tmp_path / "sar.mp4", frames=2, settings={"sample_aspect_ratio": Fraction(4, 3)})
    assert read(path)[0].pixels.shape == (64, 128, 3)
    video = open_video(path, EncodeOptions())
    video.close()
    assert video.source["sample_aspect"] == [4, 3]
