"""Where the bytes of an archive went."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report.bars import bars
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import figure, paragraph
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import percent, whole


def byte_parts(document: Document) -> Markup:
    """The figure and the table of `parts` of `embdc inspect`, the largest first; parts without bytes are left out."""
    total = document["file_bytes"]
    parts = [(name, count) for name, count in sorted(document["parts"].items(), key=lambda part: -part[1]) if count]
    if not parts:
        return paragraph("The file has no bytes.", "note")
    shares = [(name, count, percent(count / total if total else None)) for name, count in parts]
    picture = bars("Bytes of every kind of part", shares, max(count for _, count in parts))
    rows = [[name, whole(count), share] for name, count, share in shares]
    return joined(
        figure(picture, "Bytes of every kind of part and their share of the file; together they are the whole file."),
        table("Where the bytes went", ["part", "bytes", "share"], [*rows, ["file", whole(total), ""]]),
    )
