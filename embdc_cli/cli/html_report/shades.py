"""A grid of cells, the darker the larger their share, as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embdc_cli.cli.html_report.markup import Markup, element
from embdc_cli.cli.html_report.plot import WIDTH
from embdc_cli.cli.html_report.values import percent

_LEFT, _TOP = 82, 26
_ROW, _WIDEST = 30, 72
_SHOWN = 0.0005  # a share that reads as 0.0 % is left out


def shades(title: str, columns: Sequence[str], rows: Sequence[str], shares: Sequence[Sequence[float]]) -> Markup:
    """A cell for each of `shares` (rows, columns), with its share in words; the largest one has the full colour."""
    width = min(_WIDEST, (WIDTH - _LEFT) // max(1, len(columns)))
    largest = max((share for row in shares for share in row), default=0.0)
    heads = (
        element("text", name, class_="tick middle", x=_LEFT + (number + 0.5) * width, y=_TOP - 9)
        for number, name in enumerate(columns)
    )
    names = (
        element("text", name, class_="tick end", x=_LEFT - 8, y=_TOP + number * _ROW + 19)
        for number, name in enumerate(rows)
    )
    cells = (
        mark
        for row, line in enumerate(shares)
        for column, share in enumerate(line)
        if share >= _SHOWN
        for mark in _cell(_LEFT + column * width, _TOP + row * _ROW, width, share, largest)
    )
    return element(
        "svg",
        element("title", title),
        *heads,
        *names,
        *cells,
        role="img",
        viewBox=f"0 0 {WIDTH} {_TOP + len(rows) * _ROW}",
    )


def _cell(left: int, top: int, width: int, share: float, largest: float) -> Iterable[Markup]:
    opacity = f"{0.06 + 0.64 * (share / largest) ** 0.5:.2f}"  # roots, so that small shares are seen beside large ones
    yield element("rect", class_="bar", x=left, y=top, width=width - 2, height=_ROW - 2, fill_opacity=opacity)
    yield element("text", percent(share), class_="cell middle", x=left + width / 2 - 1, y=top + 19)
