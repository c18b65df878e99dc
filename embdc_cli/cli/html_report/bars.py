"""Horizontal bars, one under the other, as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embdc_cli.cli.html_report.markup import Markup, element
from embdc_cli.cli.html_report.plot import WIDTH

_ROW, _BAR = 24, 16  # heights
_LEFT, _RIGHT = 150, 130
_NAME_LETTERS = 21  # as many as fit left of the bars


def bars(title: str, entries: Sequence[tuple[str, float | None, str]], most: float) -> Markup:
    """A bar for each of `entries` (name, value, value in words), as long as all there is room for at `most`.

    A value that is None has no bar.
    """
    return element(
        "svg",
        element("title", title),
        *(mark for row, entry in enumerate(entries) for mark in _bar(row, *entry, most)),
        role="img",
        viewBox=f"0 0 {WIDTH} {max(1, len(entries)) * _ROW}",
    )


def _bar(row: int, name: str, value: float | None, words: str, most: float) -> Iterable[Markup]:
    top = row * _ROW + (_ROW - _BAR) / 2
    share = min(max((value or 0.0) / most, 0.0), 1.0) if most > 0 else 0.0
    length = share * (WIDTH - _LEFT - _RIGHT)
    shown = name if len(name) <= _NAME_LETTERS else f"{name[: _NAME_LETTERS - 1]}…"
    yield element("text", shown, class_="label end", x=_LEFT - 10, y=top + 12)
    if value:
        # never thinner than a hair: what is small is there all the same
        yield element("rect", class_="bar", x=_LEFT, y=top, width=max(length, 1.0), height=_BAR)
    yield element("text", words, class_="label", x=_LEFT + length + 8, y=top + 12)
