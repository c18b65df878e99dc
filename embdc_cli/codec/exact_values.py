"""Values kept beside the chunk with their exact bit patterns: NaN and infinities, unless refused, and padding.

Padding is tokens of nothing but zeros, as batches of unequal lengths have: it stays what it is. Without this it would
come back as noise, whose cosine to nothing is 0, and teach the transform a point where no token is.
Kept positions are replaced by the mean of the other values of their channel in the chunk, which the transform codes
at almost no cost; the decoder puts the bit patterns back last. The list is runs of positions (gap, length) and the
patterns, as zstd: whole missing frames cost a few bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec.bounded_zstd import compress, decompress
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.errors import SourceError
from embdc_cli.values import StreamSpec

_EXPONENTS: Final = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F80_0000}


def refuse(rows: np.ndarray, spec: StreamSpec) -> None:
    """Raise SourceError naming the first value of `rows` (storage dtype) that is NaN or infinite, if there is one."""
    if _all_finite(rows, spec.dtype):
        return
    finite = np.isfinite(dtypes.to_float32(rows, spec.dtype))
    index = np.unravel_index(int(np.argmin(finite)), rows.shape)
    value = dtypes.to_float32(rows[index], spec.dtype)
    raise SourceError(
        f"stream {spec.name!r}: {float(value)} at {[int(i) for i in index]} of a chunk, expected finite values",
        hint="--nonfinite keep stores such positions exactly; --lossless keeps every bit",
    )


def take_out(rows: np.ndarray, spec: StreamSpec, *, padding: bool) -> tuple[np.ndarray, bytes]:
    """(rows without NaN, infinities and, if `padding`, zero tokens; the record that `put_back` needs).

    rows: (F, *row_shape) in storage dtype.
    """
    if not padding and _all_finite(rows, spec.dtype):
        return rows, b""
    x = dtypes.to_float32(rows, spec.dtype)
    bad = ~np.isfinite(x)
    if padding:
        axis = 1 if spec.ragged else 1 + spec.channel_axis
        bad |= ~x.any(axis=axis, keepdims=True)
    positions = np.flatnonzero(bad)
    if not positions.size:
        return rows, b""
    width = rows.dtype.itemsize
    patterns = rows.reshape(-1)[positions].view(f"<u{width}")
    starts = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(positions))
    ends = positions[starts] + lengths
    gaps = positions[starts] - np.concatenate([[0], ends[:-1]])
    out = FieldWriter()
    out.varint(len(starts))
    out.varint(len(positions))
    runs = np.stack([gaps, lengths]).astype("<u4")
    out.raw(compress(runs.tobytes() + patterns.astype(f"<u{width}").tobytes()))
    return dtypes.from_float32(_filled(x, bad), spec.dtype), out.bytes()


def put_back(rows: np.ndarray, record: bytes | memoryview) -> np.ndarray:
    """`rows` with the recorded bit patterns in their places. Raises CorruptArchive for an impossible record."""
    if not len(record):
        return rows
    positions, patterns = read(record, rows.size, rows.dtype.itemsize)
    flat = np.ascontiguousarray(rows).reshape(-1).copy()
    flat.view(patterns.dtype)[positions] = patterns
    return flat.reshape(rows.shape)


def read(record: bytes | memoryview, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(positions (n,) int64 in the flat chunk, rising; bit patterns (n,) of `width` bytes) of a record.

    size: values of the chunk. Raises CorruptArchive for an impossible record.
    """
    fields = FieldReader(record, "exact values")
    runs = fields.varint(limit=size)
    count = fields.varint(limit=size)
    data = decompress(fields.rest(), runs * 8 + count * width, "exact values")
    gaps, lengths = np.frombuffer(data, "<u4", 2 * runs).astype(np.int64).reshape(2, runs)
    if int(lengths.sum()) != count or int(gaps.sum()) + count > size:
        raise fields.corrupt(f"expected {count} positions below {size}, found runs beyond them")
    starts = np.cumsum(gaps + np.concatenate([[0], lengths[:-1]]))
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    positions = np.arange(count) + np.repeat(starts - first, lengths)
    return positions, np.frombuffer(data, f"<u{width}", count, 8 * runs)


def _all_finite(rows: np.ndarray, dtype: str) -> bool:
    """Whether no exponent is all ones; on the stored bits, as this pass is over every chunk."""
    exponent = _EXPONENTS[dtype]
    bits = np.ascontiguousarray(rows).view(f"<u{rows.dtype.itemsize}")
    return bool((bits & bits.dtype.type(exponent)).max(initial=0) < exponent)


def _filled(x: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """x (..., D) with bad values replaced by the mean of their channel's other values, 0 where it has none."""
    tokens = x.reshape(-1, x.shape[-1])
    absent = bad.reshape(tokens.shape)
    present = np.where(absent, np.float32(0), tokens)
    counts = np.maximum((~absent).sum(axis=0), 1)
    means = (present.sum(axis=0, dtype=np.float64) / counts).astype(np.float32)
    return np.where(absent, means, tokens).reshape(x.shape)
