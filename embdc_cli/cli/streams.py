"""Standard input and output: binary never goes to a terminal, stdin is never read from one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import BinaryIO

from embdc_cli.cli.console import is_terminal
from embdc_cli.errors import UsageError


def check_output(outputs: Sequence[str], *, json: bool) -> None:
    """Refuse (2) binary on stdout when that is a terminal or carries the JSON document."""
    if "-" not in outputs:
        return
    if json:
        raise UsageError("--json: stdout is taken by -o -", hint="use -o FILE, or leave --json out")
    if is_terminal(sys.stdout):
        raise UsageError("output: stdout is a terminal, expected a file or a pipe", hint="use -o FILE or `| cat`")


def check_input(inputs: Sequence[str]) -> None:
    """Refuse (2) to read stdin twice or from a terminal."""
    if inputs.count("-") > 1:
        raise UsageError("input: - is given more than once, stdin can be read only once")
    if "-" in inputs and is_terminal(sys.stdin):
        raise UsageError("input: stdin is a terminal, expected a file or a pipe", hint="use `embdc ... - < FILE`")


def refuse_stdin(paths: Sequence[str]) -> None:
    """Refuse (2) `-` where an archive has to be sought in."""
    if "-" in paths:
        raise UsageError("input: -: expected a path or URL, standard input cannot be sought in", hint="save it first")


def stdin() -> BinaryIO:
    """Standard input as bytes."""
    if sys.stdin is None:
        raise UsageError("input: stdin is closed")
    return sys.stdin.buffer
