"""What rows of rate_distortion.csv say: coders against each other at equal error, over dumps."""

from __future__ import annotations

import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import curves

OURS: Final = "embdc-1"
BEST: Final = {"best of the others": True, "best self-contained": False}  # with trained coders or without
MEANING: Final = (
    "Bits at equal error over those of embdc at effort 1, geometric means with 95 % bootstrap intervals over dumps, "
    "and at how many points the coder needs fewer, of those that it reaches; of each family the best variant. "
    "`-trained` coders know other clips of the same encoder and layer, which is not counted. "
    "Encode and decode: million values per second, one thread of a machine shared with other work, a rough figure."
)
FIGURE: Final = "![Bits per value at equal error](tests/bench/rate_distortion.svg)"
_COLUMN: Final = "bits_at_"

Row = Mapping[str, str]
Point = tuple[str, float]
"""A dump and an error."""
Curve = dict[Point, float]
"""Bits per value, where a coder reaches the error."""


def curves_of(rows: Iterable[Row]) -> dict[str, Curve]:
    """By coder; of a coder that was measured again on a dump, the last."""
    last = {(row["coder"], row["dump"]): row for row in rows}
    found: dict[str, Curve] = {}
    for (coder, dump), row in last.items():
        bits = {column: value for column, value in row.items() if column.startswith(_COLUMN) and value}
        points = {(dump, float(column.removeprefix(_COLUMN))): float(value) for column, value in bits.items()}
        found.setdefault(coder, {}).update(points)
    return found


def cheapest(found: Mapping[str, Curve], coders: Iterable[str]) -> Curve:
    """At every point, the bits of whichever of `coders` needs least."""
    best: Curve = {}
    for coder in coders:
        for point, bits in found[coder].items():
            best[point] = min(bits, best.get(point, bits))
    return best


@dataclass(frozen=True)
class Ratio:
    """Bits over bits: geometric mean over points of a dump, then over dumps, with a 95 % bootstrap interval over dumps.

    points: at how many both reach the error. fewer: at how many of these the first needs fewer bits.
    """

    mean: float
    low: float
    high: float
    points: int
    fewer: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(one: Curve, other: Curve) -> Ratio | None:
    """`one` over `other`; None where they have no point in common."""
    both = {point: one[point] / other[point] for point in one if point in other}
    if not both:
        return None
    dumps = sorted({dump for dump, _ in both})
    means = [curves.geometric_mean([both[point] for point in both if point[0] == dump]) for dump in dumps]
    fewer = sum(value < 1 for value in both.values())
    return Ratio(curves.geometric_mean(means), *curves.interval(means), len(both), fewer)


def others(found: Iterable[str], *, trained: bool) -> list[str]:
    """Coders that are not embdc, with those that know something of other clips or without."""
    return [name for name in found if not name.startswith("embdc") and (trained or not name.endswith("-trained"))]


def winners(found: Mapping[str, Curve], coders: Sequence[str]) -> str:
    """Who of `coders` needs the fewest bits at how many points."""
    points = {point for coder in coders for point in found[coder]}
    won = Counter(min((found[coder][point], coder) for coder in coders if point in found[coder])[1] for point in points)
    return ", ".join(f"{coder} {count}" for coder, count in won.most_common())


def summary(rows: Sequence[Row]) -> str:
    """Every coder over the best of the others and over embdc's, and who wins."""
    found = curves_of(rows)
    best = cheapest(found, others(found, trained=True))
    alone = cheapest(found, others(found, trained=False))
    lines = ["bits over those of: the best of all other coders | the best self-contained | embdc-1 | points reached"]
    for name, curve in found.items():
        over = (str(ratio(curve, other) or "-") for other in (best, alone, found.get(OURS, {})))
        lines.append(f"{name}: {' | '.join(over)} | {len(curve)}")
    plain = [name for name in found if not name.endswith("-trained")]
    lines += [
        f"points won: {winners(found, list(found))}",
        f"among the self-contained: {winners(found, plain)}",
        f"among the others: {winners(found, others(found, trained=True))}",
        f"among the self-contained others: {winners(found, others(found, trained=False))}",
    ]
    return "\n".join(lines)


def families(found: Mapping[str, Curve]) -> list[str]:
    """Of each family the variant that reaches most points, at the fewest bits over embdc's; cheapest family first."""

    def rank(name: str) -> tuple[int, float]:
        over = ratio(found[name], found[OURS])
        return (-over.points, over.mean) if over else (0, 0.0)

    best: dict[str, str] = {}
    for name in sorted(found, key=rank):
        best.setdefault(name.split(" ")[0], name)
    return sorted(best.values(), key=lambda name: rank(name)[1])


def table(rows: Sequence[Row]) -> str:
    """Markdown: the best variant of each family over embdc, where the figures are from, and the figure."""
    found = curves_of(rows)
    shown = {name: cheapest(found, others(found, trained=trained)) for name, trained in BEST.items()}
    shown |= {name: found[name] for name in families(found)}
    lines = ["| coder | bits over embdc's | fewer bits at | encode | decode |", "|---|---|---|---|---|"]
    for name, curve in sorted(shown.items(), key=lambda item: _mean(item[1], found[OURS])):
        over = ratio(curve, found[OURS])
        speeds = [_median(rows, name, f"{way}_mvalues_s") for way in ("encode", "decode")]
        cells = [str(over), f"{over.fewer} of {over.points}"] if over else ["no error reached", ""]
        if name == OURS:
            cells = ["1", ""]
        lines.append(f"| {name} | {' | '.join([*cells, *speeds])} |")
    return "\n".join([*lines, "", textwrap.fill(f"{MEANING} {_origin(rows)}", 120), "", FIGURE])


def _mean(one: Curve, other: Curve) -> float:
    over = ratio(one, other)
    return over.mean if over else float("inf")


def _median(rows: Iterable[Row], coder: str, column: str) -> str:
    values = [float(row[column]) for row in rows if row["coder"] == coder]
    return f"{statistics.median(values):.3g}" if values else ""


def _origin(rows: Sequence[Row]) -> str:
    dumps = sorted({row["dump"] for row in rows})
    errors = [column.removeprefix(_COLUMN) for column in rows[0] if column.startswith(_COLUMN)]
    commits, machines = ([*dict.fromkeys(row[column] for row in rows)] for column in ("commit", "machine"))
    measured = f"Commit {', '.join(commits)}; {', '.join(machines)}."
    return f"Errors {', '.join(errors)} on {len(dumps)} dumps: {', '.join(dumps)}. {measured}"
