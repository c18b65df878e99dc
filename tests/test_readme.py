"""The README says what the program does: presets, exit codes, environment, and where everything is."""

from __future__ import annotations

import re
from pathlib import Path

from embdc_cli.options import PRESETS
from tests import man_pages

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_presets() -> None:
    rows = re.findall(r"^\| `([a-z-]+)`.* \| ([0-9.]+) \| ([0-9]) \|$", README, re.MULTILINE)
    assert {name: (float(cosine), int(effort)) for name, cosine, effort in rows} == PRESETS


def test_package_map_is_complete() -> None:
    package = ROOT / "embdc_cli"
    named = re.findall(r"`([\w./]+)`", "".join(re.findall(r"^\| (`.*?) \|", section("Package map"), re.MULTILINE)))
    folders = {f"{path.parent.name}/" for path in package.glob("*/*.py")}
    assert sorted(named) == sorted(folders | {path.name for path in package.glob("*.py")})


def test_exit_codes_and_environment() -> None:
    page = man_pages.page()
    words = re.search(r"^Exit codes: (.*?)\.\n", README, re.MULTILINE | re.DOTALL)
    assert words is not None
    heads = man_pages.tagged(man_pages.section(page, "EXIT STATUS"))
    assert re.findall(r"\d+", words[1]) == heads
    variables = re.search(r"^Environment: (.*?)\.", README, re.MULTILINE)
    assert variables is not None
    documented = [head.removeprefix("Ev ") for head in man_pages.tagged(man_pages.section(page, "ENVIRONMENT"))]
    assert sorted(re.findall(r"`(\w+)`", variables[1])) == sorted(documented)


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"`((?:\./)?(?:man|source|samples|\.ci|embdc_cli)/[\w./-]*)`", README)
    assert named
    assert [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "embdc_cli"))] == []
