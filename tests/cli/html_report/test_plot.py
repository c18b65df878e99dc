"""Marks lie where their values are; labels cover neither dots nor each other."""

from __future__ import annotations

import re

from embdc_cli.cli.html_report import axis
from embdc_cli.cli.html_report.bars import bars
from embdc_cli.cli.html_report.plot import WIDTH, Plot


def plot() -> Plot:
    return Plot("p", axis.linear("x", [0, 10]), axis.linear("y", [0, 10]))


def test_corners() -> None:
    made = plot()
    made.line([(0, 0), (10, 10)], "first")
    assert 'points="76.0,284.0 736.0,34.0"' in made.svg()


def test_lines_are_open_at_gaps_and_points_alone_are_dots() -> None:
    made = plot()
    made.line([None, (0, 0), (1, 1), None, None, (3, 3), None, (4, 4), (5, 5)], "first")
    svg = made.svg()
    assert (svg.count("<polyline"), svg.count("<circle")) == (2, 1)


def test_labels_are_moved_apart() -> None:
    made = plot()
    for number in range(5):
        made.dot((5 + number / 100, 5), "first", "words", label=f"label {number}")
    places = re.findall(r'class="label" x="([\d.]+)" y="([\d.]+)"', made.svg())
    assert len(set(places)) == len(places) == 5


def test_labels_without_room_are_left_out() -> None:
    made = plot()
    for _ in range(40):
        made.dot((5, 5), "first", "words", label="label")
    assert made.svg().count(">label<") < 40


def test_drawing_twice_gives_the_same() -> None:
    made = plot()
    made.dot((5, 5), "first", "words", label="label", chosen=True)
    assert made.svg() == made.svg()


def test_bars_are_as_long_as_their_values() -> None:
    svg = bars("b", [("a", 4, "4"), ("b", 2, "2"), ("tiny", 1e-9, "0"), ("none", None, "–")], 4)
    lengths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', svg)]
    assert lengths == [WIDTH - 280, (WIDTH - 280) / 2, 1]


def test_no_bars() -> None:
    assert "<rect" not in bars("b", [("a", 0, "0")], 0)
    assert "<text" not in bars("b", [], 1)
