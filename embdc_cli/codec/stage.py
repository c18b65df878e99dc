"""The stages a codec is made of, typed by what they take and give so that a wrong order cannot be built.

    ArrayStage   array -> array     normalisation, KLT, transform along time
    Quantiser    array -> codes     the only place where precision is lost
    CodeStage    codes -> codes     exact rearrangements and differences of integers
    Coder        codes -> bytes     entropy coding

A stage is a frozen value: it holds the parameters of one segment, and `forward` and `inverse` change nothing.
What a stage learns from a single chunk (the scale of each token, say) it writes with `measure`; both directions then
get those same bytes, so the encoder never uses what a decoder cannot see. A stage that measures nothing gets those of
the last stage before it that did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol

import numpy as np

from embdc_cli.codec.table import VERSIONS, StageId
from embdc_cli.metrics import ErrorSums

Shape = tuple[int, ...]
TokenCounts = Sequence[int] | np.ndarray
"""Tokens of each row of a ragged stream."""


Sides = tuple[tuple[bytes, ...], ...]
"""Side information of the stages of every token group."""


class Kind(Enum):
    """What passes between two stages."""

    ARRAY = "array"
    CODES = "codes"
    BYTES = "bytes"


class Stage(ABC):
    """One step of a chain. `takes` and `gives` type it; `stage` names it in archives, for ever."""

    stage: ClassVar[StageId]
    takes: ClassVar[Kind]
    gives: ClassVar[Kind]
    has_side: ClassVar[bool] = False

    @property
    def version(self) -> int:
        """Of the stage's bytes, as it writes them."""
        return VERSIONS[self.stage]

    def shape(self, shape: Shape, side: bytes) -> Shape:
        """Shape of what the stage gives when it takes `shape`. Raises CorruptArchive when `side` does not fit it."""
        del side
        return shape

    def measure(self, x: np.ndarray) -> bytes:
        """Side information of the chunk `x`, kept in its payload; b"" unless `has_side`."""
        del x
        return b""


class ArrayStage(Stage):
    """array -> array; `inverse` gives back the shape that `forward` took, values as far as the stage keeps them."""

    takes = Kind.ARRAY
    gives = Kind.ARRAY

    @abstractmethod
    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray: ...

    @abstractmethod
    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray: ...


class Quantiser(Stage):
    """array -> codes of the same shape."""

    takes = Kind.ARRAY
    gives = Kind.CODES

    @abstractmethod
    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray: ...

    @abstractmethod
    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray: ...


class CodeStage(Stage):
    """codes -> codes, exactly invertible."""

    takes = Kind.CODES
    gives = Kind.CODES

    @abstractmethod
    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray: ...

    @abstractmethod
    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray: ...


class Coder(Stage):
    """codes -> bytes, exactly invertible given the shape of the codes."""

    takes = Kind.CODES
    gives = Kind.BYTES

    @abstractmethod
    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        """side: side information of the last stage before the coder that has some, else b""."""

    @abstractmethod
    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        """The codes of `shape` in `data`, all of it. Raises CorruptArchive when they are not there."""

    def plane_bits(self, codes: np.ndarray, side: bytes) -> list[np.ndarray]:
        """(2^level, r) float64 for every block of codes: the bits of each plane, by temporal frequency and vector.

        Nothing where codes have no planes.
        """
        del codes, side
        return []


@dataclass(frozen=True)
class Encoded:
    """One coded chunk.

    payload: its bytes. symbol_crc: CRC-32 of its integer codes, which every decoder must find again.
    decoded: exactly what `decode` gives for the payload, in storage dtype. sides: what was measured of the chunk, the
    same for models that differ in the quantiser's step alone.
    """

    payload: bytes
    symbol_crc: int
    decoded: np.ndarray
    sides: Sides = ()


@dataclass(frozen=True)
class ChunkRows:
    """One chunk to be coded, of `values` values. Other arguments as of `ChunkCodec.encode`.

    read: gives its rows, the same whenever it is called, so that they need not be kept.
    """

    read: Callable[[], np.ndarray]
    values: int
    token_counts: TokenCounts | None = None
    sides: Sides = ()


@dataclass(frozen=True)
class CodedRows:
    """`Encoded`, with the errors that a decoder makes in place of what it gives."""

    payload: bytes
    symbol_crc: int
    sums: ErrorSums
    sides: Sides = ()


class ChunkCodec(Protocol):
    """Codes the chunks of one segment of one stream; stateless, so chunks may be coded in any order and in parallel.

    rows: (F, *row_shape) in storage dtype, F rows; flat (n, D) with n = sum of `token_counts` for ragged streams.
    """

    @property
    def kind(self) -> int:
        """The permanent number of this codec in chunk headers (`table.ChunkKind`)."""

    def encode(self, rows: np.ndarray, token_counts: TokenCounts | None = None, sides: Sides = ()) -> Encoded:
        """The coded chunk. Raises SourceError for values the codec does not take (NaN and infinities, unless kept).

        sides: of an earlier encoding of the same rows, to save measuring them again.
        """

    def decode(
        self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None = None
    ) -> tuple[np.ndarray, int]:
        """(values in storage dtype, CRC-32 of the codes). Raises CorruptArchive for bytes that no encoder writes."""

    def bytes_read(self, start: bytes, size: int) -> int:
        """How many bytes of a payload of `size` bytes `decode` looks at, by its `start`."""
