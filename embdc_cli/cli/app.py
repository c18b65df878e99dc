"""`main`, the program: finds the command, runs it, and turns whatever it raises into words and an exit code.

A command's module is imported when it is asked for. Nothing here imports torch, numpy, av or h5py, and `--version`
does not even import typer.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from embdc_cli import __version__
from embdc_cli.cli import signals
from embdc_cli.cli.console import Console, silence_stdout, tolerate_any_text
from embdc_cli.errors import UsageError
from embdc_cli.failure import Failure, signal_exit


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `embdc ARGV` (default: the arguments of the process)."""
    args = list(sys.argv[1:] if argv is None else argv)
    tolerate_any_text()
    asked_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    console = Console(json=asked_json)
    try:
        with signals.raising(), warnings.catch_warnings():
            if not sys.warnoptions and not os.environ.get("EMBDC_DEBUG"):
                warnings.simplefilter("ignore")  # of libraries, to their developers
            if args[:1] == ["--version"]:
                console.data(f"embdc {__version__}")
                return 0
            return _run(args)
    except BrokenPipeError:
        silence_stdout()
        return signal_exit(signal.SIGPIPE)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  # the end of the line: never a traceback
        return _fail(console, error)


def _run(args: list[str]) -> int:
    import typer

    from embdc_cli.cli.root import COMPLETION_VARIABLE, root_command

    root = root_command()
    if COMPLETION_VARIABLE in os.environ:
        root.main(args, prog_name="embdc", complete_var=COMPLETION_VARIABLE)
    try:
        if not args:
            for line in root.get_help(root.make_context("embdc", [], resilient_parsing=True)).splitlines():
                Console().say(line)
            return UsageError.exit_code
        with root.make_context("embdc", args) as context:
            return int(root.invoke(context) or 0)
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        raise _usage_error(error) from error


def _usage_error(error: Any) -> UsageError:
    """typer's complaint in our form: one line, lower case, no full stop, and a hint."""
    message: str = (error.message or error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    close = getattr(error, "possibilities", None)  # best first
    hint = f"did you mean {close[0]}?" if close else f"see `{context.command_path if context else 'embdc'} --help`"
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _fail(console: Console, error: BaseException) -> int:
    failure = Failure.of(error)
    try:
        console.failure(error)
        if console.json:
            console.document({"error": failure.document(), "exit": failure.exit})
    except BrokenPipeError:
        silence_stdout()
    return failure.exit
