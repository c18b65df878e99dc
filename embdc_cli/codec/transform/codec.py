"""Encodes and decodes the chunks of one segment with its models.

Payload: [varint] bytes of the record of exact values, and the record, when the models say that chunks have one; then
for every token group [varint] bytes and the bytes of its chain. Symbol CRC: CRC-32 of the codes of every token group
in turn, int32 little-endian: (F, N, r) in C order, of a mixture flat in the order of `mixture.stage`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec import exact_values
from embdc_cli.codec.chain import Coded, Parted
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.layout import chunk_length
from embdc_cli.codec.stage import Encoded, Sides, TokenCounts
from embdc_cli.codec.table import ChunkKind, Limits
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.vq.quantiser import VectorIndices
from embdc_cli.errors import CorruptArchive
from embdc_cli.values import StreamSpec

_MOST_EMPTY_TOKENS: Final = 1 << 20
"""Tokens without channels have no values that limits could bound; embdc keeps such streams without loss."""


class TransformCodec:
    """A `ChunkCodec`. limits: of the archive being read; an encoder has none."""

    kind = int(ChunkKind.TRANSFORM)

    def __init__(self, spec: StreamSpec, models: TransformModels, limits: Limits | None = None) -> None:
        self.spec = spec
        self.models = models
        self.limits = limits

    def encode(self, rows: np.ndarray, token_counts: TokenCounts | None = None, sides: Sides = ()) -> Encoded:
        """The coded chunk of `rows` in storage dtype. Raises SourceError for NaN and infinities that are not kept."""
        out = FieldWriter()
        record = b""
        if not self.models.nonfinite_keep:
            exact_values.refuse(rows, self.spec)
        if self.models.keeps_values:
            rows, record = exact_values.take_out(rows, self.spec, padding=self.models.padding)
            out.blob(record)
        # products may overflow for values far outside the sample; the quantiser limits what comes of it
        with np.errstate(all="ignore"):
            known = sides or (None,) * len(self.models.groups)
            groups = zip(self.models.groups, self.models.layout.split(rows), known, strict=True)
            coded = [models.chain.encode(tokens, side) for models, tokens, side in groups]
        for models, part in zip(self.models.groups, coded, strict=True):
            out.blob(models.chain.pack(part))
        decoded = self._reconstruct(coded, record)
        return Encoded(out.bytes(), _symbol_crc(coded), decoded, tuple(part.sides for part in coded))

    def decode(
        self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None = None
    ) -> tuple[np.ndarray, int]:
        """(values in storage dtype, symbol CRC) of a chunk of `rows` rows. Raises CorruptArchive."""
        coded, record = self._unpack(payload, rows, token_counts)
        return self._reconstruct(coded, record), _symbol_crc(coded)

    def bytes_read(self, start: bytes, size: int) -> int:
        """How many bytes of a payload of `size` bytes `decode` looks at, by its `start`.

        Fewer than all where a vector quantiser leaves out levels of a stream without special tokens or exact values.
        """
        (*_, last) = self.models.groups
        coder = last.chain.coder
        if not isinstance(coder, VectorIndices) or coder.most is None:
            return size
        if len(self.models.groups) > 1 or self.models.keeps_values or any(link.has_side for link in last.chain.links):
            return size
        fields = FieldReader(start, f"chunk of stream {self.spec.name!r}")
        try:
            fields.varint(limit=size)
            return min(size, len(start) - fields.left + coder.bytes_read(fields))
        except CorruptArchive:  # the start is too short, or what is damaged will be found in the whole
            return size

    def codes(
        self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None = None
    ) -> tuple[list[Coded], bytes, int]:
        """(codes of every token group, record of exact values, symbol CRC) of a chunk. Raises CorruptArchive."""
        coded, record = self._unpack(payload, rows, token_counts)
        return coded, record, _symbol_crc(coded)

    def plane_bits(
        self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None = None
    ) -> list[np.ndarray]:
        """(2^level, r) float64 for every block of codes of a chunk (`Coder.plane_bits`). Raises CorruptArchive."""
        coded, _ = self._unpack(payload, rows, token_counts)
        chains = (models.chain for models in self.models.groups)
        return [block for chain, part in zip(chains, coded, strict=True) for block in chain.plane_bits(part)]

    def _unpack(
        self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None
    ) -> tuple[list[Coded], bytes]:
        """The codes of every token group, and the record of exact values."""
        parts, record = self.part(payload, rows, token_counts)
        coders = (models.chain.coder for models in self.models.groups)
        decoded = (
            coder.decode(one.codes, one.shapes[-1], one.known[-1]) for coder, one in zip(coders, parts, strict=True)
        )
        return [Coded(codes, one.sides) for codes, one in zip(decoded, parts, strict=True)], record

    def part(
        self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None = None
    ) -> tuple[list[Parted], bytes]:
        """(the bytes of every token group told apart, record of exact values) of a chunk. Raises CorruptArchive."""
        length = chunk_length(self.spec, rows, token_counts, self.limits)
        fields = FieldReader(payload, f"chunk of stream {self.spec.name!r}")
        if not self.models.layout.fold and length * sum(self.models.layout.tokens) > _MOST_EMPTY_TOKENS:
            raise fields.corrupt("expected channels of so many tokens, found none")
        record = bytes(fields.blob()) if self.models.keeps_values else b""
        parts = []
        for models, tokens in zip(self.models.groups, self.models.layout.tokens, strict=True):
            parts.append(models.chain.part(fields.blob(), (length, tokens, self.models.layout.fold)))
        fields.end()
        return parts, record

    def _reconstruct(self, coded: Sequence[Coded], record: bytes) -> np.ndarray:
        with np.errstate(all="ignore"):
            groups = [m.chain.reconstruct(part) for m, part in zip(self.models.groups, coded, strict=True)]
            return exact_values.put_back(self.models.layout.join(groups), record)


def _symbol_crc(coded: Sequence[Coded]) -> int:
    crc = 0
    for part in coded:
        crc = zlib.crc32(np.ascontiguousarray(part.codes, dtype="<i4").data, crc)
    return crc
