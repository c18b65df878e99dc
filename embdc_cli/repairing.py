"""`embdc repair`: a damaged archive made whole again, with everything of it that can be used."""

from __future__ import annotations

from typing import Any

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.container.correction import corrected
from embdc_cli.container.header import StreamHeader
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.repair import repair as repair_parts
from embdc_cli.container.storage import Storage, open_storage
from embdc_cli.errors import CorruptArchive, IncompleteError
from embdc_cli.item_streams import owner
from embdc_cli.output import CountedOutput, check_not_input, destination
from embdc_cli.values import StreamSpec


def repair(path: str, output: str, *, force: bool = False) -> dict[str, Any]:
    """Repair the archive at `path` into `output` (`-`: stdout) and return the `--json` document.

    exit: 3 when rows are lost. Raises: CorruptArchive when nothing can be read, UnsupportedArchive, SourceError.
    """
    check_not_input(output, path)
    storage = open_storage(path)
    try:
        better = corrected(storage, _parts(storage))
        reader = ArchiveReader(better)
        with destination(output, force=force) as out:
            counted = CountedOutput(out)
            result = repair_parts(reader, counted, _stand_in)
    finally:
        storage.close()
    return {
        "archive": path,
        "output": output,
        "parts": result.parts,
        "chunks": result.chunks,
        "corrected": sorted(bit // 8 for bit in better.bits),
        "lost": [
            {"stream": one.stream, "item": one.item, "rows": [one.row0, one.stop], "seconds": one.seconds}
            for one in result.lost
        ],
        "lost_times": [
            {
                "item": owner(reader.items, item).number,
                "streams": [stream.name for stream in reader.items[item].streams if stream.header.timed],
                "rows": [row0, stop],
            }
            for item, row0, stop in result.lost_times
        ],
        "summary": result.summaries,
        "file_bytes": counted.bytes,
        "io": storage.traffic.document(),
        "exit": IncompleteError.exit_code if result.lost or result.lost_times else 0,
    }


def _parts(storage: Storage) -> tuple[Any, ...]:
    try:
        return ArchiveReader(storage).parts
    except CorruptArchive:
        return ()  # perhaps a flipped bit in the only header


def _stand_in(stream: StreamHeader, rows: int) -> tuple[bytes, int]:
    """Rows that are not there, as an exact chunk: NaN where the type has it."""
    spec = StreamSpec(stream.name, stream.dtype, stream.axes, stream.row_shape, rows, ragged=stream.ragged)
    shape = (0 if stream.ragged else rows, *stream.row_shape)
    empty = np.zeros(shape, dtypes.storage(stream.dtype))
    if stream.dtype in dtypes.FLOATS:
        empty = dtypes.from_float32(np.full(shape, np.nan, np.float32), stream.dtype)
    elif empty.dtype.kind == "f":
        empty.fill(np.nan)
    encoded = LosslessCodec(spec).encode(empty, np.zeros(rows, np.int64) if stream.ragged else None)
    return encoded.payload, encoded.symbol_crc
