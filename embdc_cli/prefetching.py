"""Chunks brought into memory before a slice asks for them, so that it costs a copy of its rows and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from embdc_cli import dtypes
from embdc_cli.container.contents import Entry
from embdc_cli.device import computing_device
from embdc_cli.errors import UsageError
from embdc_cli.stream_view import StreamView, lost

if TYPE_CHECKING:
    from embdc_cli.archive import Archive

_THREADS: Final = min(4, os.cpu_count() or 1)


async def prefetch(archive: Archive, view: StreamView, wanted: Sequence[range], most_bytes: int) -> dict[str, Any]:
    """Decode the chunks that hold `wanted` rows; see `StreamView.prefetch`."""
    if computing_device(archive.device) != "cpu":
        raise UsageError(f"prefetch: expected an archive decoded on the CPU, found {archive.device}")
    if not 0 < most_bytes <= archive.cache_bytes:
        raise UsageError(f"prefetch: expected 1 to {archive.cache_bytes} bytes, found {most_bytes}")
    started, storage = time.perf_counter(), archive.reader.storage
    reads = storage.reads
    chunks = _chunks_of(view, wanted)
    missing, taken, left = [], 0, 0
    for entry in chunks:
        size = _most_bytes_of(archive, view, entry)
        if taken + size > most_bytes:
            left += 1
            continue
        taken += size
        if not archive.touch(entry):
            missing.append(entry)
    room = asyncio.Semaphore(_THREADS)

    async def bring(entry: Entry) -> int:
        async with room:  # whoever waits here when the prefetch is cancelled is never begun
            return (await asyncio.to_thread(archive.decoded, view.stream, entry))[1].nbytes

    tasks = [asyncio.ensure_future(bring(entry)) for entry in missing]
    try:
        decoded_bytes = sum(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
    return {
        "chunks": len(missing),
        "cached": len(chunks) - left - len(missing),
        "left": left,
        "bytes": decoded_bytes,
        "requests": storage.reads - reads,
        "seconds": time.perf_counter() - started,
    }


def _chunks_of(view: StreamView, wanted: Sequence[range]) -> list[Entry]:
    """Each chunk once, in the order in which rows ask for it. Raises: CorruptArchive for rows that are lost."""
    found: dict[tuple[int, int], Entry] = {}
    for rows in wanted:
        for entry, part in view.pieces(rows):
            if entry is None:
                raise lost(view, part)
            found.setdefault((entry.part, entry.offset), entry)
    return list(found.values())


def _most_bytes_of(archive: Archive, view: StreamView, entry: Entry) -> int:
    """Of a decoded chunk; where token counts are not known yet, of the largest that its part allows."""
    values = entry.record.rows * view.spec.row_values
    if view.spec.ragged:
        values = archive.reader.parts[entry.part].header.limits.max_chunk_values
    return values * dtypes.item_bytes(view.spec.dtype)
