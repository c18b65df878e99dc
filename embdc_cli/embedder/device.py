"""Where an embedder runs."""

from __future__ import annotations

import torch

from embdc_cli.errors import ResourceError, UsageError


def chosen_device(name: str) -> torch.device:
    """The device of --device auto, cpu or cuda[:i]; ResourceError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device: expected auto, cpu or cuda[:i], found {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"--device {name}: no such device, found {torch.cuda.device_count()} CUDA devices",
            hint="--device cpu works anywhere",
        )
    return device
