"""HTML from text: whatever is not `Markup` yet is escaped, so that no file name can become a tag."""

from __future__ import annotations

import html
import re

_NOT_IN_HTML = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Controls, and bytes of file names that are no text (surrogates, which UTF-8 does not have)."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """`text` as HTML that shows it; `Markup` as it is, characters that HTML does not have as U+FFFD."""
    return text if isinstance(text, Markup) else Markup(html.escape(_NOT_IN_HTML.sub("\ufffd", text)))


def joined(*parts: str) -> Markup:
    """`parts` behind each other."""
    return Markup("".join(escaped(part) for part in parts))


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """`<name attributes>children</name>`.

    An attribute is written with - for _ and without a trailing _ (`class_`), floats with one decimal, as coordinates
    need no more; None leaves it out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def _value(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value)
