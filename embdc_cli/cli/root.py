"""The command `embdc` itself: its help, and its subcommands, each loaded when it is asked for."""

from __future__ import annotations

import difflib
import importlib
import os
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from embdc_cli.errors import UsageError

COMPLETION_VARIABLE: Final = "_EMBDC_COMPLETE"

COMMANDS: Final = {
    "plan": "predict size, quality and time of every preset",
    "encode": "videos or embedding dumps to archives",
    "decode": "an archive, or a part of it, back to a dump",
    "inspect": "what is in an archive and where every byte went",
    "ls": "list archives, and which are not complete",
    "verify": "check every checksum; compare with the original",
    "compare": "quality of an archive or dump, with limits",
    "repair": "make a damaged archive whole again",
    "cat": "join archives without encoding again",
    "split": "cut an archive in time without encoding again",
    "search": "find the nearest tokens or frames in archives",
    "train-codebook": "learn a codebook from examples",
    "completion": "print a completion script for your shell",
}

_HELP = """
Small, seekable, checked archives of video embeddings.

\b
Examples:
  embdc encode talk.mp4                   talk.embdc beside it
  embdc encode feats.npy --target-bpv .5  a dump, at half a bit per value
  embdc inspect talk.embdc                what is in it, how good it is
  embdc decode talk.embdc -o talk.npy     and back
"""

_EPILOG = """
\b
Exit codes: 0 done, 1 failure, 2 usage, 3 some items failed or archive
incomplete, 4 target missed, 5 corrupt, 6 newer version or missing model,
7 output exists, 8 input missing or unreadable, 9 out of disk, memory or
device, 75 stopped but resumable, 130/141/143 signals.

\b
`embdc COMMAND --help` explains a command, embdc(1) everything else.
"""


class _LazyGroup(TyperGroup):
    """Subcommands by name; listing them imports none of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS:
            module = importlib.import_module(f"embdc_cli.cli.{cmd_name.replace('-', '_')}")
            return typer.main.get_command(module.app)
        if ctx.resilient_parsing or cmd_name.startswith("-"):
            return None
        close = difflib.get_close_matches(cmd_name, COMMANDS, 1)
        raise UsageError(
            f"command: expected one of {', '.join(COMMANDS)}, found {cmd_name!r}",
            hint=f"did you mean {close[0]}?" if close else "see `embdc --help`",
        )

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def root_command() -> Any:
    """The command `embdc`; completion is set up only where the shell asks for it."""
    app = typer.Typer(
        cls=_LazyGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=COMPLETION_VARIABLE in os.environ,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(help=_HELP, epilog=_EPILOG)
    def embdc(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
        del version  # answered by main before typer is imported

    root: Any = typer.main.get_command(app)
    # typer's own options that edit the user's shell files; `embdc completion` prints the script instead
    root.params = [parameter for parameter in root.params if not parameter.name.endswith("_completion")]
    return root
