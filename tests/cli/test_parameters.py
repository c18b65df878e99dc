"""Groups of options as typer sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from embdc_cli.cli.parameters import command, option

Shared = Annotated[str | None, option("--shared", metavar="X", help="Of two commands.")]


@dataclass(frozen=True)
class One:
    TITLE: ClassVar = "One"

    shared: Shared = None


@dataclass(frozen=True)
class Other:
    TITLE: ClassVar = "Other"

    shared: Shared = None


def one(group: One) -> int:
    """The first."""
    return 0


def other(group: Other) -> int:
    """The second."""
    return 0


def test_commands_that_share_an_option_have_it_under_their_own_titles() -> None:
    applications = [command(function, "") for function in (one, other)]
    built = [typer.main.get_command(application) for application in applications]
    titles = [{param.name: getattr(param, "rich_help_panel", None) for param in each.params} for each in built]
    assert [title["shared"] for title in titles] == ["One", "Other"]
