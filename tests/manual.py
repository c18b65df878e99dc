"""The manual pages as data: the options, JSON fields and exit codes that they document."""

from __future__ import annotations

import re
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
    """The fields of a JSON document as the manual names them; an empty list or null stands for itself."""
    if isinstance(document, dict):
        below = {name: f"{prefix}.{name}" if prefix else name for name in document}
        return {
            path
            for name, value in document.items()
            for path in ({below[name]} if name in OPEN_OBJECTS else paths(value, below[name]))
        }
    if isinstance(document, list) and document and all(isinstance(item, dict) for item in document):
        return {path for item in document for path in paths(item, f"{prefix}[]")}
    return {prefix}
