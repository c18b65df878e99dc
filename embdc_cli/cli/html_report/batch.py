"""The page of one document, or of a batch with a section for every item."""

from __future__ import annotations

from collections.abc import Callable

from embdc_cli.batch import Document
from embdc_cli.cli.html_report.markup import Markup
from embdc_cli.cli.html_report.page import page, paragraph, section


def report_of(
    document: Document,
    title: str,
    name: str,
    parts: Callable[[Document], Markup],
    together: Callable[[Document], Markup] = lambda totals: Markup(),
) -> str:
    """The HTML of `document`. name: the field that says what an item is about. parts: what is said of one.

    together: what is said first of the totals of several.
    """
    if "totals" not in document:
        return page(f"{title}: {document[name]}", _parts(document, parts))
    items = document["items"]
    sections = [section(str(item[name]), _parts(item, parts)) for item in items]
    return page(f"{title}: {len(items)} inputs", together(document["totals"]), *sections)


def _parts(item: Document, parts: Callable[[Document], Markup]) -> Markup:
    error = item.get("error")
    return parts(item) if error is None else paragraph(f"Failed: {error['message']}", "warning")
