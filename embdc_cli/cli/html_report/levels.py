"""The levels of a codebook of kind vq, and how much held-out data uses them."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report.markup import Markup
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import number, percent


def levels(found: list[Document]) -> Markup:
    """The table of `levels` of `embdc train-codebook`."""
    rows = [
        [
            *(number(value) for value in (place, level["codewords"], level["width"])),
            percent(level["used"]),
            number(level["perplexity"]),
            percent(level["tokens"]),
        ]
        for place, level in enumerate(found)
    ]
    return table("Levels", ["level", "codewords", "coefficients", "used", "perplexity", "tokens that have it"], rows)
