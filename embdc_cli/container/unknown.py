"""Chunks of types that are unknown here: those with a lower case first letter are skipped, others stop a reader."""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.container import spec
from embdc_cli.container.framing import ChunkHeader, parse_header
from embdc_cli.container.storage import Storage
from embdc_cli.errors import UnsupportedArchive

_UNKNOWN: Final = np.array([code not in spec.TYPE_CODES.values() for code in range(256)])


def check_type(header: ChunkHeader, where: str) -> None:
    """Nothing, for a chunk that is known or may be skipped. Raises: UnsupportedArchive."""
    if header.critical and header.type not in spec.TYPE_CODES:
        raise UnsupportedArchive(f"{where}: critical chunk {header.name!r} is unknown here", hint="use a newer embdc")


def check_listed(storage: Storage, start: int, chunks: np.ndarray) -> None:
    """Nothing, where all chunks that an index lists without a known code may be skipped. Raises: UnsupportedArchive.

    start: of the part. The index does not tell their types, so their headers are read.
    """
    offsets = [start + offset for offset in chunks["offset"][_UNKNOWN[chunks["code"]]].tolist()]
    if offsets:
        headers = storage.read_many([(offset, offset + spec.CHUNK_BYTES) for offset in offsets])
        for offset, raw in zip(offsets, headers, strict=True):
            header = parse_header(raw)
            if header is not None:  # else it is damaged, and nobody asks for it
                check_type(header, f"{storage.name}: byte {offset}")
