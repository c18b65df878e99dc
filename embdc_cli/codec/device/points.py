"""Codes to float32 on a device: scalar quantisers backwards, to the bit what they give on the CPU.

Codes come as int8 or int16 where they fit, for which a table has all points; others are computed, in float64 as numpy
does. Where Triton runs, all are computed in one pass. Codes (..) are of any shape, of `sticky` and of video (F, N, D).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Inverse, Upload
from embdc_cli.codec.device.kernels import kernels_on
from embdc_cli.codec.transform.dead_zone import OFFSET_UNIT, DeadZone
from embdc_cli.codec.transform.mixture.trellis_points import CENTROIDS, TrellisPoints
from embdc_cli.codec.transform.sticky import OFFSET_UNIT as STICKY_UNIT
from embdc_cli.codec.transform.sticky import Sticky
from embdc_cli.codec.video.samples import VideoSamples

_UNSIGNED: Final = {torch.int8: torch.uint8, torch.int16: torch.uint16}


def dead_zone(stage: DeadZone, upload: Upload) -> Inverse:
    """(|q| + offset) step."""
    shifts = np.array([0, *stage.offsets]) * OFFSET_UNIT
    return _by_table(stage, shifts, upload)


def trellis_points(stage: TrellisPoints, upload: Upload) -> Inverse:
    """(|q| + centroid), then times the half step."""
    return _by_table(stage, CENTROIDS.astype(np.float64), upload)


def _by_table(stage: DeadZone | TrellisPoints, shifts: np.ndarray, upload: Upload) -> Inverse:
    table = upload(stage.points_of(np.arange(1 << 16).astype(np.int16).astype(np.int32)))  # as codes look unsigned
    small = torch.cat([table[: 1 << 7], table[-(1 << 7) :]])  # on the stream that uploads
    tables = {torch.int8: small, torch.int16: table}
    step = float(np.float32(stage.step))
    numbers = upload(np.append(shifts, step))
    rounds_twice = isinstance(stage, TrellisPoints)
    kernels = kernels_on(upload.device)

    def run(codes: torch.Tensor, beside: Beside) -> torch.Tensor:
        if kernels is not None:
            found: torch.Tensor = kernels.points(codes, numbers, rounds_twice=rounds_twice)
            return found
        if codes.dtype in tables:
            places = codes.view(_UNSIGNED[codes.dtype]).int()
            return tables[codes.dtype].index_select(0, places.reshape(-1)).view(codes.shape)
        magnitudes = codes.abs()
        moved = magnitudes.double() + numbers[magnitudes.clamp(max=3)]
        points = moved.float() * step if rounds_twice else (moved * step).float()
        return points.copysign_(codes)

    return Inverse(run)


def sticky(stage: Sticky, upload: Upload) -> Inverse:
    """Points that depend on the codes a row before and after."""
    offsets = upload((stage.offsets.astype(np.float32) * np.float32(STICKY_UNIT)).ravel())
    step = float(np.float32(stage.step))

    def run(codes: torch.Tensor, beside: Beside) -> torch.Tensor:
        signs = codes.sign()
        for kept, other in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            beside_it = torch.zeros_like(codes)
            beside_it[kept] = codes[other].sign()
            signs = torch.where(signs == 0, beside_it, signs)
        magnitudes = codes.int().abs_()
        turns = (magnitudes[1:] - magnitudes[:-1]).sign_()
        kind = magnitudes.clamp(max=3).mul_(9).add_(4)  # of offsets (4, 3, 3): equal before and after is 1, 1
        kind[1:] -= 3 * turns
        kind[:-1] += turns
        found = offsets.index_select(0, kind.view(-1)).view(codes.shape).add_(magnitudes)
        return torch.where(signs < 0, -found, found).mul_(step)

    return Inverse(run)


def video_samples(stage: VideoSamples, upload: Upload) -> Inverse:
    """(q - zero) times the scale of the channel."""
    levels = stage.levels
    zeros = upload(levels.zeros.astype(np.int32))
    scales = upload(np.ldexp(np.float32(stage.scale), levels.exponents).astype(np.float32))

    def run(codes: torch.Tensor, beside: Beside) -> torch.Tensor:
        return (codes.int() - zeros).float().mul_(scales)

    return Inverse(run)
