"""Values of documents as text of cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from embdc_cli.cli import wording

NOTHING = "–"


def known(value: Any) -> TypeGuard[float]:
    """Whether `value` is a number that can be drawn; null stands for what is not measured, or infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def positive(value: Any) -> TypeGuard[float]:
    """Whether `value` can be drawn on a logarithmic axis."""
    return known(value) and value > 0


def number(value: Any) -> str:
    """Six significant digits, counts whole and in groups of three."""
    if not known(value):
        return NOTHING
    return whole(value) if isinstance(value, int) else wording.number(value, 6)


def whole(value: Any) -> str:
    """A count, in groups of three."""
    return f"{value:,}".replace(",", "\u00a0") if known(value) else NOTHING


def cosine(value: Any) -> str:
    return wording.cosine(value) if known(value) else NOTHING


def seconds(value: Any) -> str:
    return wording.seconds(value) if known(value) else NOTHING


def percent(share: Any) -> str:
    return f"{100 * share:.1f} %" if known(share) else NOTHING


def text(value: Any) -> str:
    """Anything that JSON has, in one line."""
    if value is None or value in ("", []):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(text(one) for one in value)
    return str(value)


def facts(document: Any, name: str) -> Iterator[tuple[str, str]]:
    """(path, value) of everything in `document`, nested objects too: `codec.recipe.effort`."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from facts(value, f"{name}.{key}")
    else:
        yield name, text(document)
