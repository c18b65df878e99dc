"""A report read back: whether it is well-formed, its tables, and everything it refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta"}


@dataclass
class Table:
    """caption, headings, and rows of cells as text."""

    caption: str = ""
    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


class Reading(HTMLParser):
    """Raises AssertionError where tags are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[Table] = []
        self.text = ""
        self.titles: list[tuple[str, str]] = []  # what is titled, its title
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), tag
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append(Table())
        elif tag == "tr" and "tbody" in self.open:
            self.tables[-1].rows.append([])
        elif tag in ("td", "th") and "tbody" in self.open:
            self.tables[-1].rows[-1].append("")
        elif tag == "th":
            self.tables[-1].headings.append("")
        elif tag == "title":
            self.titles.append((self.open[-1], ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data
        if "title" in self.open:
            of, words = self.titles[-1]
            self.titles[-1] = (of, words + data)
        elif "caption" in self.open:
            self.tables[-1].caption += data
        elif "tbody" in self.open:
            self.tables[-1].rows[-1][-1] += data
        elif "thead" in self.open:
            self.tables[-1].headings[-1] += data

    def table(self, caption: str) -> Table:
        (found,) = (table for table in self.tables if table.caption == caption)
        return found

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)
