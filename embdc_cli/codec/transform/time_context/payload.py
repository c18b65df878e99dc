"""The bytes of a chunk taken apart and put together, as a host does it for either kind of kernels: but for escapes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Shape
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.entropy.bits import decode_exp_golomb, encode_exp_golomb

ESCAPE_ORDER: Final = 2


@dataclass(frozen=True, eq=False)
class Payload:
    """Where the parts are, in bytes from the start of the chunk.

    rans: of the payload of `entropy.rans.layout`; signs: of the sign bits, None where no code is negative;
    escapes: (k,) int32, 0..MAX_LEVEL.
    """

    rans: slice
    escapes: np.ndarray
    signs: slice | None


def read_payload(data: memoryview, shape: Shape) -> Payload:
    """Of a chunk with codes of `shape`, which are not none. Raises CorruptArchive."""
    fields = FieldReader(data, "chunk")

    def read_blob() -> slice:
        size = len(fields.blob())
        return slice(len(data) - fields.left - size, len(data) - fields.left)

    rans = read_blob()
    count, negative = divmod(fields.varint(limit=2 * min(8 * len(data), prod(shape)) + 1), 2)
    escapes = decode_exp_golomb(fields.blob(), escape_orders(count)) if count else np.zeros(0, np.uint32)
    if escapes.max(initial=0) > MAX_LEVEL:
        raise fields.corrupt(f"a code is beyond {MAX_LEVEL}")
    if not negative:
        fields.end()
    return Payload(rans, escapes.astype(np.int32), slice(len(data) - fields.left, len(data)) if negative else None)


def join_parts(rans: bytes, escapes: np.ndarray, signs: bytes | None) -> bytes:
    """A chunk's bytes. escapes: (k,) int32, 0..MAX_LEVEL; signs: one bit for each code but 0, None where all are 0."""
    out = FieldWriter()
    out.blob(rans)
    out.varint(2 * len(escapes) + (signs is not None))
    if len(escapes):
        out.blob(encode_exp_golomb(escapes, escape_orders(len(escapes))))
    if signs is not None:
        out.raw(signs)
    return out.bytes()


def escape_orders(count: int) -> np.ndarray:
    """(count,) uint8: orders of the Exp-Golomb codes of escapes."""
    return np.full(count, ESCAPE_ORDER, np.uint8)
