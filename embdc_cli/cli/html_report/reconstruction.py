"""What the network of a codebook takes away from the error of decoded tokens."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import paragraph
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import number, percent


def reconstruction(found: Document) -> Markup:
    """The table of `reconstruction` of `embdc train-codebook`."""
    words = "It is in the codebook." if found["kept"] else "It did not take enough of the error away, and was left out."
    rows = [
        [
            point["codec"],
            *(number(point[name]) for name in ("step", "nmse")),
            *(percent(point[name]) for name in ("gain_trained", "gain_forced", "gain_heldout")),
        ]
        for point in found["points"]
    ]
    headings = ["codec", "step / rms", "held-out nmse", "gain in training", "held out", "held out, as encode takes it"]
    about = f"{words} Shares of squared error, at the same bits, for {number(found['network_bytes'])} bytes."
    return joined(paragraph(about), table("Network for decoded tokens", headings, rows))
