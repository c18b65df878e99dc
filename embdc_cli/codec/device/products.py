"""Products backwards on a device: bases, the transform along time, and rotations.

y: float32 (F, N, r) -> (F, N, D).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Inverse, Upload
from embdc_cli.codec.device.scales import constant_channels
from embdc_cli.codec.transform.basis import Basis
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.time_dct import TimeDct, matrix
from embdc_cli.codec.video.hadamard import Hadamard, power_of_two, signs_of, starts_of


def identity(stage: Identity, upload: Upload) -> Inverse:
    """As it is."""
    return Inverse(lambda y, beside: y)


def basis(stage: Basis, upload: Upload) -> Inverse:
    """y S."""
    synthesis = upload(stage.synthesis)

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        return (y.flatten(0, 1) @ synthesis).view(*y.shape[:2], synthesis.shape[1])

    return Inverse(run)


def centred_basis(stage: Basis, normalise: Normalise, upload: Upload) -> Inverse:
    """y S scale + mean as one product: scales go into the basis, which saves two passes over the tokens."""
    scale, synthesis = normalise.scale, stage.synthesis
    vectors = upload(synthesis if scale is None else synthesis * scale)
    mean = upload(normalise.mean)
    constants = constant_channels(normalise, upload)

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        x = torch.addmm(mean, y.flatten(0, 1), vectors).view(*y.shape[:2], len(mean))
        return constants(x)

    return Inverse(run)


def time_dct(stage: TimeDct, upload: Upload) -> Inverse:
    """C^T y."""
    return Inverse(along_time(stage.group, upload, transposed=True))


def along_time(group: int, upload: Upload, *, transposed: bool) -> Callable[[torch.Tensor, Beside], torch.Tensor]:
    """C y or C^T y within groups of rows; the last group may be shorter."""

    def known(length: int) -> torch.Tensor:
        if length not in matrices:
            matrices[length] = upload(np.ascontiguousarray(matrix(length).T if transposed else matrix(length)))
        return matrices[length]

    matrices: dict[int, torch.Tensor] = {}
    known(group)

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        if group == 1:
            return y
        rows, columns = y.shape[0], y.shape[1] * y.shape[2]
        whole = rows - rows % group
        x = torch.empty_like(y)
        parts = [(slice(0, whole), group), (slice(whole, rows), rows - whole)]
        for part, length in parts:
            if y[part].numel():
                groups = y[part].view(-1, length, columns)
                many = known(length).expand(len(groups), length, length)
                torch.bmm(many, groups, out=x[part].view(groups.shape))
        return x

    return run


def hadamard(stage: Hadamard, upload: Upload) -> Inverse:
    """Each factor's transform as two products with matrices of about the root of its width, then its signs."""

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        channels = y.shape[2]
        width = power_of_two(channels)
        signs, (left, right) = of_channels(channels)
        for start, sign in reversed(list(zip(starts_of(channels), signs, strict=True))):
            part = y[..., start : start + width]
            part.copy_((left @ (part.reshape(-1, len(left), len(right)) @ right)).view(part.shape))
            y *= sign
        return y

    known: dict[int, tuple[list[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {}

    def of_channels(channels: int) -> tuple[list[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        if channels not in known:
            octaves = power_of_two(channels).bit_length() - 1
            pair = upload(_walsh(octaves // 2)), upload(_walsh(octaves - octaves // 2))
            known[channels] = [upload(sign) for sign in signs_of(stage.seed, channels)], pair
        return known[channels]

    return Inverse(run)


def _walsh(octaves: int) -> np.ndarray:
    """(2^k, 2^k) float32, the orthonormal Walsh-Hadamard matrix in its natural order."""
    h = np.ones((1, 1))
    for _ in range(octaves):
        h = np.block([[h, h], [h, -h]])
    return np.asarray(h * 2.0 ** (-octaves / 2), np.float32)
