"""Bits over error, for embdc and the strongest of the others, as SVG for light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import curves
from equal_error import OURS, Curve, Row, curves_of, families

from embdc_cli.cli.html_report.axis import Axis, logarithmic
from embdc_cli.cli.html_report.plot import Plot

_OTHERS: Final = 6
_COLOURS: Final = ("#2f81d7", "#2f81d7", "#c8641e", "#2a9c5a", "#a860c8", "#c0504d", "#8a8a2a", "#7f7f7f")
"""Light enough on black and dark enough on white."""
_STYLE: Final = """
svg { font: 12px system-ui, sans-serif; }
.grid, .axis { stroke: #80808060; }
.tick, .label, .axis-label { fill: #7d838c; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.line { fill: none; stroke-width: 2; }
"""


def figure(rows: Sequence[Row]) -> str:
    """Geometric means over the dumps, at errors that a coder reaches on all of them."""
    found = curves_of(rows)
    ours = [name for name in found if name.startswith("embdc") and not name.endswith("-trained")]
    strongest = [name for name in families(found) if not name.startswith("embdc")][:_OTHERS]
    lines = {name: _means(found[name], found[OURS]) for name in (*ours, *strongest)}
    errors = sorted({error for line in lines.values() for error, _ in line})
    y = logarithmic("bits per value", [bits for line in lines.values() for _, bits in line])
    # the room on the right is for the names
    x = Axis("error over variance", errors[0], 3 * errors[-1], tuple((one, f"{one:g}") for one in errors), True)
    plot = Plot("Bits per value at equal error, geometric mean over dumps", x, y, height=440)
    style = _STYLE
    for number, ((name, line), colour) in enumerate(zip(lines.items(), _COLOURS, strict=False)):
        dashes = " stroke-dasharray: 6 4;" if name != OURS and name.startswith("embdc") else ""
        style += f".line.s{number} {{ stroke: {colour};{dashes} }} .dot.s{number} {{ fill: {colour}; }}\n"
        plot.line(line, f"s{number}")
        plot.dot(line[-1], f"s{number}", name, label=name)
    return (
        plot.svg()
        .replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        .replace("</title>", f"</title><style>{style}</style>", 1)
        + "\n"
    )


def _means(curve: Curve, every: Curve) -> list[tuple[float, float]]:
    """(error, bits), errors rising."""
    dumps = {dump for dump, _ in every}
    errors = sorted({error for _, error in curve})
    reached = [error for error in errors if all((dump, error) in curve for dump in dumps)]
    return [(error, curves.geometric_mean([curve[dump, error] for dump in dumps])) for error in reached]
