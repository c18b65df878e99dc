"""Codes under time contexts decoded on a device are those of the CPU: interpreted, and on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embdc_cli.codec.device import context_coder
from embdc_cli.codec.device.beside import Beside, Upload
from embdc_cli.codec.device.chain import codes_of
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.transform.time_context import TimeContext, cuda
from embdc_cli.errors import ResourceError
from tests.codec.sparse_cases import sticky_codes
from tests.entropy.device_cases import DEVICES

pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True)
def _on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on the CPU, where kernels are interpreted."""
    monkeypatch.setattr(context_coder, "kernels_on", lambda _: cuda)


def test_chunks_of_all_kinds_at_once(device: str) -> None:
    """With signs and without, with escapes, without codes, and one that is corrupt."""
    coder, where = TimeContext(2), torch.device(device)
    there, staging = codes_of(coder, Upload(where)), Staging(where)
    assert there.together
    chunks = [
        sticky_codes((3, 4, 5), 3.0, 1),
        sticky_codes((2, 2, 9), 900.0, 2, negative=True),
        np.zeros((4, 0, 5), np.int32),
        sticky_codes((1, 5, 3), 3.0, 3, negative=True),
        sticky_codes((3, 2, 5), 4.0, 4),
    ]
    besides = []
    for number, codes in enumerate(chunks):
        taken, crc = there.take(memoryview(coder.encode(codes, b"")), codes.shape, b"", 0)
        assert crc is None
        assert taken.device_bytes >= 4 * codes.size
        (tensor,) = staging.copied(taken.arrays)
        if number == 3:
            tensor[3:8] ^= 0xFF
        besides.append(Beside((tensor,), taken.facts))
    found = there.run(besides, staging)
    assert found.faults is not None
    assert found.faults.isnan().tolist() == [False, False, False, True, False]
    for number, (codes, expected) in enumerate(zip(found.codes, chunks, strict=True)):
        assert codes.shape == expected.shape
        if number != 3:
            np.testing.assert_array_equal(codes.cpu().numpy(), expected)


def test_more_codes_than_a_kernel_counts(device: str) -> None:
    there = codes_of(TimeContext(2), Upload(torch.device(device)))
    with pytest.raises(ResourceError, match="codes of one chunk on a device: expected at most"):
        there.take(memoryview(bytes(8)), (1 << 20, 1 << 5, 1 << 5), b"", 0)
