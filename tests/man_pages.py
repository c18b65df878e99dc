"""The manual pages as data: the options, JSON fields and exit codes that they document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MAN = Path(__file__).parent.parent / "man"

OPEN_OBJECTS = {"parts", "codec", "encoder", "source"}
"""Fields that hold an object whose keys depend on the archive; the manual describes them as a whole."""


def page(command: str | None = None) -> str:
    """The source of embdc.1 or of a command's page."""
    return (MAN / ("embdc.1" if command is None else f"embdc-{command}.1")).read_text("utf-8")


def section(source: str, title: str) -> str:
    """The part of a page under one heading; empty where the page does not have it."""
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", source, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def tagged(source: str) -> list[str]:
    """The heads of all tagged list entries."""
    return re.findall(r"^\.It (.*)$", source, re.MULTILINE)


def options(source: str) -> list[str]:
    """The options documented, as typed: `-o`, `--output`."""
    heads = [head for head in tagged(source) if head.startswith("Fl ")]
    return [f"-{name}" for head in heads for name in re.findall(r"(?:^|, )Fl (-?[\w-]+)", head)]


def fields(source: str) -> list[str]:
    """The JSON fields documented: `streams[].name`."""
    heads = [head for head in tagged(section(source, "JSON")) if head.startswith("Va ")]
    return [name.strip() for head in heads for name in head.removeprefix("Va ").split(",")]


def paths(document: Any, prefix: str = "") -> set[str]:
    """The fields of a JSON document as the manual names them; a list that may hold objects but is empty is `name[]`."""
    if isinstance(document, dict):
        below = {name: f"{prefix}.{name}" if prefix else name for name in document}
        return {
            path
            for name, value in document.items()
            for path in ({below[name]} if name in OPEN_OBJECTS else paths(value, below[name]))
        }
    if isinstance(document, list) and all(isinstance(item, dict) for item in document):
        return {path for item in document for path in paths(item, f"{prefix}[]")} or {f"{prefix}[]"}
    return {prefix}


def undocumented_and_missing(documents: Iterable[Any], documented: Iterable[str]) -> tuple[set[str], set[str]]:
    """Fields that documents have and the manual has not, and the reverse; empty lists say nothing of their objects."""
    produced, known = set().union(*map(paths, documents)), set(documented)
    empty = {path for path in produced if path.endswith("[]")}
    produced -= {path for path in empty if any(name.startswith(f"{path}.") for name in known)}
    produced = {path.removesuffix("[]") for path in produced}
    return produced - known, known - produced
