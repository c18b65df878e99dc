"""The held-out report: what a codebook saves on inputs it was not trained on, at equal error.

Every held-out stream is coded with the codebook and without it (bases of its own, paid for) at the default effort of
encode and at steps half an octave apart, by `--codec vq` if the codebook is of kind vq, and sizes are read off the two
curves at the target errors. Counted: models, chunks and their framing, not what any archive has (header, tail). Not
counted: the codebook, whose price is what `break_even_bytes` answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.engine import HERE, Engine, told
from embdc_cli.codebook.trial import Curve, Point, StreamTrial
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

TARGETS: Final = (0.3, 0.1, 0.03, 0.01)
"""nmse of the points reported."""
VECTOR_TARGETS: Final = (0.3, 0.2, 0.1, 0.05)
"""The same of a codebook of kind vq: at finer ones other codecs are better, and its levels are used up."""
BREAK_EVEN_NMSE: Final = 0.1
MAX_STREAMS: Final = 8


@dataclass(frozen=True)
class Report:
    """points: one object per target, as `--json` prints them. streams: how many were measured."""

    points: list[dict[str, Any]]
    break_even_bytes: int | None
    streams: int


def held_out_report(codebook: Codebook, heldout: Sequence[Tensor], reporter: Reporter, engine: Engine = HERE) -> Report:
    """The report on the first MAX_STREAMS of `heldout`; no points when there are none."""
    targets = TARGETS if codebook.kind == "transform" else VECTOR_TARGETS
    streams = heldout[:MAX_STREAMS]
    if not streams:
        return Report([], None, 0)
    items = [(tensor, used) for tensor in streams for used in (codebook, None)]
    curves = engine.map(partial(_curve, codebook.kind == "vq", min(targets), max(targets)), items)
    found = list(told(curves, len(items), reporter, "held-out report", "curves"))
    values = [count for _, count in found[::2]]
    helped, alone = ([curve for curve, _ in found[first::2]] for first in (0, 1))
    points = [
        _point(nmse, _rate(helped, nmse, sum(values)), _rate(alone, nmse, sum(values)))
        | {"basis_share": _basis_share(helped, nmse, values)}
        for nmse in targets
    ]
    return Report(points, _break_even(points, len(codebook.file_bytes)), len(streams))


def _curve(vector: bool, least: float, most: float, tensor: Tensor, codebook: Codebook | None) -> tuple[Curve, int]:
    """Of one stream, and its values."""
    trial = StreamTrial(tensor, codebook, vector=vector)
    return trial.curve(least, most), trial.values


def size_at(nmse: float, curve: Curve) -> float | None:
    """Bytes at an error of `nmse`, between the nearest points of `curve` on logarithmic axes.

    The smallest size where even the coarsest point has less error, None where the finest has more.
    """
    below = _finer(nmse, curve)
    above = min((point for point in curve if point.nmse > nmse), default=None)
    if below is None:
        return None
    if above is None or below.nmse <= 0:
        return below.size
    share = math.log(nmse / below.nmse) / math.log(above.nmse / below.nmse)
    return float(below.size * (above.size / below.size) ** share)


def _finer(nmse: float, curve: Curve) -> Point | None:
    """The coarsest point of `curve` with no more error than `nmse`."""
    return max((point for point in curve if point.nmse <= nmse), default=None)


def _rate(curves: Sequence[Curve], nmse: float, values: int) -> float | None:
    """Bits per value of all streams, each at `nmse`."""
    sizes = [size_at(nmse, curve) for curve in curves]
    reached = [size for size in sizes if size is not None]
    return 8 * sum(reached) / values if len(reached) == len(sizes) else None


def _basis_share(curves: Sequence[Curve], nmse: float, values: Sequence[int]) -> float | None:
    """Share of the values whose streams take the codebook's basis, each at the nearest step that reaches `nmse`."""
    taken = 0
    for curve, own in zip(curves, values, strict=True):
        point = _finer(nmse, curve)
        if point is None:
            return None
        taken += own * point.by_codebook
    return taken / max(1, sum(values))


def _point(nmse: float, helped: float | None, alone: float | None) -> dict[str, Any]:
    gain = None if helped is None or alone is None else 1 - helped / alone
    return {"nmse": nmse, "bits_per_value": helped, "bits_per_value_without": alone, "gain": gain}


def _break_even(points: Sequence[dict[str, Any]], file_bytes: int) -> int | None:
    """Bytes of float16 embeddings, in inputs like the held-out ones, that save what the codebook costs."""
    (point,) = (point for point in points if point["nmse"] == BREAK_EVEN_NMSE)
    if point["gain"] is None or point["gain"] <= 0:
        return None
    saved_bits: float = point["bits_per_value_without"] - point["bits_per_value"]
    return math.ceil(2 * 8 * file_bytes / saved_bits)
