"""What `--device` may say, and whether such a device is here. torch is loaded only to look for a CUDA device."""

from __future__ import annotations

import re

from embdc_cli.errors import ResourceError, UsageError


def device_word(text: str) -> str:
    """`text`, when it is a word of `--device`. Raises: ValueError that reads `expected X, found Y`."""
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", text):
        raise ValueError(f"expected auto, cpu, cuda or cuda:N, found {text!r}")
    return text


def computing_device(device: str) -> str:
    """Where a codec that can choose works: on the CPU unless a CUDA device is asked for by name."""
    return "cpu" if device == "auto" else device


def check_device(device: str) -> None:
    """Nothing, when `device` can be used here; `auto` and `cpu` always can.

    Raises: UsageError for another word, ResourceError for a CUDA device that is not there.
    """
    try:
        kind, _, number = device_word(device).partition(":")
    except ValueError as error:
        raise UsageError(f"--device: {error}") from error
    if kind != "cuda":
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise ResourceError(
            f"--device {device}: not here, {count} CUDA devices found",
            hint="use --device auto, or cpu" if count == 0 else f"use cuda:0 to cuda:{count - 1}",
        )
