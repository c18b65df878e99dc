"""`embdc completion`: the script that teaches a shell the commands, options and their values."""

from __future__ import annotations

from typing import Annotated

import typer

from embdc_cli.cli import quantities
from embdc_cli.cli.console import Console
from embdc_cli.cli.parameters import command
from embdc_cli.cli.root import COMPLETION_VARIABLE
from embdc_cli.errors import UsageError

EXAMPLES = """
embdc completion bash > ~/.local/share/bash-completion/completions/embdc
embdc completion zsh  > ~/.zfunc/_embdc        # with ~/.zfunc in $fpath
embdc completion fish > ~/.config/fish/completions/embdc.fish
"""

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[
        str, typer.Argument(metavar="|".join(SHELLS), autocompletion=lambda: list(SHELLS), help="Which shell.")
    ],
) -> int:
    """Print the completion script for a shell."""
    from typer._completion_shared import get_completion_script

    try:
        quantities.one_of(SHELLS)(shell)
    except ValueError as error:
        raise UsageError(f"shell: {error}") from error
    Console().data(get_completion_script(prog_name="embdc", complete_var=COMPLETION_VARIABLE, shell=shell))
    return 0


app = command(completion, EXAMPLES)
