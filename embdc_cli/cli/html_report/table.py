"""Tables: a caption, headings, and rows whose first cell names them."""

from __future__ import annotations

from collections.abc import Sequence

from embdc_cli.cli.html_report.markup import Markup, element


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> Markup:
    """words: how many of the first columns are text; the others are numbers, set to the right."""
    kinds = ["text" if column < words else None for column in range(len(headings))]
    head = (element("th", one, scope="col", class_=kind) for one, kind in zip(headings, kinds, strict=True))
    body = (_row(row, kinds) for row in rows)
    inside = element(
        "table", element("caption", caption), element("thead", element("tr", *head)), element("tbody", *body)
    )
    # a table that is wider than a small screen scrolls by itself, for the keyboard too
    return element("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)


def folded(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> Markup:
    """A table that is long and opens at a click."""
    return element(
        "details", element("summary", f"{caption}: {len(rows)} rows"), table(caption, headings, rows, words=words)
    )


def _row(cells: Sequence[str], kinds: Sequence[str | None]) -> Markup:
    first, *rest = cells
    others = (element("td", one, class_=kind) for one, kind in zip(rest, kinds[1:], strict=True))
    return element("tr", element("th", first, scope="row", class_="text"), *others)
