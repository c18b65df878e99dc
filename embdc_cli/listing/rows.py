"""A row of the list: one item of one archive, or an archive of which nothing can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from embdc_cli.container.contents import Item, Part, Stream, items_of
from embdc_cli.container.framing import chunk_bytes
from embdc_cli.container.opening import open_ends
from embdc_cli.container.storage import open_storage
from embdc_cli.encoding.work import WorkInProgress
from embdc_cli.errors import CorruptArchive, SourceError
from embdc_cli.failure import Failure
from embdc_cli.item_streams import owned
from embdc_cli.listing.places import Place
from embdc_cli.traffic import Traffic

Row = dict[str, Any]
Status = Literal["complete", "incomplete", "unfinished", "uploading", "missing", "failed"]

FIELDS: Final = (
    "path", "item", "name", "status", "complete", "input", "add", "seconds", "streams", "encoder", "item_bytes",
    "file_bytes", "recipe_digest", "source_bytes", "source_digest", "root", "error", "exit",
)  # fmt: skip
"""The fields of every row, in order; what is not known is None."""


def archive_rows(place: Place, made_of: str | None, traffic: Traffic) -> list[Row]:
    """A row for each item of an archive, read from its head and tail. made_of: its input, as far as that is known.

    traffic: what was read is added to it. Raises: SourceError, CorruptArchive, UnsupportedArchive.
    """
    size, parts = _ends(place, traffic)
    status: Status = "complete" if all(part.complete for part in parts) else "incomplete"
    return _item_rows(place.path, made_of, status, size, parts)


def work_rows(place: Place, work: WorkInProgress, made_of: str | None, traffic: Traffic) -> list[Row]:
    """The rows of unfinished work, of which there may be no header yet; none when it was finished meanwhile."""
    planned, added = work.made_of()
    known = {"input": made_of or planned, "add": added or None}
    try:
        size, parts = _ends(place, traffic)
    except SourceError:
        return []
    except CorruptArchive:
        return [_row(place.path, "unfinished", **known)]
    return [{**row, **known} for row in _item_rows(place.path, None, "unfinished", size, parts)]


def _ends(place: Place, traffic: Traffic) -> tuple[int, list[Part]]:
    """(bytes of the file, its parts)"""
    storage = open_storage(place.file)
    try:
        return storage.size, open_ends(storage)
    finally:
        traffic.add(storage.traffic)
        storage.close()


def failed_row(path: str, made_of: str | None, error: BaseException) -> Row:
    """The row of an archive that cannot be read."""
    failure = Failure.of(error)
    return _row(path, "failed", input=made_of, error=failure.message, exit=failure.exit)


def uploading_row(path: str, made_of: str | None) -> Row:
    """The row of an archive whose upload was begun and not completed."""
    return _row(path, "uploading", input=made_of)


def missing_row(path: str, made_of: str) -> Row:
    """The row of an archive that is not there, though it should be."""
    return _row(path, "missing", input=made_of)


def _row(path: str, status: Status, **known: Any) -> Row:
    return {
        **dict.fromkeys(FIELDS),
        "path": path,
        "status": status,
        "complete": status == "complete",
        "exit": 0,
        **known,
    }


def _item_rows(path: str, made_of: str | None, status: Status, size: int, parts: Sequence[Part]) -> list[Row]:
    found = owned(items_of(parts))
    return [_item_row(path, made_of, status, size, parts[item.part], item, streams) for item, streams in found]


def _item_row(
    path: str, made_of: str | None, status: Status, size: int, part: Part, item: Item, streams: Sequence[Stream]
) -> Row:
    source = part.source(item.local)
    return _row(
        path,
        status,
        item=item.number,
        name=item.header.name,
        input=made_of,
        seconds=part.seconds(item.local),
        streams=[_stream(part, stream) for stream in streams],
        encoder=(item.header.encoder or {}).get("name"),
        item_bytes=_bytes(part, streams) if part.tail is not None else None,
        file_bytes=size,
        recipe_digest=part.header.recipe_digest,
        source_bytes=source.get("size_bytes"),
        source_digest=source.get("ends_digest"),
        root=part.tail.root.hex() if part.tail is not None else None,
    )


def _stream(part: Part, stream: Stream) -> dict[str, Any]:
    header = stream.header
    shape: list[int | None] = list(stream.spec.shape)
    if part.tail is None and stream.spec.timed:
        shape[0] = None  # how many rows are readable is known only after all chunks
    known = (part.summary or {}).get("streams", [])
    codec = known[stream.number].get("codec", header.codec) if stream.number < len(known) else header.codec
    return {"name": stream.name, "shape": shape, "dtype": header.dtype, "codec": codec}


def _bytes(part: Part, streams: Sequence[Stream]) -> int:
    """Bytes of the chunks of values, models and times of `streams`, all those of an item."""
    table = part.table
    numbers = [stream.number for stream in streams]
    clocks = {stream.header.item for stream in streams}
    places = np.concatenate(
        [
            table.data["chunk"][np.isin(table.data["stream"], numbers)],
            table.models["chunk"][np.isin(table.models["stream"], numbers)],
            table.times["chunk"][np.isin(table.times["item"], list(clocks))],
        ]
    )
    return sum(map(chunk_bytes, table.chunks["content"][places].tolist()))
