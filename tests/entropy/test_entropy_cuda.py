"""Whether kernels in Triton can run is said in words, not found out by an import that fails."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from embdc_cli.entropy.cuda import why_not


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
    assert why_not(device) == reason
