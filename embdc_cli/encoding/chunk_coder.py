"""Chunks of one segment to bytes, and the errors that their decoder will make: on the CPU, or on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embdc_cli.codec.stage import ChunkRows, CodedRows, TokenCounts
from embdc_cli.codec.table import ChunkKind
from embdc_cli.metrics import ErrorSums
from embdc_cli.tokens import Cut, as_tokens
from embdc_cli.values import StreamSpec

if TYPE_CHECKING:
    from embdc_cli.codec.stage import ChunkCodec


@dataclass(frozen=True)
class CodedChunk:
    """One chunk ready to be written, with the errors its decoder will make."""

    cut: Cut
    payload: bytes
    symbol_crc: int
    token_counts: tuple[int, ...] | None
    sums: ErrorSums


class ChunkCoder(Protocol):
    """Threads may share one."""

    @property
    def held_bytes(self) -> int:
        """Of parameters beside those of the codec."""

    def at_once(self, values: int) -> int:
        """How many chunks of so many values `code` is best given at once."""

    def code(self, chunks: Sequence[ChunkRows]) -> list[CodedRows]:
        """Of each, the same whatever the others are. Raises SourceError for values the codec does not take."""

    def measure(self, rows: np.ndarray, payload: bytes, count: int, token_counts: TokenCounts | None) -> ErrorSums:
        """The errors of a payload that `code` gave for these `count` rows: the same sums."""


def coder_on(device: str, codec: ChunkCodec, spec: StreamSpec) -> ChunkCoder:
    """`codec` on `device`, in torch's words; on the CPU where it has no way to work there."""
    if codec.kind == ChunkKind.TRANSFORM:
        from embdc_cli.codec.device.encoder import device_encoder

        found = device_encoder(codec, device)
        if found is not None:
            return found
    return OnCpu(codec, spec)


class OnCpu:
    """Measures what the codec says that its decoder gives. A lossless chunk is exact and only counted."""

    held_bytes = 0

    def __init__(self, codec: ChunkCodec, spec: StreamSpec) -> None:
        self._codec = codec
        self._spec = spec

    def at_once(self, values: int) -> int:
        return 1

    def code(self, chunks: Sequence[ChunkRows]) -> list[CodedRows]:
        return [self._coded(chunk) for chunk in chunks]

    def _coded(self, chunk: ChunkRows) -> CodedRows:
        rows = chunk.read()
        encoded = self._codec.encode(rows, chunk.token_counts, chunk.sides)
        return CodedRows(encoded.payload, encoded.symbol_crc, self._errors(rows, encoded.decoded), encoded.sides)

    def measure(self, rows: np.ndarray, payload: bytes, count: int, token_counts: TokenCounts | None) -> ErrorSums:
        return self._errors(rows, self._codec.decode(payload, count, token_counts)[0])

    def _errors(self, rows: np.ndarray, decoded: np.ndarray) -> ErrorSums:
        sums = ErrorSums(self._spec.channels)
        if self._codec.kind != ChunkKind.LOSSLESS:
            sums.add(as_tokens(rows, self._spec), as_tokens(decoded, self._spec))
        else:
            sums.values = rows.size
            sums.tokens = rows.size // max(1, self._spec.channels)
            sums.cosine_sum = float(sums.tokens)
        return sums
