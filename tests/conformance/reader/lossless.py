"""Kind 0: elements bit for bit, embdc-codec(5), LOSSLESS."""

from __future__ import annotations

import zlib

import numpy as np

from tests.conformance.reader.errors import Unsupported
from tests.conformance.reader.fields import Fields, unzstd
from tests.conformance.reader.header import WIDTHS, Stream

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def decode(stream: Stream, payload: bytes, rows: int) -> tuple[np.ndarray, int]:
    """(the bits of the elements (rows, *row_shape), checksum of the integers). rows: tokens, where they are ragged."""
    width = WIDTHS[stream.dtype]
    channels = stream.row_shape[-1] if stream.row_shape else 1
    tokens = stream.row_values // channels if channels else 1
    fields = Fields(payload)
    method = fields.byte()
    size = rows * tokens * channels * width
    if method == 0:
        data = fields.raw(size)
    elif method == 1:
        frame = fields.rest()
        data = unzstd(frame, size) if frame else bytes(size)
    elif method in (2, 3):
        data = _planes(fields, (channels, tokens, rows), width)
    else:
        raise Unsupported(f"lossless method {method}")
    fields.end()
    elements = np.frombuffer(data, f"<u{width}").reshape(rows, tokens, channels)
    if method == 3:
        elements = _summed(elements, floats=stream.dtype in _FLOATS)
    return elements.reshape(rows, *stream.row_shape), zlib.crc32(elements.tobytes())


def _planes(fields: Fields, shape: tuple[int, ...], width: int) -> bytes:
    """Elements (F, N, D) of byte planes of (D, N, F)."""
    count = int(np.prod(shape))
    planes = np.zeros((width, count), np.uint8)
    for number in range(width):
        frame = fields.blob() if number < width - 1 else fields.rest()
        if frame:
            planes[number] = np.frombuffer(unzstd(frame, count), np.uint8)
    return planes.reshape(width, *shape).transpose(3, 2, 1, 0).tobytes()


def _summed(folded: np.ndarray, *, floats: bool) -> np.ndarray:
    """Rows of differences to rows of elements."""
    width = 8 * folded.itemsize
    one, top = folded.dtype.type(1), folded.dtype.type(1 << width - 1)
    steps = np.where(folded & one, ~(folded >> one), folded >> one)
    ordered = np.cumsum(steps, axis=0, dtype=folded.dtype)
    return np.where(ordered & top, ordered ^ top, ~ordered) if floats else ordered
