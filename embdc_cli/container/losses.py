"""Which rows went with damaged bytes, and when they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from embdc_cli.container.contents import Damage, Entry, Item, LostRows, Part, Stream


def with_losses(damage: Sequence[Damage], parts: Sequence[Part], items: Sequence[Item]) -> tuple[Damage, ...]:
    """`damage` in file order, each with the rows whose chunks lay there."""
    ordered = sorted(damage, key=lambda one: (one.offset, one.length))
    lost: dict[int, list[LostRows]] = {}
    for item in items:
        for stream in item.streams:
            for low, high, rows in _gaps(stream, parts[stream.part], item):
                place = next((at for at, one in enumerate(ordered) if low <= one.offset <= high), None)
                if place is not None:
                    lost.setdefault(place, []).append(rows)
    return tuple(replace(one, lost=tuple(lost.get(at, ()))) for at, one in enumerate(ordered))


def _gaps(stream: Stream, part: Part, item: Item) -> list[tuple[int, int, LostRows]]:
    """(lowest, highest file offset of the damage, lost rows) of every gap in a stream's rows."""
    entries = stream.entries
    found = []
    begins = np.concatenate([[0], entries.stops[:-1]]) if len(entries) else np.empty(0, np.int64)
    for at in np.flatnonzero(entries.starts > begins).tolist():
        before, after = entries[at - 1] if at else None, entries[at]
        low = before.offset + before.length if before else part.offset
        rows = _lost(stream, int(begins[at]), after.row0, item, part, before, after)
        found.append((low, after.offset, rows))
    promised = stream.header.rows
    if not part.complete and promised is not None and promised > stream.rows:
        last = entries[-1] if len(entries) else None
        low = last.offset + last.length if last else part.offset
        rows = _lost(stream, stream.rows, promised, item, part, last, None)
        found.append((low, part.offset + part.length, rows))
    return found


def _lost(
    stream: Stream, row0: int, stop: int, item: Item, part: Part, before: Entry | None, after: Entry | None
) -> LostRows:
    return LostRows(item.number, stream.name, row0, stop, _seconds(stream, item, part, before, after))


def _seconds(
    stream: Stream, item: Item, part: Part, before: Entry | None, after: Entry | None
) -> tuple[float, float] | None:
    if not stream.header.timed or item.header.timebase is None or after is None:
        return None
    times = part.table.times
    first = times[(times["item"] == item.local) & (times["row0"] == 0)]["first"]
    if not len(first):
        return None
    origin, tick = int(first[0]), Fraction(*item.header.timebase)
    start = before.record.pts1 if before else origin
    return float((start - origin) * tick), float((after.record.pts0 - origin) * tick)
