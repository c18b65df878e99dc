"""Decoded pictures to upright RGB: colour matrix, range, chroma upsampling, rotation.

The conversion is libswscale's bit-exact one (bicubic chroma, accurate rounding, no CPU-dependent shortcuts), which
is within half a level of the exact formula for 8 bits and within 1.2 levels for more. What the stream leaves unsaid:
  matrix   BT.709 for pictures higher than 576 lines (HD), else BT.601
  range    full for gray, RGB and the yuvj formats (FFmpeg's convention), else limited (16-235)
  chroma   on the left column in MPEG's codecs, their default; else between the samples of luma
Samples stay as they are coded: no tone mapping of HDR, no stretching of non-square pixels, no deinterlacing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from embdc_cli.errors import SourceError

_EXACT: Final = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_HD_LINES: Final = 576

# AVColorSpace (H.273) -> name, swscale's table
_RGB, _UNSPECIFIED = 0, 2
_MATRICES: Final = {
    1: ("bt709", Colorspace.ITU709),
    4: ("fcc", Colorspace.FCC),
    5: ("bt601", Colorspace.ITU601),
    6: ("bt601", Colorspace.ITU601),
    7: ("smpte240m", Colorspace.SMPTE240M),
    9: ("bt2020", Colorspace.BT2020),
    10: ("bt2020", Colorspace.BT2020),  # constant luminance: converted like the other, as players do
}
_BT601, _BT709 = 5, 1

# limited range to full: 16..235 -> 0..255
_EXPAND: Final = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Colour:
    """How the samples of a picture are to be read.

    matrix: H.273 number; assumed: which of matrix and range the stream left unsaid.
    """

    matrix: int
    full_range: bool
    assumed: tuple[str, ...]

    @property
    def name(self) -> str:
        return "rgb" if self.matrix == _RGB else _MATRICES[self.matrix][0]

    def provenance(self) -> dict[str, Any]:
        """What the archive records of it."""
        return {
            "matrix": self.name,
            "range": "full" if self.full_range else "limited",
            "assumed": list(self.assumed),
        }


def colour_of(picture: VideoFrame, shown: str) -> Colour:
    """Matrix and range of `picture`; SourceError for a matrix that has no conversion (YCgCo, ICtCp)."""
    assumed = []
    layout = picture.format.name
    matrix = int(picture.colorspace)
    if picture.format.is_rgb or layout.startswith("pal"):
        return Colour(_RGB, True, ())
    if matrix in (_UNSPECIFIED, _RGB, 3):
        matrix = _BT709 if picture.height > _HD_LINES else _BT601
        if not _is_gray(picture):
            assumed.append("matrix")
    if matrix not in _MATRICES:
        raise SourceError(f"{shown}: colour matrix {matrix} (H.273) is not supported", hint="convert it to bt709 first")
    if layout.startswith("yuvj") or int(picture.color_range) == ColorRange.JPEG:
        return Colour(matrix, True, tuple(assumed))
    if int(picture.color_range) == ColorRange.MPEG:
        return Colour(matrix, False, tuple(assumed))
    return Colour(matrix, _is_gray(picture), (*assumed, "range"))


def _is_gray(picture: VideoFrame) -> bool:
    return picture.format.name.startswith(("gray", "ya", "mono"))


class RgbConverter:
    """Turns pictures into arrays; keeps the scaler's tables between pictures."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._reformatter = VideoReformatter()

    def convert(self, picture: VideoFrame) -> np.ndarray:
        """`picture` as RGB (H, W, 3) uint8, C-contiguous, turned as its display matrix says."""
        colour = colour_of(picture, self._shown)
        table = Colorspace.ITU709 if colour.matrix == _RGB else _MATRICES[colour.matrix][1]
        rgb = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=table,
            dst_colorspace=table,
            interpolation=_EXACT,
            src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        ).to_ndarray()
        if _is_gray(picture) and not colour.full_range:
            rgb = _EXPAND[rgb]  # swscale takes gray for full range whatever it is told
        return np.ascontiguousarray(upright(rgb, display_matrix(picture)))


def centred_chroma(picture: VideoFrame) -> tuple[bool, bool]:
    """Whether swscale takes chroma of `picture`, 4:2:0, to lie between two rows, and between two columns.

    It knows the stream's chroma location, which PyAV does not tell; so it is asked what it makes of a gray picture with
    one coloured sample. The samples of `picture` are overwritten.
    Raises: ValueError where chroma lies neither there nor on the first of the two.
    """
    bits = int(picture.format.components[0].bits)
    row, column = (plane // 2 for plane in (picture.planes[1].height, picture.planes[1].width))
    picture.make_writable()
    for number, plane in enumerate(picture.planes):
        samples = np.full((plane.height, plane.line_size // (1 if bits == 8 else 2)), 1 << bits - 1)
        if number == 2:
            samples[row, column] += 1 << bits - 2
        plane.update(samples.astype(np.uint8 if bits == 8 else np.uint16).tobytes())
    red = VideoReformatter().reformat(picture, format="rgb24", interpolation=_EXACT, threads=1).to_ndarray()[:, :, 0]
    here = red[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].astype(int)
    below, beside = here[0, 0] - here[1, 0], here[0, 0] - here[0, 1]
    if below < -2 or beside < -2:
        raise ValueError("chroma lies on the second of two rows or columns")
    return bool(below <= 2), bool(beside <= 2)


@dataclass(frozen=True)
class Turn:
    """One of the eight orientations: swap the axes, then mirror rows and columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def provenance(self) -> dict[str, Any]:
        """Degrees clockwise that pictures were turned by, after mirroring left and right when `mirrored`."""
        mirrored = self.transpose ^ self.flip_rows ^ self.flip_columns
        if self.transpose:
            return {"degrees": 90 if self.flip_columns else 270, "mirrored": mirrored}
        return {"degrees": 180 if self.flip_rows else 0, "mirrored": mirrored}


def display_matrix(picture: VideoFrame) -> Turn:
    """The orientation that `picture`'s display matrix asks for; angles between the right ones are not applied."""
    attached = cast(Iterable[SideData], picture.side_data)  # a mapping that iterates over its values
    data = next((bytes(one) for one in attached if one.type == Type.DISPLAYMATRIX), b"")
    if len(data) < 36:
        return Turn()
    # x' = a x + c y, y' = b x + d y, as 16.16 integers
    a, b, _, c, d = (int(value) for value in np.frombuffer(data[:20], "=i4"))
    if a and d and not b and not c:
        return Turn(False, d < 0, a < 0)
    if b and c and not a and not d:
        return Turn(True, b < 0, c < 0)
    return Turn()


def upright(rgb: np.ndarray, turn: Turn) -> np.ndarray:
    """`rgb` (H, W, 3) turned; a view."""
    if turn.transpose:
        rgb = rgb.swapaxes(0, 1)
    if turn.flip_rows:
        rgb = rgb[::-1]
    if turn.flip_columns:
        rgb = rgb[:, ::-1]
    return rgb
