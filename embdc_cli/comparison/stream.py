"""All measures of one stream, in two passes: the reference for its channel means, then both inputs side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from embdc_cli.comparison import fidelity
from embdc_cli.comparison.block import blocks, reference_moments
from embdc_cli.comparison.channels import by_variance
from embdc_cli.comparison.cka import LinearCKA
from embdc_cli.comparison.neighbours import NeighbourSample
from embdc_cli.comparison.pairing import Pair
from embdc_cli.comparison.probe import Probe
from embdc_cli.comparison.series import Series
from embdc_cli.values import Timeline

RECALL_AT: Final = (1, 10)


def measure(
    pair: Pair,
    timeline: Timeline | None,
    probe: Probe | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """The document of one stream, numbers as they are: an error relative to nothing is infinite.

    probe: None where there is no head, or one of other channels. progress: (rows done, all rows).
    """
    spec, tokens = pair.layout, pair.tokens
    rows = spec.known_rows
    moments = reference_moments(pair)
    sums, directions = fidelity.Fidelity(spec.channels), fidelity.Directions(moments.mean)
    series = Series(rows, moments.mean, timeline)
    alignment = LinearCKA(tokens, moments.mean)
    token_sample, row_sample = NeighbourSample(tokens, spec.channels), NeighbourSample(rows, spec.channels)
    for block in blocks(pair):
        series.add(block, sums.add(block))
        directions.add(block)
        alignment.add(block)
        token_sample.add(block.token0, block.x, block.y)
        row_sample.add(block.row0, *block.pooled)
        if probe is not None:
            probe.add(block)
        progress(block.row0 + len(block.counts), rows)
    recall = {f"tokens_{k}": token_sample.recall(k) for k in RECALL_AT}
    recall |= {f"pooled_{k}": row_sample.recall(k) for k in RECALL_AT}
    return {
        "name": pair.name,
        "shape": list(spec.shape),
        "dtype": pair.other.spec.dtype,
        "tokens": tokens,
        **fidelity.figures(sums, directions, moments),
        "cka": alignment.cka,
        "recall": recall,
        "worst": series.worst,
        "over_time": series.over_time,
        "channels": by_variance(sums.sums, moments),
        "probe": None if probe is None else probe.figures,
        "labels": None if probe is None else probe.accuracy,
    }
