"""`--report`: refused before the work where it cannot be written, and written after it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from embdc_cli import output
from embdc_cli.cli.console import Console
from embdc_cli.errors import UsageError


def check(path: str | None, *inputs: str, outputs: Sequence[str | None] = (), force: bool) -> None:
    """Refuse a report that cannot be written, or would be written over an input or another of the `outputs`.

    Raises: UsageError, OutputExists.
    """
    if path is None:
        return
    if path == "-":
        raise UsageError("--report: -: expected a file name", hint="--report FILE.html")
    output.check_not_input(path, *inputs)
    if any(other is not None and os.path.realpath(other) == os.path.realpath(path) for other in outputs):
        raise UsageError(f"--report: {path} is also another output", hint="choose another name")
    output.check_output(path, force=force)


def write(path: str, html: str, console: Console, *, force: bool) -> None:
    """Write the report; it appears complete or not at all."""
    with output.atomic_output(path, force=force) as out:
        out.write(html.encode())
    console.say(f"{path}: the report, for a browser")
