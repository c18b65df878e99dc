"""Where an embedder runs."""

from __future__ import annotations

import torch

from embdc_cli.device import check_device


def chosen_device(name: str) -> torch.device:
    """The device of a word of `--device`. Raises: UsageError, ResourceError when it is not there."""
    check_device(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
