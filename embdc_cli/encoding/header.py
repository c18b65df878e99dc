"""The archive header of a planned encode: only what is known before the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from embdc_cli.container.header import Header, ItemHeader, Limits, StreamHeader
from embdc_cli.container.spec import CAP_RANK
from embdc_cli.encoding.plan import StreamPlan
from embdc_cli.values import AddedStream, StreamSpec

MAX_GROUP = 64  # longest temporal transform
MAX_MODES = 64  # bases of a mixture
HEAD_DIGEST = "head_digest"
SOURCE_FACTS = ("size_bytes", "ends_digest")  # a pipe tells its size last, and must give the bytes a file gives


@dataclass(frozen=True)
class ItemFacts:
    """What goes with the streams of one item. source: only what was known of the input when it was opened."""

    name: str | None
    source: dict[str, Any]
    encoder: dict[str, Any] | None
    timebase: Fraction | None
    timed_streams: frozenset[str]


def header_of(
    specs: Sequence[StreamSpec],
    item: ItemFacts,
    recipe: dict[str, Any],
    limits: Limits,
    codec: str,
    beside: Sequence[AddedStream] = (),
) -> Header:
    """The header of an archive of one item with streams `specs`, the last of them those `beside`, items of their own.

    codec: what the recipe's came to, for people.
    """
    timebase = item.timebase
    own = len(specs) - len(beside)
    main = ItemHeader(
        name=item.name,
        source={key: value for key, value in item.source.items() if key not in (HEAD_DIGEST, *SOURCE_FACTS)},
        encoder=item.encoder,
        timebase=None if timebase is None else (timebase.numerator, timebase.denominator),
    )
    return Header(
        items=(main, *map(_beside, beside)),
        streams=tuple(
            StreamHeader(
                item=max(0, number + 1 - own),
                name=spec.name,
                dtype=spec.dtype,
                axes=spec.axes,
                row_shape=spec.row_shape,
                rows=spec.rows,
                codec=codec,
                special_tokens=spec.special_tokens,
                ragged=spec.ragged,
                timed=number >= own or spec.name in item.timed_streams,
            )
            for number, spec in enumerate(specs)
        ),
        recipe=recipe,
        input_head_digest=item.source.get(HEAD_DIGEST, ""),
        target=recipe["target"],
        codec={"name": codec},
        limits=limits,
    )


def _beside(one: AddedStream) -> ItemHeader:
    """What goes by the clock of the first item; a file, so that all is known of it beforehand."""
    timebase = one.timeline.timebase
    return ItemHeader(None, one.source, None, (timebase.numerator, timebase.denominator), clock=0)


def summary_facts(source: dict[str, Any], at_opening: dict[str, Any], incomplete: str | None) -> dict[str, Any]:
    """What the summary adds about the input: size, ends, what only its end told, and whether it stopped early."""
    late = {key: value for key, value in source.items() if key in SOURCE_FACTS or key not in at_opening}
    facts: dict[str, Any] = {"source": late}
    if incomplete:
        facts["input_incomplete"] = incomplete
    return facts


def max_rank(specs: Sequence[StreamSpec]) -> int:
    """Most basis vectors a stream can have; wider channel axes than the format allows are folded by the codec."""
    return min(max((spec.channels for spec in specs), default=1), CAP_RANK)


def limits_of(streams: Sequence[StreamPlan]) -> Limits:
    """Bounds on what a reader of these streams will have to allocate and compute per chunk.

    Ragged rows count as a value each at least: a reader that knows only how many they are takes them for so many.
    """
    sizes = [
        (stop - start, (stop - start) * plan.spec.row_values)
        if plan.tensor.token_counts is None
        else (stop - start, max(stop - start, int(plan.tensor.token_counts[start:stop].sum()) * plan.spec.channels))
        for plan in streams
        for start, stop in plan.cuts
    ]
    return Limits(
        max_chunk_rows=max((rows for rows, _ in sizes), default=1),
        max_chunk_values=max((values for _, values in sizes), default=1),
        max_rank=max_rank([plan.spec for plan in streams]),
        max_modes=MAX_MODES,
        max_group=MAX_GROUP,
    )
