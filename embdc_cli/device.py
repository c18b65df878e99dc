"""What `--device` may say, whether such a device is here, and what networks compute in there.

torch is loaded only to look for a CUDA device.
"""

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


def network_dtype(word: str, device: str) -> str:
    """The element type that `--encoder-dtype` comes to for a network on the device of a word of `--device`.

    `auto` is float32 on the CPU; on a CUDA device bfloat16, or float16 where it knows no bfloat16. Raises: UsageError.
    """
    if word != "auto":
        from embdc_cli import dtypes  # numpy

        try:
            found = dtypes.parse(word)
        except UsageError:
            found = ""
        if found not in dtypes.FLOATS:
            raise UsageError(f"--encoder-dtype: expected one of auto, f32, bf16, f16, found {word!r}")
        return found
    if device == "cpu":
        return "float32"
    import torch

    if not torch.cuda.is_available():
        return "float32"
    with torch.cuda.device(torch.device("cuda" if device == "auto" else device)):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
