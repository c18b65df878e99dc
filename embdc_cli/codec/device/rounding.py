"""Scalar quantisers forwards on a device: float32 coefficients of any shape to int32 codes."""

from __future__ import annotations

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.forward import Forward
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import Shape
from embdc_cli.codec.transform.dead_zone import THETA, DeadZone
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.parameters import MAX_LEVEL


def dead_zone(stage: DeadZone, upload: Upload, staging: Staging) -> Forward:
    """sign(c) floor(|c| / step + theta): of the same coefficients the codes of the CPU."""
    return Forward(lambda x, beside: rounded(x, stage.step))


def rounded(x: torch.Tensor, step: float) -> torch.Tensor:
    """As `DeadZone.forward`."""
    scaled = x * float(np.float32(1.0 / step))
    scaled.add_(scaled.sign(), alpha=THETA)
    return scaled.nan_to_num_(nan=0.0).clamp_(-MAX_LEVEL, MAX_LEVEL).int()


def rate_rounding(stage: RateRounding, upload: Upload, staging: Staging) -> Forward:
    """As many levels as there are thresholds of the class below |v|: of the same coefficients the codes of the CPU."""
    thresholds = stage.thresholds
    levels = thresholds.shape[1]
    known = upload(thresholds.ravel())
    scale = float(np.float32(1.0 / stage.step))

    def take(side: bytes, shape: Shape) -> Taken:
        return Taken((stage.mixture.chunk(side).classes,))

    def run(x: torch.Tensor, beside: Beside) -> torch.Tensor:
        values = (x * scale).nan_to_num_(nan=0.0, posinf=float("inf"), neginf=-float("inf"))
        magnitudes = values.abs()
        first = beside.tensors[0].int() * levels
        below = torch.zeros_like(first)
        width = levels
        while width:  # of a rising row: how many are below, by halves
            further = (below + width).clamp_(max=levels)
            passes = known.index_select(0, first + further - 1) < magnitudes
            below = torch.where(passes, further, below)
            width //= 2
        last = known.index_select(0, first + levels - 1)
        beyond = (magnitudes.double() - last).floor_().clamp_(max=MAX_LEVEL - levels)
        codes = torch.where(below == levels, levels + beyond, below).int()
        codes = torch.where(first == 0, 0, codes)  # class 0 has nothing but zeros
        return torch.where(values < 0, -codes, codes)

    return Forward(run, take=take)
