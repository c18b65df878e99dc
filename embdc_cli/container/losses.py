"""Which rows went with damaged bytes, and when they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from embdc_cli.container.contents import Damage, Entry, Item, LostRows, Part, Stream
from embdc_cli.container.framing import chunk_bytes


def with_losses(damage: Sequence[Damage], parts: Sequence[Part], items: Sequence[Item]) -> tuple[Damage, ...]:
    """`damage` in file order, each with the rows whose chunks lay there, and what a repair has declared as lost."""
    ordered = sorted(damage, key=lambda one: (one.offset, one.length))
    lost: dict[int, list[LostRows]] = {}
    declared = []
    for item in items:
        for stream in item.streams:
            part = parts[stream.part]
            for low, high, rows in _gaps(stream, part, item, items[item.clock]):
                place = next((at for at, one in enumerate(ordered) if low <= one.offset <= high), None)
                if len(stood_for := _stood_for(stream, part, rows)):
                    declared.append(_declared(part, stood_for, rows))
                elif place is not None:
                    lost.setdefault(place, []).append(rows)
    found = [replace(one, lost=tuple(lost.get(at, ()))) for at, one in enumerate(ordered)]
    return tuple(sorted([*found, *declared], key=lambda one: (one.offset, one.length)))


def _stood_for(stream: Stream, part: Part, rows: LostRows) -> np.ndarray:
    """The chunks, as numbers of the part's table, that stand for lost rows."""
    data = part.table.data
    within = (data["stream"] == stream.number) & (data["row0"] >= rows.row0) & (data["row0"] < rows.stop)
    return np.asarray(data["chunk"][within & part.lost])


def _declared(part: Part, stood_for: np.ndarray, rows: LostRows) -> Damage:
    chunks = part.table.chunks[stood_for]
    length = sum(chunk_bytes(content) for content in chunks["content"].tolist())
    offset = part.offset + int(chunks["offset"][0])
    return Damage(offset, length, "lost before the archive was repaired", (rows,), declared=True)


def _gaps(stream: Stream, part: Part, item: Item, clock: Item) -> list[tuple[int, int, LostRows]]:
    """(lowest, highest file offset of the damage, lost rows) of every gap in a stream's rows."""
    entries = stream.entries
    found = []
    begins = np.concatenate([[0], entries.stops[:-1]]) if len(entries) else np.empty(0, np.int64)
    for at in np.flatnonzero(entries.starts > begins).tolist():
        before, after = entries[at - 1] if at else None, entries[at]
        low = before.offset + before.length if before else part.offset
        seconds = _seconds(stream, after.row0, item, clock, part, before, after)
        rows = LostRows(clock.number, stream.name, int(begins[at]), after.row0, seconds)
        found.append((low, after.offset, rows))
    promised = stream.header.rows
    if promised is not None and promised > stream.rows and (not part.complete or part.lost.any()):
        last = entries[-1] if len(entries) else None
        low = last.offset + last.length if last else part.offset
        seconds = _seconds(stream, promised, item, clock, part, last, None)
        rows = LostRows(clock.number, stream.name, stream.rows, promised, seconds)
        found.append((low, part.offset + part.length, rows))
    return found


def _seconds(
    stream: Stream, stop: int, item: Item, clock: Item, part: Part, before: Entry | None, after: Entry | None
) -> tuple[float, float] | None:
    """When the rows between two chunks were after the first row of `clock`, None where that is not known."""
    if not stream.header.timed or item.header.timebase is None:
        return None
    own, others = (part.table.times[part.table.times["item"] == one.local] for one in (item, clock))
    first, zero = (times[times["row0"] == 0]["first"].tolist() for times in (own, others))
    ends = [after.record.pts0] if after else own[own["row0"] + own["rows"] == stop]["last"].tolist()
    if not len(others):  # a clock without rows, by which none can go
        clock, zero = item, first
    if not first or not zero or not ends or clock.header.timebase is None:
        return None
    tick, origin = Fraction(*item.header.timebase), zero[0] * Fraction(*clock.header.timebase)
    start = before.record.pts1 if before else first[0]
    return float(start * tick - origin), float(ends[0] * tick - origin)
