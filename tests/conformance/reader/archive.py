"""A whole archive: open, verify, and decode chunk by chunk.

Each kind of chunk has a module that decodes it; another one is a module beside them, and a case in `Archive._decoded`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tests.conformance.reader import codebook, container, lossless
from tests.conformance.reader.codebook import Codebook
from tests.conformance.reader.container import File
from tests.conformance.reader.errors import Corrupt, Missing, Unsupported, check
from tests.conformance.reader.header import Stream
from tests.conformance.reader.records import Data, Part
from tests.conformance.reader.stages import DecodeVideo
from tests.conformance.reader.transform import Decoded, Models

LOSSLESS, TRANSFORM = 0, 1


@dataclass(frozen=True)
class Piece:
    """A chunk of a stream: lossless elements as bits, or decoded values."""

    data: Data
    elements: np.ndarray | None
    decoded: Decoded | None


@dataclass
class Archive:
    """file: its container. codebooks: bytes of files that an archive may refer to.

    video, code_levels: as in `stages.Scope`.
    """

    file: File
    codebooks: Iterable[bytes] = ()
    video: DecodeVideo | None = None
    code_levels: int | None = None
    _models: dict[tuple[int, int, int], Models] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        data: bytes,
        codebooks: Iterable[bytes] = (),
        video: DecodeVideo | None = None,
        code_levels: int | None = None,
    ) -> Archive:
        return cls(container.read(data), tuple(codebooks), video, code_levels)

    @property
    def verdict(self) -> int:
        """The exit status of `embdc verify`: 0, 3 for incomplete, 5 for damage before the end of what is readable."""
        end = max((part.end for part in self.file.parts), default=0)
        if any(place < end for place, _ in self.file.damage):
            return 5
        return 0 if self.file.complete and not self.file.damage else 3

    def streams(self) -> Iterator[tuple[str, Part, int, Stream]]:
        """(name, part, number in it, stream) in the order of the file; `item/name` where there are several items, each
        that of the clock."""
        items = [len(part.header.timebases) for part in self.file.parts]
        several = sum(len(set(part.header.clocks)) for part in self.file.parts) > 1
        for place, part in enumerate(self.file.parts):
            for number, stream in sorted(enumerate(part.header.streams), key=lambda pair: pair[1].item):
                item = sum(items[:place]) + part.header.clocks[stream.item]
                yield (f"{item}/" if several else "") + stream.name, part, number, stream

    def chunks(self, part: Part, number: int) -> list[Callable[[], Piece]]:
        """For each chunk of a stream what decodes it, and checks its integers."""
        own = [data for data in part.data if data.stream == number]
        return [partial(self._decoded, part, part.header.streams[number], data) for data in own]

    def _decoded(self, part: Part, stream: Stream, data: Data) -> Piece:
        rows = data.rows if data.tokens is None else sum(data.tokens)
        if data.kind == LOSSLESS:
            elements, crc = lossless.decode(stream, data.payload, rows)
            check(crc == data.symbol_crc, "checksum of the integers")
            return Piece(data, elements, None)
        if data.kind == TRANSFORM:
            decoded = self._models_of(part, stream, data).decode(data.payload, rows)
            check(self.code_levels is not None or decoded.symbol_crc == data.symbol_crc, "checksum of the integers")
            return Piece(data, None, decoded)
        raise Unsupported(f"chunks of kind {data.kind}")

    def _models_of(self, part: Part, stream: Stream, data: Data) -> Models:
        key = (part.offset, data.stream, data.segment)
        if key not in self._models:
            payload = part.models.get(key[1:])
            if payload is None:
                raise Corrupt("a segment without models")
            limits = part.header.limits
            self._models[key] = Models(payload, stream, limits, self._codebook, self.video, self.code_levels)
        return self._models[key]

    def _codebook(self, digest: bytes) -> Codebook:
        """Embedded, or among the files given."""
        embedded = [
            said[3]
            for part in self.file.parts
            for chunk, said in zip(part.chunks, part.said, strict=True)
            if chunk.type == "CBOK" and said[2]
        ]
        for data in (*embedded, *self.codebooks):
            if hashlib.sha256(data).digest() == digest:
                return codebook.parsed(data)
        raise Missing(f"codebook {digest.hex()}")
