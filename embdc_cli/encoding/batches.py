"""Which chunks are coded together: a thread has a batch of them, as a device is fast where it has many at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from embdc_cli.parallel import ordered_map
from embdc_cli.tokens import Cut

if TYPE_CHECKING:
    from embdc_cli.encoding.chunk_coder import CodedChunk
    from embdc_cli.encoding.plan import StreamPlan

    Piece = tuple[StreamPlan, Cut]
    """A chunk of a stream."""


def coded(pieces: Sequence[Piece], jobs: int) -> Iterator[CodedChunk]:
    """The chunks, in order, in up to `jobs` threads. What becomes of one does not depend on the others."""
    for batch in ordered_map(_coded, _batches(pieces, jobs), jobs):
        yield from batch


def _batches(pieces: Sequence[Piece], jobs: int) -> Iterator[list[Piece]]:
    """Consecutive chunks: as many of one segment as its coder takes at once, no more than there is for every thread.

    Chunks of streams that take turns may be of several segments.
    """
    share = -(-len(pieces) // max(1, jobs))
    batch: list[Piece] = []
    counts: Counter[tuple[int, int]] = Counter()
    for plan, cut in pieces:
        batch.append((plan, cut))
        key = plan.number, plan.segment_of(cut).number
        counts[key] += 1
        if len(batch) >= share or counts[key] >= plan.at_once(cut):
            yield batch
            batch, counts = [], Counter()
    if batch:
        yield batch


def _coded(batch: Sequence[Piece]) -> list[CodedChunk]:
    """In their order, those of one segment together."""
    together: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for at, (plan, cut) in enumerate(batch):
        together[plan.number, plan.segment_of(cut).number].append(at)
    found: dict[int, CodedChunk] = {}
    for places in together.values():
        plan = batch[places[0]][0]
        found.update(zip(places, plan.code([batch[at][1] for at in places]), strict=True))
    return [found[at] for at in range(len(batch))]
