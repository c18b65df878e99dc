"""The whole HTML document around the parts of a report."""

from __future__ import annotations

from embdc_cli import __version__
from embdc_cli.cli.html_report.markup import Markup, element, escaped, joined
from embdc_cli.cli.html_report.style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load and run for it: nothing, beside the style that is in the file."""


def page(title: str, *parts: str) -> str:
    """The HTML document called `title`."""
    head = joined(
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    body = element("main", element("h1", title), *parts)
    footer = element("footer", f"Made by embdc {__version__}. This file is complete in itself.")
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}\n{footer}</body></html>\n'


def section(title: str, *parts: str, level: int = 2) -> Markup:
    """A part of a report under a heading."""
    return joined("\n", element("section", element(f"h{level}", title), *parts))


def paragraph(text: str, class_: str | None = None) -> Markup:
    return element("p", text, class_=class_)


def figure(svg: Markup, caption: str) -> Markup:
    """A figure with words below it."""
    return element("figure", svg, element("figcaption", escaped(caption)))
