"""`embdc cat`: archives joined without re-encoding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from embdc_cli.container.join import join as join_parts
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.errors import IncompleteError, UsageError
from embdc_cli.output import CountedOutput, check_not_input, destination
from embdc_cli.traffic import Traffic

MODES = ("time", "items")


def cat(inputs: Sequence[str], output: str, *, join: str = "time", force: bool = False) -> dict[str, Any]:
    """Join `inputs` into `output` (`-`: stdout) and return the `--json` document.

    join: "time" makes one longer stream of parts with equal recipe and layout, "items" keeps them apart.
    Raises: UsageError for parts that do not fit, IncompleteError for an incomplete input, CorruptArchive.
    """
    if join not in MODES:
        raise UsageError(f"--join: expected one of {', '.join(MODES)}, found {join!r}")
    check_not_input(output, *inputs)
    with ExitStack() as stack:
        readers = [stack.enter_context(ArchiveReader.open(path)) for path in inputs]
        for path, reader in zip(inputs, readers, strict=True):
            if not reader.complete:
                raise IncompleteError(f"cat: {path} is incomplete", hint="encode it again, or with --resume")
        with destination(output, force=force) as out:
            counted = CountedOutput(out)
            join_parts(readers, counted, mode="time" if join == "time" else "items")
    return {
        "output": output,
        "inputs": list(inputs),
        "items": 1 if join == "time" else sum(len(reader.items) for reader in readers),
        "streams": list(dict.fromkeys(stream.name for reader in readers for stream in reader.streams)),
        "file_bytes": counted.bytes,
        "io": Traffic.total(reader.traffic for reader in readers).document(),
        "exit": 0,
    }
