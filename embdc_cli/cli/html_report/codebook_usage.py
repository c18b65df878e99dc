"""How much of held-out data takes the basis of a codebook."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report.bars import bars
from embdc_cli.cli.html_report.markup import Markup
from embdc_cli.cli.html_report.page import figure
from embdc_cli.cli.html_report.values import number, percent


def codebook_usage(points: list[Document]) -> Markup:
    """The figure of `heldout` of `embdc train-codebook`; `held_out` has the table."""
    shares = [(number(point["nmse"]), point["basis_share"]) for point in points]
    entries = [(f"nmse {nmse}", share, percent(share)) for nmse, share in shares]
    return figure(
        bars("Use of the basis at every error", entries, 1.0),
        "Share of the held-out values whose streams take the codebook's basis at that error; "
        "the others have bases of their own.",
    )
