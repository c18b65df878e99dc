"""Bits over error, for embdc and the strongest of the others, as SVG for light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import curves
from equal_error import BEST, OURS, Curve, Row, cheapest, curves_of, families, others

from embdc_cli.cli.html_report.axis import Axis, logarithmic
from embdc_cli.cli.html_report.markup import Markup, element

OTHERS: Final = 6
WIDTH: Final = 760
HEIGHT: Final = 480
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 30, 46  # of the frame; names are on the right
LINE: Final = 15  # height of a name
COLOURS: Final = ("#2f81d7", "#2f81d7", "#c8641e", "#2a9c5a", "#a860c8", "#c0504d", "#8a8a2a", "#7f7f7f")
"""Light enough on black and dark enough on white, as is the grey of the text."""
STYLE: Final = """
svg { font: 12px system-ui, sans-serif; }
line { stroke: #80808060; }
text { fill: #7d838c; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
polyline { fill: none; stroke-width: 2; }
"""


def figure(rows: Sequence[Row]) -> str:
    """Geometric means over the dumps, at errors that a coder reaches on all of them.

    The best of the others may be another one on each dump and at each error.
    """
    found = curves_of(rows)
    best = {name: cheapest(found, others(found, trained=trained)) for name, trained in BEST.items()}
    ours = [name for name in found if name.startswith("embdc") and not name.endswith("-trained")]
    strongest = [name for name in families(found) if not name.startswith("embdc")]
    shown = {**{name: found[name] for name in ours}, **best, **{name: found[name] for name in strongest}}
    means = {name: _means(curve, found[OURS]) for name, curve in shown.items()}
    lines = {name: line for name, line in means.items() if line}
    lines = dict(list(lines.items())[: len(ours) + OTHERS])
    errors = sorted({error for line in lines.values() for error, _ in line})
    x = Axis("error over variance", errors[0], errors[-1], tuple((one, f"{one:g}") for one in errors), True)
    y = logarithmic("bits per value", [bits for line in lines.values() for _, bits in line])
    children = [
        element("title", "Bits per value at equal error, geometric mean over dumps"),
        element("style", STYLE),
        *_grid(x, y),
        *_lines(x, y, lines),
    ]
    return element("svg", *children, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}") + "\n"


def _means(curve: Curve, every: Curve) -> list[tuple[float, float]]:
    """(error, bits), errors rising."""
    dumps = {dump for dump, _ in every}
    errors = sorted({error for _, error in curve})
    reached = [error for error in errors if all((dump, error) in curve for dump in dumps)]
    return [(error, curves.geometric_mean([curve[dump, error] for dump in dumps])) for error in reached]


def _across(x: Axis, error: float) -> float:
    return LEFT + x.share(error) * (WIDTH - LEFT - RIGHT)


def _down(y: Axis, bits: float) -> float:
    return HEIGHT - BOTTOM - y.share(bits) * (HEIGHT - BOTTOM - TOP)


def _grid(x: Axis, y: Axis) -> Iterator[Markup]:
    for value, text in y.ticks:
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_down(y, value), y2=_down(y, value))
        yield element("text", text, class_="end", x=LEFT - 8, y=_down(y, value) + 4)
    for value, text in x.ticks:
        yield element("line", x1=_across(x, value), x2=_across(x, value), y1=TOP, y2=HEIGHT - BOTTOM)
        yield element("text", text, class_="middle", x=_across(x, value), y=HEIGHT - BOTTOM + 18)
    yield element("text", x.label, class_="end", x=WIDTH - RIGHT, y=HEIGHT - 8)
    yield element("text", y.label, x=4, y=14)


def _lines(x: Axis, y: Axis, lines: dict[str, list[tuple[float, float]]]) -> Iterator[Markup]:
    """Each with its name on the right, moved down as far as the one above it needs."""
    ends = {name: _down(y, line[-1][1]) for name, line in lines.items()}
    places: dict[str, float] = {}
    for name in sorted(ends, key=lambda name: ends[name]):
        places[name] = max(ends[name], *(place + LINE for place in places.values()), 0.0)
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        dashes = "6 4" if name.startswith("embdc") and name != OURS else None
        path = " ".join(f"{_across(x, error):.1f},{_down(y, bits):.1f}" for error, bits in line)
        start, end = _across(x, line[-1][0]), WIDTH - RIGHT + 16
        yield element("polyline", points=path, style=f"stroke: {colour}", stroke_dasharray=dashes)
        yield element("line", x1=start, x2=end, y1=ends[name], y2=places[name])
        yield element("text", name, x=end + 4, y=places[name] + 4, style=f"fill: {colour}")
