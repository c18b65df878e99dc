"""Scales and means of channels, and scales of tokens, backwards on a device. y: float32 (F, N, D), written over."""

from __future__ import annotations

from collections.abc import Callable

import torch

from embdc_cli.codec.device.beside import Beside, Inverse, Taken, Upload
from embdc_cli.codec.stage import Shape
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.token_scale import TokenScale, scales_in


def normalise(stage: Normalise, upload: Upload) -> Inverse:
    """y scale + mean."""
    scale = None if stage.scale is None else upload(stage.scale)
    mean = upload(stage.mean)
    constants = constant_channels(stage, upload)

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        return constants(y.add_(mean) if scale is None else torch.addcmul(mean, y, scale, out=y))

    return Inverse(run)


def constant_channels(stage: Normalise, upload: Upload) -> Callable[[torch.Tensor], torch.Tensor]:
    """Puts in place the channels that never change, which no sum is to round."""
    if not len(stage.constant_channels):
        return lambda x: x
    channels, values = upload(stage.constant_channels), upload(stage.constant_values)

    def put(x: torch.Tensor) -> torch.Tensor:
        return x.index_copy_(2, channels, values.expand(*x.shape[:2], -1))

    return put


def token_scale(stage: TokenScale, upload: Upload) -> Inverse:
    """y times the scale of its token, which the chunk tells."""

    def take(side: bytes, shape: Shape) -> Taken:
        return Taken((scales_in(side, shape),))

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        return y.mul_(beside.tensors[0])

    return Inverse(run, take)
