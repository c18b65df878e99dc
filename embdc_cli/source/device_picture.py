"""Pictures whose samples lie on a device, to upright RGB there: what `video_colour` does with swscale, in torch.

The samples are those of NVDEC, one plane below the other in a tensor of the picture's width:
  4:2:0   H rows of luma, H/2 rows of chroma, Cb and Cr in turn (NV12; P016 with 16 bits)
  4:4:4   H rows each of luma, Cb and Cr
More than 8 bits are the high ones of 16. Chroma is upsampled with swscale's bicubic filter, edges as swscale treats
them. Levels differ from swscale's by at most TOLERANCE, since swscale rounds in between; by more only
where it overflows, at colours far outside RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from av import VideoFrame

from embdc_cli.source.video_colour import Colour, Turn

TOLERANCE: Final = 1
"""Levels of 255, for pictures of 16 x 16 samples and more; below, swscale's filters are shorter."""

# H.273 number -> luma weights of red and blue
_WEIGHTS: Final = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
    9: (0.2627, 0.0593), 10: (0.2627, 0.0593),
}  # fmt: skip
# swscale's cubic (B = 0, C = 0.6) for two outputs per input: the first of four taps, and their weights
_BETWEEN: Final = (
    (-2, (-0.028125, 0.240625, 0.871875, -0.084375)),  # at distances 1.75, 0.75, 0.25 and 1.25
    (-1, (-0.084375, 0.871875, 0.240625, -0.028125)),
)
_ON_THE_FIRST: Final = ((-1, (0.0, 1.0, 0.0, 0.0)), (-1, (-0.075, 0.575, 0.575, -0.075)))


@dataclass(frozen=True)
class DevicePicture:
    """A decoded picture. pts, duration: ticks; samples: as above, its own copy.

    model: the stream's first picture as PyAV gives it, whose colour, range and orientation hold for all of them.
    centred: whether chroma of 4:2:0 lies between two rows, and between two columns, or else on the first of them.
    """

    pts: int
    duration: int | None
    samples: torch.Tensor
    model: VideoFrame
    centred: tuple[bool, bool]
    is_corrupt: bool = False
    interlaced_frame: bool = False


def rgb_of(
    samples: torch.Tensor, height: int, colour: Colour, turn: Turn, centred: tuple[bool, bool] = (True, True)
) -> torch.Tensor:
    """(H, W, 3) uint8 on the device of `samples`, C-contiguous, turned."""
    levels = _levels(samples)
    luma, chroma = levels[:height], levels[height:]
    if len(chroma) == 2 * height:
        planes = chroma.reshape(2, height, -1)
    else:
        wide = _doubled(chroma.reshape(len(chroma), -1, 2).permute(2, 0, 1), centred[1])
        planes = _doubled(wide.transpose(1, 2), centred[0]).transpose(1, 2)
    cb, cr = planes - 128
    red, blue = _WEIGHTS[colour.matrix]
    green = 1 - red - blue
    scale = 1.0 if colour.full_range else 255 / 224
    if not colour.full_range:
        luma = (luma - 16) * (255 / 219)
    cr, cb = cr * (2 * (1 - red) * scale), cb * (2 * (1 - blue) * scale)
    rgb = torch.stack([luma + cr, luma - (red * cr + blue * cb) / green, luma + cb], dim=-1)
    image = torch.floor(rgb + 0.5).clamp_(0, 255).to(torch.uint8)
    if turn.transpose:
        image = image.transpose(0, 1)
    return image.flip([axis for axis, flip in enumerate((turn.flip_rows, turn.flip_columns)) if flip]).contiguous()


def _levels(samples: torch.Tensor) -> torch.Tensor:
    """Samples as float32 in units of 8 bits."""
    if samples.dtype == torch.uint8:
        return samples.to(torch.float32)
    # few operations know uint16
    return (samples.view(torch.int16).to(torch.int32) & 0xFFFF).to(torch.float32) / 256


def _doubled(planes: torch.Tensor, centred: bool) -> torch.Tensor:
    """planes (2, h, w) with twice the columns."""
    inputs, weights = _taps(planes.shape[-1], centred, planes.device)
    out = planes.new_zeros((*planes.shape[:-1], 2 * planes.shape[-1]))
    for index, weight in zip(inputs, weights, strict=True):
        out += planes[..., index] * weight
    return out


@lru_cache(maxsize=32)
def _taps(inputs: int, centred: bool, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(4, 2 inputs): the inputs of every output, and their weights. Source: initFilter of libswscale/utils.c."""
    filters = _BETWEEN if centred else _ON_THE_FIRST
    first = torch.tensor([start for start, _ in filters]).repeat(inputs) + torch.arange(2 * inputs) // 2
    index = first + torch.arange(4)[:, None]
    weights = torch.tensor([taps for _, taps in filters]).T.repeat(1, inputs)
    if centred:  # before the first input swscale leaves the farthest tap out instead of repeating the edge
        weights[0, 0::2][index[0, 0::2] < 0] = 0
    return index.clamp(0, inputs - 1).to(device), (weights / weights.sum(0)).to(device)
