"""What the user names, opened: a dump, a video with its embedder, standard input, an archive, or arrays from Python."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from embdc_cli.errors import ResourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump, Feed

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput


def open_input(source: str | ArrayInput, options: EncodeOptions, reporter: Reporter) -> Dump | Feed:
    """The opened input; a Feed can be read once only. Raises: SourceError, UsageError, MissingModel."""
    if not isinstance(source, str):
        from embdc_cli.source.array import open_arrays

        return open_arrays(source, options)
    from embdc_cli.source import detect_format, open_dump, open_stdin

    if source == "-":
        return open_stdin(sys.stdin.buffer, options)
    if detect_format(source, options) == "video":
        from embdc_cli.embedder.feed import embed_video

        return embed_video(source, options, reporter)
    dump = open_dump(source, options)
    dump.name = PurePath(source).stem
    return dump


def check_device(device: str) -> None:
    """Refuse (exit 9) a CUDA device that was asked for and is not there; `auto` and `cpu` always pass."""
    if device in ("auto", "cpu"):
        return
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number.isdigit() or not number):
        raise UsageError(f"--device: expected auto, cpu, cuda or cuda:N, found {device!r}")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise ResourceError(
            f"--device {device}: not here, {count} CUDA devices found",
            hint="use --device auto, or cpu" if count == 0 else f"use cuda:0 to cuda:{count - 1}",
        )
