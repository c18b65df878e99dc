"""Codes under time contexts decoded on a device, many chunks at once, where Triton runs.

The CPU reads where the parts of a chunk are, and its escapes; the rest are bytes for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.coders import Codes, Decoded, codes_from_cpu, faults_of
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import Shape
from embdc_cli.codec.transform.time_context import TimeContext
from embdc_cli.codec.transform.time_context.chunk_table import ChunkTable, Column, DeviceChunk
from embdc_cli.entropy.cuda import why_not
from embdc_cli.errors import ResourceError

_PLACES: Final = (Column.STATES_AT, Column.WORDS_AT, Column.SIGNS_AT)
"""Columns that count from the start of all data."""


@cache
def kernels_on(device: torch.device) -> ModuleType | None:
    """The decoder of codes under time contexts, None where it does not run on `device`."""
    if why_not(str(device)) is not None:
        return None
    from embdc_cli.codec.transform.time_context import cuda

    return cuda


def time_context(coder: TimeContext, upload: Upload) -> Codes:
    """Codes (F, N, D)."""
    kernels = kernels_on(upload.device)
    if kernels is None:
        return codes_from_cpu(coder, upload)

    def take(data: memoryview, shape: Shape, side: bytes, crc: int | None) -> tuple[Taken, int | None]:
        rows, tokens, channels = shape
        try:
            chunk = DeviceChunk.read(data, 0, (rows, tokens, channels), coder.width)
        except ValueError as error:  # more codes than a kernel counts
            raise ResourceError(f"{upload.device}: {error}", hint="decode it on the CPU") from error
        made = 4 * rows * tokens * channels + ChunkTable.of([chunk]).work_bytes
        return Taken((np.frombuffer(data, np.uint8),), (shape, chunk), made), None

    def run(chunks: Sequence[Beside], staging: Staging) -> Decoded:
        data = [chunk.tensors[0] for chunk in chunks]
        starts = np.cumsum([0, *(len(one) for one in data)])
        moved = [_moved(chunk.facts[1], int(start)) for chunk, start in zip(chunks, starts, strict=False)]
        table = ChunkTable.of(moved)
        work = torch.empty(table.work_bytes, dtype=torch.uint8, device=data[0].device)
        codes, faults = kernels.decode(torch.cat(data), table, work)
        parts = codes.split(np.diff(table.offsets).tolist())
        shapes = (chunk.facts[0] for chunk in chunks)
        return Decoded([part.view(shape) for part, shape in zip(parts, shapes, strict=True)], faults_of(faults))

    return Codes(True, take, run)


def _moved(chunk: DeviceChunk, start: int) -> DeviceChunk:
    """The chunk where its bytes begin `start` bytes into the data of all."""
    fields = {column: value + start * (column in _PLACES) for column, value in chunk.fields.items()}
    return replace(chunk, fields=fields)
