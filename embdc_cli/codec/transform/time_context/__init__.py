"""Codes to bytes: every code under a context of the codes around it in time and on the token grid.

For codes most of which are zero or what they were a row before; `model.py` says what the contexts are, `reference.py`
what is sent, and that nothing depends on more than the chunk itself. Every code within MAX_LEVEL is exact; magnitudes
make the contexts, signs are raw bits and sent only in chunks that have a negative code. Codes: (F, N, D) int32.
Layout: [varint] bytes of the rANS payload; the payload (embdc_cli.entropy.rans.layout); [varint] twice the number
of escapes, plus 1 if any code is negative; for escapes [varint] bytes of their Exp-Golomb codes of order 2, and these;
for negative codes the signs of all codes but 0. An array without codes has no bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.codec.transform.time_context.model import COUNT, costs, frequencies, static_model
from embdc_cli.codec.transform.time_context.payload import ESCAPE_ORDER, join_parts, read_payload
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.bits import bit_lengths, check_packed
from embdc_cli.entropy.rans.layout import choose_lanes, join_payload, split_payload
from embdc_cli.errors import CorruptArchive

MAX_WIDTH: Final = 1 << 31


@dataclass(frozen=True)
class TimeContext(Coder, SegmentStage):
    """width: tokens in a row of their grid, >= 1."""

    stage = StageId.TIME_CONTEXT
    width: int

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        if not codes.size:
            return b""
        coder, model = kernels(__name__), static_model()
        sent = coder.symbols_of(np.abs(codes), self.width, model)
        freq, cum = coder.intervals_of(sent, model)
        rans = join_payload(*coder.encode(freq, cum, choose_lanes(int(costs()[freq].sum(dtype=np.int64)))))
        negative = codes[codes != 0] < 0
        signs = np.packbits(negative, bitorder="little").tobytes() if negative.any() else None
        return join_parts(rans, sent.escapes, signs)

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        rows, tokens, channels = shape
        if not rows * tokens * channels:
            FieldReader(data, "chunk").end()
            return np.zeros(shape, np.int32)
        payload = read_payload(data, shape)
        states, words = split_payload(data[payload.rans])
        codes, whole = kernels(__name__).decode(
            states, words, payload.escapes, (rows, tokens, channels), self.width, static_model()
        )
        if not whole:
            raise CorruptArchive("chunk: expected symbols, states, words and escapes to come out even")
        if codes.max() > MAX_LEVEL:
            raise CorruptArchive(f"chunk: a code is beyond {MAX_LEVEL}")
        if payload.signs is not None:
            _put_signs(codes, data[payload.signs])
        return np.asarray(codes)

    def write(self, out: FieldWriter) -> None:
        out.varint(self.width)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TimeContext:
        width = fields.varint(limit=MAX_WIDTH)
        if width == 0:
            raise fields.corrupt("width of the token grid: expected at least 1, found 0")
        return cls(width)


def classes_of(magnitudes: np.ndarray) -> np.ndarray:
    """(F, N) int64: the class of each token of magnitudes (F, N, D)."""
    from embdc_cli.codec.transform.time_context.reference import token_classes

    return token_classes(magnitudes)


def cost_of(magnitudes: np.ndarray, width: int) -> np.ndarray:
    """(rows, 16) int32: what symbols cost in 1/256 bit in the tables that these magnitudes (F, N, D) lead to."""
    model = static_model()
    sent = kernels(__name__).symbols_of(magnitudes, width, model)
    index = sent.rows.astype(np.int64) * model.counts.shape[1] + sent.symbols
    counts = np.bincount(index, minlength=model.counts.size).reshape(model.counts.shape)
    return np.asarray(costs()[frequencies(model.counts + COUNT * counts)])


def bits_of(magnitudes: np.ndarray, width: int) -> float:
    """Bits that `TimeContext` takes for these magnitudes (F, N, D), but for rounding."""
    coder, model = kernels(__name__), static_model()
    sent = coder.symbols_of(magnitudes, width, model)
    freq, _ = coder.intervals_of(sent, model)
    escapes = 2 * bit_lengths(sent.escapes.astype(np.int64) + (1 << ESCAPE_ORDER)) - 1 - ESCAPE_ORDER
    return float(costs()[freq].sum(dtype=np.int64)) / 256 + float(escapes.sum())


def _put_signs(codes: np.ndarray, data: memoryview) -> None:
    """Negate the codes whose sign bit in `data` is set. Raises CorruptArchive."""
    nonzero = np.flatnonzero(codes)
    check_packed(data, nonzero.size)
    negative = np.unpackbits(np.frombuffer(data, np.uint8), count=nonzero.size, bitorder="little").astype(bool)
    if not negative.any():
        raise CorruptArchive("chunk: signs: expected a negative code, found none")
    codes.reshape(-1)[nonzero[negative]] *= -1
