"""Every stage that has one forwards on a device. A chain with another stage is encoded on the CPU.

on the device    means, scales, bases, the transform along time, mixtures; rounding, plain and by rate
on the CPU       codes under time contexts, trellises, vector quantisers and video, which search more than multiply
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

import torch

from embdc_cli.codec.device import products
from embdc_cli.codec.device.beside import Beside, Upload
from embdc_cli.codec.device.forward import Forward, Measured
from embdc_cli.codec.device.mixture_forward import mixture
from embdc_cli.codec.device.rounding import dead_zone, rate_rounding
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.transform.basis import Basis
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale, side_of


@singledispatch
def forward_of(stage: Stage, upload: Upload, staging: Staging) -> Forward:
    """The stage forwards, its parameters uploaded. Raises TypeError for one that only the CPU has."""
    raise TypeError(f"stage {stage.stage.name.lower()} is not run forwards on a device")


def all_forwards(stages: Iterable[Stage]) -> bool:
    """Whether all of these have one."""
    return all(forward_of.dispatch(type(stage)) is not forward_of.dispatch(object) for stage in stages)


def _as_it_is(stage: Stage, upload: Upload, staging: Staging) -> Forward:
    return Forward(lambda x, beside: x)


def _token_scale(stage: TokenScale, upload: Upload, staging: Staging) -> Forward:
    """x over the scale of its token."""

    def measure(x: torch.Tensor) -> Measured:
        deviations = x.double().std(dim=-1, correction=0) if x.numel() else x.new_zeros(x.shape[:2]).double()
        return Measured(side_of(*staging.fetched([deviations])))

    return Forward(lambda x, beside: x / beside.tensors[0], measure)


def _normalise(stage: Normalise, upload: Upload, staging: Staging) -> Forward:
    """(x - mean) / scale."""
    mean = upload(stage.mean)
    scale = None if stage.scale is None else upload(stage.scale)

    def run(x: torch.Tensor, beside: Beside) -> torch.Tensor:
        centred = x - mean
        return centred if scale is None else centred.div_(scale)

    return Forward(run)


def _basis(stage: Basis, upload: Upload, staging: Staging) -> Forward:
    """x A."""
    analysis = upload(stage.analysis)

    def run(x: torch.Tensor, beside: Beside) -> torch.Tensor:
        return (x.flatten(0, 1) @ analysis).view(*x.shape[:2], analysis.shape[1])

    return Forward(run)


def _time_dct(stage: TimeDct, upload: Upload, staging: Staging) -> Forward:
    """C x."""
    return Forward(products.along_time(stage.group, upload, transposed=False))


forward_of.register(TokenScale, _token_scale)
forward_of.register(Normalise, _normalise)
forward_of.register(Reconstruction, _as_it_is)
forward_of.register(Identity, _as_it_is)
forward_of.register(Basis, _basis)
forward_of.register(TimeDct, _time_dct)
forward_of.register(Mixture, mixture)
forward_of.register(DeadZone, dead_zone)
forward_of.register(RateRounding, rate_rounding)
