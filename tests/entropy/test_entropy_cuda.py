"""Whether kernels in Triton can run is said in words, not found out by an import that fails."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from embdc_cli.entropy import cuda as entropy_cuda
from embdc_cli.entropy.cuda import why_not
from embdc_cli.entropy.rans import cuda as rans_cuda
from tests.entropy.device_cases import DEVICES


@pytest.mark.parametrize(
    ("device", "has_triton", "capabilities", "reason"),
    [
        ("cuda", True, [(9, 0)], None),
        ("cuda:1", True, [(7, 0), (8, 0)], None),
        ("cuda", False, [(9, 0)], "triton is not installed"),
        ("cpu", True, [(9, 0)], "cpu is not a CUDA device"),
        ("cuda", True, [], "cuda is not here"),
        ("cuda:1", True, [(9, 0)], "cuda:1 is not here"),
        ("cuda:0", True, [(7, 5)], "cuda:0: expected compute capability 8.0 or above, found 7.5"),
    ],
)
def test_reasons(
    device: str,
    has_triton: bool,
    capabilities: list[tuple[int, int]],
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if has_triton else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda one: capabilities[one.index or 0])
    monkeypatch.setattr(entropy_cuda, "failure", lambda device: None)
    assert why_not(device) == reason


@pytest.mark.parametrize("device", DEVICES)
def test_a_kernel_is_tried(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = entropy_cuda.failure.__wrapped__
    assert tried(device) is None

    def compiling(*_: object) -> None:
        raise RuntimeError("\nFailed to find C compiler. Please specify via CC.\nmore words")

    monkeypatch.setattr(rans_cuda, "lane_counts", compiling)
    expected = f"{device}: Triton cannot compile kernels, Failed to find C compiler. Please specify via CC."
    assert tried(device) == expected
