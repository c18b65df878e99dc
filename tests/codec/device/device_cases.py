"""What the tests of decoding on a device share: the devices, and stages and chunks decoded there and on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.device.beside import Beside, Inverse, Upload
from embdc_cli.codec.device.chain import DeviceChain, inverse_of
from embdc_cli.codec.device.codec import device_codec
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import ChunkCodec, Quantiser, Shape, Stage, TokenCounts
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.token_scale import TokenScale, scales_in

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
"""Where torch is to do what numpy does: on the CPU always, on a GPU where there is one."""


def backwards(stage: Stage, y: np.ndarray, device: str, side: bytes = b"", shape: Shape | None = None) -> np.ndarray:
    """What a stage gives back on `device`. shape: of what it took."""
    where = torch.device(device)
    return run(inverse_of(stage, Upload(where)), y, where, side, shape)


def run(
    inverse: Inverse, y: np.ndarray, where: torch.device, side: bytes = b"", shape: Shape | None = None
) -> np.ndarray:
    taken = inverse.take(side, y.shape if shape is None else shape)
    first, *others = Staging(where).copied([y, *taken.arrays])
    return inverse.run(first, Beside(tuple(others), taken.facts)).cpu().numpy()


@dataclass(frozen=True)
class Group:
    """float32 tokens (F, N, D) of a group, of the CPU and of a device, and steps of their quantiser that broadcast."""

    expected: np.ndarray
    found: np.ndarray
    steps: np.ndarray


def groups_of(
    codec: TransformCodec, device: str, payload: bytes, rows: int, token_counts: TokenCounts | None = None
) -> list[Group]:
    """Of a chunk, before the cast; its codes are those of the CPU."""
    where = torch.device(device)
    coded, _, crc = codec.codes(payload, rows, token_counts)
    parts, _ = codec.part(payload, rows, token_counts)
    groups: list[Group] = []
    running: int | None = 0
    for models, one, parted in zip(codec.models.groups, coded, parts, strict=True):
        chain = DeviceChain(models.chain, Upload(where))
        taken, running = chain.take(parted, running)
        tensors = iter(Staging(where).copied([array for each in taken.all for array in each.arrays]))
        there = [Beside(tuple(next(tensors) for _ in each.arrays), each.facts) for each in taken.all]
        coded_there = chain.codes(there[:1], Staging(where))
        (codes,) = coded_there.codes
        np.testing.assert_array_equal(codes.cpu().numpy(), one.codes)
        assert coded_there.faults is None or not coded_there.faults.isnan().any()
        with np.errstate(all="ignore"):
            expected = models.chain.reconstruct(one)
        found = chain.tokens(codes, there[1:]).cpu().numpy()
        groups.append(Group(expected, found, _steps(models.chain, one.sides, expected.shape)))
    assert running == (None if decodes_codes(codec, where) else crc)
    return groups


def decodes_codes(codec: ChunkCodec, where: torch.device) -> bool:
    """Whether codes are decoded on the device, so that the CPU, which does not see them, cannot sum them up."""
    return device_codec(codec, where).together


def _steps(chain: Chain, sides: tuple[bytes, ...], shape: Shape) -> np.ndarray:
    steps = np.ones((1, 1, 1))
    for stage, side in zip(chain.links, sides, strict=True):
        if isinstance(stage, Normalise) and stage.scale is not None:
            steps = steps * stage.scale
        elif isinstance(stage, TokenScale):
            steps = steps * scales_in(side, shape)
        elif isinstance(stage, Quantiser):
            steps = steps * stage.step  # type: ignore[attr-defined]  # every quantiser has one
    return steps


def assert_agree(groups: list[Group]) -> None:
    """All of a chunk within 1/64 of the root mean square of the steps."""
    errors, steps = [np.zeros(0)], [np.zeros(0)]
    for group in groups:
        assert group.found.dtype == np.float32
        assert group.found.shape == group.expected.shape
        errors.append((group.found.astype(np.float64) - group.expected).ravel())
        steps.append(np.broadcast_to(group.steps, group.expected.shape).ravel())
    error, step = (np.concatenate(parts) for parts in (errors, steps))
    if error.size:
        assert np.sqrt(np.mean(error**2)) <= np.sqrt(np.mean(step**2)) / 64
