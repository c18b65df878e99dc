"""Points and lines in a frame with two axes, as inline SVG. Colours are classes, which `style` gives a meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from embdc_cli.cli.html_report.axis import Axis
from embdc_cli.cli.html_report.markup import Markup, element, joined

WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 34, 46
_LETTER, _LINE = 7.0, 14  # about the width of a letter and the height of a line, at 12 px
_GAP = 9  # between a point and its label
_NEAR, _FAR = (-0.8, 0.8, 0.0), (-1.8, 1.8, -2.8, 2.8, -3.8, 3.8)  # labels: lines below their points

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass
class Plot:
    """A figure in the making: lines, labels upon them, dots upon all. height: of the whole, in px."""

    title: str
    x: Axis
    y: Axis
    height: int = 330
    _lines: list[Markup] = field(default_factory=list)
    _dots: list[Markup] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)
    _labels: list[tuple[Point, str, str]] = field(default_factory=list)  # beside what, text, class
    _taken: list[Box] = field(default_factory=list)

    def line(self, points: Iterable[Point | None], series: str, name: str = "") -> None:
        """A line through `points`, open where one is None. series: its class. name: in the legend, where there is one.

        A point alone, between two gaps, is a dot.
        """
        for run in _runs(points):
            pixels = [self._pixel(point) for point in run]
            if len(pixels) == 1:
                (x, y) = pixels[0]
                self._dots.append(element("circle", class_=f"dot {series}", cx=x, cy=y, r=3.0))
            else:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
                self._lines.append(element("polyline", class_=f"line {series}", points=path))
        if name:
            self._legend.append((series, name))

    def dot(self, point: Point, series: str, words: str, *, label: str = "", chosen: bool = False) -> None:
        """A dot that tells `words` under the pointer. label: beside it, where there is room. chosen: larger, ringed."""
        x, y = self._pixel(point)
        inside = element("title", words)
        if chosen:
            self._dots.append(element("circle", class_=f"ring {series}", cx=x, cy=y, r=9.0))
        self._dots.append(element("circle", inside, class_=f"dot {series}", cx=x, cy=y, r=4.5))
        self._taken.append((x - 5, y - 5, x + 5, y + 5))
        if label:
            self._labels.append(((x, y), label, "label chosen" if chosen else "label"))

    def svg(self) -> Markup:
        """The whole figure; its title is what a screen reader says."""
        taken = list(self._taken)
        return element(
            "svg",
            element("title", self.title),
            *self._grid(),
            *self._lines,
            *(self._label(*label, taken) for label in self._labels),
            *self._dots,
            *self._keys(),
            role="img",
            viewBox=f"0 0 {WIDTH} {self.height}",
        )

    def _pixel(self, point: Point) -> Point:
        x = _LEFT + self.x.share(point[0]) * (WIDTH - _LEFT - _RIGHT)
        return x, self._base - self.y.share(point[1]) * (self._base - _TOP)

    @property
    def _base(self) -> int:
        return self.height - _BOTTOM

    def _label(self, point: Point, text: str, class_: str, taken: list[Box]) -> Markup:
        """`text` beside `point`, moved up or down until it covers nothing; nothing where that does not help."""
        (x, y), width = point, len(text) * _LETTER
        sides = (x + _GAP, x - _GAP - width)
        for left, down in (place for downs in (_NEAR, _FAR) for place in product(sides, downs)):
            top = y - _LINE / 2 + down * _LINE
            box = (left, top, left + width, top + _LINE)
            inside = left >= _LEFT and box[2] <= WIDTH and top >= _TOP - _LINE and box[3] <= self._base
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                return element("text", text, class_=class_, x=left, y=top + _LINE - 3.5)
        return Markup()

    def _grid(self) -> Iterable[Markup]:
        right, base = WIDTH - _RIGHT, self._base
        every = 1 + max((len(text) for _, text in self.x.ticks), default=0) * len(self.x.ticks) // 90
        for value, text in self.y.ticks:
            y = base - self.y.share(value) * (base - _TOP)
            yield element("line", class_="grid", x1=_LEFT, y1=y, x2=right, y2=y)
            yield element("text", text, class_="tick end", x=_LEFT - 8, y=y + 4)
        for value, text in self.x.ticks[::every]:
            x = _LEFT + self.x.share(value) * (right - _LEFT)
            yield element("line", class_="grid", x1=x, y1=_TOP, x2=x, y2=base)
            yield element("text", text, class_="tick middle", x=x, y=base + 18)
        yield element("line", class_="axis", x1=_LEFT, y1=base, x2=right, y2=base)
        yield element("text", self.x.label, class_="axis-label end", x=right, y=self.height - 8)
        yield element("text", self.y.label, class_="axis-label", x=4, y=16)

    def _keys(self) -> Iterable[Markup]:
        """The legend, above the frame, from the right."""
        right = float(WIDTH - _RIGHT)
        for series, name in reversed(self._legend):
            left = right - len(name) * _LETTER
            yield joined(
                element("line", class_=f"line {series}", x1=left - 30, y1=12, x2=left - 8, y2=12),
                element("text", name, class_="label", x=left, y=16),
            )
            right = left - 46


def _runs(points: Iterable[Point | None]) -> Iterable[Sequence[Point]]:
    """The stretches of `points` without None."""
    run: list[Point] = []
    for point in points:
        if point is not None:
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
