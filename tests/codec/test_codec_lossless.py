"""The lossless codec: every bit pattern of every dtype comes back, and no chunk is larger than zstd makes it."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli import dtypes
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.table import ChunkKind, LosslessMethod, codec_for
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import LIMITS, rows_of, spec_of

SHAPES = [(0, 3), (1,), (7,), (1, 1, 1), (5, 3, 2), (64, 10), (3, 0, 2), (2, 3, 4, 5)]


def there_and_back(rows: np.ndarray, spec: StreamSpec) -> bytes:
    encoded = LosslessCodec(spec).encode(rows)
    decoder = codec_for(ChunkKind.LOSSLESS, spec, b"", LIMITS, lambda digest: pytest.fail(str(digest)))
    values, crc = decoder.decode(encoded.payload, len(rows))
    assert values.tobytes() == rows.tobytes() == encoded.decoded.tobytes()
    assert (values.shape, values.dtype) == (rows.shape, rows.dtype)
    assert crc == encoded.symbol_crc == zlib.crc32(rows.tobytes())
    return encoded.payload


@pytest.mark.parametrize("dtype", dtypes.STORAGE)
@pytest.mark.parametrize("shape", SHAPES)
def test_random_bits_come_back(shape: tuple[int, ...], dtype: str) -> None:
    stored = dtypes.storage(dtype)
    count = int(np.prod(shape)) * stored.itemsize
    raw = np.random.default_rng(count).integers(0, 2 if dtype == "bool" else 256, count, dtype=np.uint8)
    there_and_back(raw.view(stored).reshape(shape), spec_of(shape, dtype))


@pytest.mark.parametrize(
    ("dtype", "patterns"),
    [
        ("float16", [0x0000, 0x8000, 0x0001, 0x83FF, 0x7C00, 0xFC00, 0x7C01, 0x7E00, 0xFFFF, 0x7BFF, 0xFBFF]),
        ("bfloat16", [0x0000, 0x8000, 0x0001, 0x807F, 0x7F80, 0xFF80, 0x7F81, 0x7FC0, 0xFFFF, 0x7F7F]),
        (
            "float32",
            [0, 1 << 31, 1, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC12345, 0xFFFFFFFF],
        ),
    ],
)
@pytest.mark.parametrize("layout", ["one row", "one channel", "both"])
def test_special_values_come_back(dtype: str, patterns: list[int], layout: str) -> None:
    width = dtypes.item_bytes(dtype)
    bits = np.array(patterns, f"<u{width}").view(dtypes.storage(dtype))
    rows = {"one row": bits[None], "one channel": bits[:, None], "both": np.tile(bits, (len(bits), 3, 1))}[layout]
    there_and_back(rows, spec_of(rows.shape, dtype))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["float16", "bfloat16", "float32", "int64", "bool"]), st.binary(max_size=800))
def test_any_bytes_come_back(dtype: str, raw: bytes) -> None:
    stored = dtypes.storage(dtype)
    whole = bytes(b & 1 for b in raw) if dtype == "bool" else raw
    array = np.frombuffer(whole[: len(raw) // stored.itemsize * stored.itemsize], stored)
    rows = array[: len(array) // 4 * 4].reshape(-1, 2, 2)
    there_and_back(rows, spec_of(rows.shape, dtype))


@pytest.mark.parametrize("kind", ["moving", "noise", "constant", "zero", "sparse", "tiny"])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5), (64, 20, 6)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_no_chunk_is_larger_than_zstd(dtype: str, shape: tuple[int, ...], kind: str) -> None:
    rows = rows_of(kind, shape, dtype)
    payload = there_and_back(rows, spec_of(shape, dtype))
    assert len(payload) <= len(zstandard.ZstdCompressor(level=9).compress(rows.tobytes())) + 16
    assert len(payload) <= rows.nbytes + 1


def unlike_rows() -> np.ndarray:
    """Rows that have only the scales of their channels in common."""
    return (rows_of("noise", (200, 40)) * np.exp2(np.arange(40.0) - 20)).astype(np.float32)


def still(dtype: str) -> np.ndarray:
    base = rows_of("noise", (1, 30, 16))
    return dtypes.from_float32(base + 0.01 * rows_of("noise", (40, 30, 16), seed=1), dtype)


@pytest.mark.parametrize(
    ("rows", "method"),
    [
        (np.random.default_rng(0).integers(0, 2**16, (9, 50), dtype=np.uint16), LosslessMethod.STORED),
        (np.tile(np.random.default_rng(1).integers(0, 2**16, 200, dtype=np.uint16), (9, 1)), LosslessMethod.ZSTANDARD),
        (unlike_rows(), LosslessMethod.CHANNEL_PLANES),
        (still("float16"), LosslessMethod.DELTA_CHANNEL_PLANES),
        (np.arange(4000, dtype=np.int64).reshape(-1, 1), LosslessMethod.DELTA_CHANNEL_PLANES),
    ],
)
def test_each_method_wins_where_it_should(rows: np.ndarray, method: LosslessMethod) -> None:
    assert there_and_back(rows, spec_of(rows.shape, str(rows.dtype)))[0] == method


def test_ragged_rows_come_back() -> None:
    counts = [2, 0, 3]
    flat = rows_of("noise", (5, 4), "bfloat16")
    spec = StreamSpec("data", "bfloat16", "t,n,c", (4,), 3, ragged=True)
    codec = LosslessCodec(spec, LIMITS)
    values, _ = codec.decode(codec.encode(flat, counts).payload, 3, counts)
    assert values.tobytes() == flat.tobytes()


def test_memory_layout_does_not_change_bytes() -> None:
    rows = rows_of("moving", (12, 5, 6), "float16")
    spec = spec_of(rows.shape, "float16")
    layouts = [rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=1)[:, ::2]]
    assert len({LosslessCodec(spec).encode(array).payload for array in layouts}) == 1
