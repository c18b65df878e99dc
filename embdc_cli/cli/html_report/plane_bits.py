"""What the coefficients of a stream cost by their position: temporal octave and basis vectors."""

from __future__ import annotations

from collections.abc import Sequence

from embdc_cli.batch import Document
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import figure, paragraph
from embdc_cli.cli.html_report.shades import shades
from embdc_cli.cli.html_report.table import folded
from embdc_cli.cli.html_report.values import number, percent

_PERIODS = ("means", "128 rows", "43 to 64", "18 to 32", "8.5 to 16", "4.1 to 8", "2 to 4")
"""Of the octaves, in rows: 128 / h of the h half cycles in 64 rows that each holds."""
_CAPTION = (
    "Share of each kind of coefficient in the bytes of all chunks: from left to right the basis vectors, strongest "
    "first, from top to bottom how fast they change, as the period in rows. "
)


def plane_bits(stream: Document) -> Markup:
    """The figure and the table of one of `planes` of `embdc inspect`."""
    if not any(map(sum, stream["bits"])):
        return paragraph("Its chunks have no coefficients of basis vectors.", "note")
    total = 8 * stream["payload_bytes"]
    headings = [_vectors(ends) for ends in stream["vectors"]]
    shares = [[bits / total for bits in octave] for octave in stream["bits"]]
    inside = sum(map(sum, shares))
    picture = shades(f"Bits of the coefficients of {stream['name']}", headings, _PERIODS, shares)
    rest = f"The rest, {percent(max(0.0, 1 - inside))}, says how tokens are cut and which basis each part has."
    rows = [[name, *map(number, octave)] for name, octave in zip(_PERIODS, stream["bits"], strict=True)]
    return joined(
        figure(picture, _CAPTION + rest),
        folded("Bits by period and basis vectors", ["period", *headings], rows),
    )


def _vectors(ends: Sequence[int]) -> str:
    first, last = ends
    return str(first) if first == last else f"{first}–{last}"
