"""The manual pages and the program say the same: options, exit codes, commands; and mandoc has no complaint."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from embdc_cli import errors
from embdc_cli.cli.root import COMMANDS, root_command
from tests import man_pages

COMMAND_NAMES = list(COMMANDS)
PAGES = sorted(man_pages.MAN.glob("*.1"))


def program_options(command: str) -> set[str]:
    module = importlib.import_module(f"embdc_cli.cli.{command.replace('-', '_')}")
    parameters = typer.main.get_command(module.app).params
    options = [option for option in parameters if option.param_type_name == "option"]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)} | {"-h", "--help"}


@pytest.mark.parametrize("command", COMMAND_NAMES)
def test_options(command: str) -> None:
    documented = man_pages.options(man_pages.page(command))
    assert sorted(documented) == sorted(program_options(command))


def test_options_of_the_program_itself() -> None:
    options = {name for option in root_command().params for name in option.opts}
    assert sorted(man_pages.options(man_pages.page())) == sorted(options | {"-h", "--help"})


def test_every_command_has_a_page_and_is_listed() -> None:
    assert [path.name for path in PAGES] == sorted(["embdc.1", *(f"embdc-{name}.1" for name in COMMANDS)])
    listed = [head.removeprefix("Cm ") for head in man_pages.tagged(man_pages.page()) if head.startswith("Cm ")]
    assert listed == COMMAND_NAMES


def test_exit_codes() -> None:
    documented = [int(head) for head in man_pages.tagged(man_pages.section(man_pages.page(), "EXIT STATUS"))]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EmbdcError)]
    assert documented == sorted({kind.exit_code for kind in kinds} | {0, 130, 141, 143})


def test_environment_variables_that_the_program_reads() -> None:
    package = Path(errors.__file__).parent
    read = {
        name for path in package.rglob("*.py") for name in re.findall(r"\"(EMBDC_[A-Z_]+)\"", path.read_text("utf-8"))
    }
    heads = man_pages.tagged(man_pages.section(man_pages.page(), "ENVIRONMENT"))
    assert {head.removeprefix("Ev ") for head in heads} == read | {"HF_HUB_OFFLINE", "NO_COLOR"}


@pytest.mark.parametrize("path", sorted(man_pages.MAN.iterdir()), ids=lambda path: path.name)
def test_mandoc_has_no_warning(path: Path) -> None:
    program = shutil.which("mandoc")
    if program is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run([program, "-Tlint", "-W", "warning", path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


PAGE = r"""
.Sh JSON
.It Va a , b[].c
words
.Sh EVENTS
.It Va v
.Sh OPTIONS
.It Fl o , Fl -out Ar f Ns | Ns Cm -
.It Fl 0 , Fl -null
"""


def test_manual_reader() -> None:
    assert man_pages.fields(PAGE) == ["a", "b[].c"]
    assert man_pages.options(PAGE) == ["-o", "--out", "-0", "--null"]
    assert man_pages.section(PAGE, "NOTHING") == ""


def test_paths_of_a_document() -> None:
    document = {"a": 1, "b": [{"c": 1}, {"d": [1, 2]}], "parts": {"x": 1}, "e": {"f": None, "g": []}}
    assert man_pages.paths(document) == {"a", "b[].c", "b[].d", "parts", "e.f", "e.g[]"}


@pytest.mark.parametrize(
    ("documented", "differences"),
    [
        (["a", "b[].c", "d[].e"], (set(), {"d[].e"})),
        (["a", "b", "d"], ({"b[].c"}, {"b"})),
        (["a"], ({"b[].c", "d"}, set())),
        (["a", "b[].c", "d"], (set(), set())),
    ],
)
def test_comparison_with_the_manual(documented: list[str], differences: tuple[set[str], set[str]]) -> None:
    assert man_pages.undocumented_and_missing([{"a": 1, "b": [{"c": 1}]}, {"d": []}], documented) == differences
