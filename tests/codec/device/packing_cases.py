"""Codes packed by kernels wherever torch runs: what the tests of that share."""

from __future__ import annotations

import pytest
import torch

from embdc_cli.codec.device import cuda as device_kernels
from embdc_cli.codec.device import cuda_codes, packing, plane_coders
from embdc_cli.entropy.levels import cuda_encode
from embdc_cli.entropy.rans import cuda as rans
from tests.entropy.device_cases import INTERPRETED


@pytest.fixture
def packed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on the CPU, where kernels are interpreted, which takes long for a step and for a program."""
    monkeypatch.setattr(packing, "kernels_on", lambda _: (cuda_encode, cuda_codes))
    if INTERPRETED:
        monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
        monkeypatch.setattr(cuda_encode, "_lanes", lambda cost, errors: torch.where(errors != 0, 0, 32).to(torch.int32))
        monkeypatch.setattr(rans, "_TOGETHER", 64)
        monkeypatch.setattr(cuda_codes, "_STEPS", 1)
        monkeypatch.setattr(cuda_codes, "REMAINDER_WORDS", cuda_codes._LANES)
        for module in (plane_coders, device_kernels):
            monkeypatch.setattr(module, "TILE", 64)
