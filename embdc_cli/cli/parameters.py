"""How options are declared: builders that give every option its reader, and dataclasses as groups of options.

A command is a function of its arguments and of group dataclasses; `command` flattens the groups into the options
that typer sees and hands the function the filled groups. A group's `TITLE` is its heading in `--help`.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from embdc_cli.cli import quantities
from embdc_cli.errors import UsageError

T = TypeVar("T")

_NAME_WIDTH = 24


def option(*names: str, metavar: str, help: str, read: Callable[[str], Any] = str) -> Any:  # noqa: A002 (typer's word)
    """An option with a value; `read` turns its text into the value and raises ValueError on what it refuses."""

    def parse(value: Any) -> Any:
        if not isinstance(value, str):  # a default, already a value
            return value
        try:
            return read(value)
        except ValueError as error:
            raise UsageError(f"{names[-1]}: {error}") from error

    return typer.Option(*names, metavar=metavar, help=help, parser=parse)


def choice(*names: str, choices: Iterable[str], help: str, aliases: Iterable[str] = ()) -> Any:  # noqa: A002
    """An option that takes one of `choices`, which the shell completes, or of their `aliases`."""
    info = option(*names, metavar="|".join(choices), help=help, read=quantities.one_of(choices, aliases))
    info.autocompletion = lambda: list(choices)
    return info


def flag(*names: str, help: str) -> Any:  # noqa: A002 (typer's word)
    """A switch without a value."""
    return typer.Option(*names, help=help, show_default=False)


def command(function: Callable[..., int], examples: str) -> typer.Typer:
    """A typer application of the one command `function`, its group parameters flattened into options."""
    groups: dict[str, Any] = {}
    flat: dict[str, inspect.Parameter] = {}
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if dataclasses.is_dataclass(hint):
            groups[parameter.name] = hint
            flat |= _options(hint)
        else:
            flat[parameter.name] = parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)

    def call(**values: Any) -> int:
        for name, group in groups.items():
            fields = [field.name for field in dataclasses.fields(group)]
            values[name] = group(**{field: values.pop(field) for field in fields})
        return function(**values)

    call.__doc__ = function.__doc__
    call.__annotations__ = {name: parameter.annotation for name, parameter in flat.items()}
    call.__signature__ = inspect.Signature(list(flat.values()))  # type: ignore[attr-defined]  # what typer reads
    # typer puts its own `[default: ...]` into help; markup and rich tracebacks would cost 80 ms and a second style
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command(
        function.__name__.replace("_", "-"),
        cls=_WithExamples,
        epilog=inspect.cleandoc(examples),
        context_settings={"help_option_names": ["-h", "--help"]},
    )(call)
    return app


def given(*groups: Any) -> dict[str, Any]:
    """The fields of `groups` that have a value."""
    return {name: value for group in groups for name, value in vars(group).items() if value is not None}


def fill(kind: type[T], *groups: Any, **values: Any) -> T:
    """A `kind` (dataclass) from the equally named fields of `groups`, and from `values`, which go before.

    What may be repeated is a list on the command line and a tuple in options.
    """
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # T is always a dataclass
    found = {name: value for name, value in (given(*groups) | values).items() if name in known}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()})


def _options(group: Any) -> dict[str, inspect.Parameter]:
    """The fields of a group as keyword parameters whose option knows the group's title."""
    hints = get_type_hints(group, include_extras=True)
    parameters = {}
    for field in dataclasses.fields(group):
        hint = hints[field.name]
        # copies: groups of several commands share options, under titles of their own
        infos = [copy.copy(info) for info in hint.__metadata__]
        for info in infos:
            if isinstance(info, OptionInfo):
                info.rich_help_panel = group.TITLE
        hint = Annotated[hint.__origin__, *infos]
        parameters[field.name] = inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint
        )
    return parameters


class _WithExamples(TyperCommand):
    """Help that opens with examples (carried in the epilog) and lists the options by group; options from a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if ctx.params.get("config") is not None:
            from embdc_cli.cli import config

            config.apply(ctx.params["config"], ctx)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.format_usage(ctx, formatter)
        with formatter.section("Examples"):
            for line in (self.epilog or "").splitlines():
                formatter.write(f"  {line}\n")
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [str(parameter.metavar) for parameter in self.params if parameter.param_type_name == "argument"]
        return ["[OPTIONS]", *arguments]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            if parameter.param_type_name == "argument":
                sections.setdefault("Arguments", []).append((parameter.metavar, parameter.help))
            else:
                title = parameter.rich_help_panel or "Words"  # --help itself has no group
                sections.setdefault(title, []).append(parameter.get_help_record(ctx))
        for title, records in sections.items():
            with formatter.section(title):
                # padded, so that the second column is the same in every section
                formatter.write_dl([(name.ljust(_NAME_WIDTH), text) for name, text in records], col_max=_NAME_WIDTH)
