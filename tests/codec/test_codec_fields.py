"""Fields of models and payloads: round trips, and every way in which bytes can be missing or too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.codec.bounded_zstd import compress, decompress
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.errors import CorruptArchive


@given(st.integers(0, 2**63 - 1), st.binary(max_size=300), st.floats(allow_nan=False), st.integers(-128, 127))
def test_fields_come_back(number: int, blob: bytes, value: float, small: int) -> None:
    out = FieldWriter()
    out.varint(number)
    out.blob(blob)
    out.float64(value)
    out.signed_byte(small)
    out.byte(255)
    fields = FieldReader(out.bytes(), "test")
    assert fields.varint(limit=2**63) == number
    assert bytes(fields.blob()) == blob
    assert (fields.float64(), fields.signed_byte(), fields.byte()) == (value, small, 255)
    fields.end()


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"", lambda f: f.byte()),
        (b"\x05", lambda f: f.byte(limit=4)),
        (b"\x80\x01", lambda f: f.varint(limit=127)),
        (b"\xff" * 12, lambda f: f.varint(limit=2**63)),
        (b"\x80", lambda f: f.varint(limit=2**63)),
        (b"\x04abc", lambda f: f.blob()),
        (b"\xff\xff\xff\xff\x7f", lambda f: f.blob()),
        (b"\x00" * 7, lambda f: f.float64()),
        (b"\x00", lambda f: f.end()),
    ],
)
def test_missing_and_excessive_bytes_are_corrupt(data: bytes, read) -> None:  # type: ignore[no-untyped-def]  # lambdas
    with pytest.raises(CorruptArchive, match="test: byte"):
        read(FieldReader(data, "test"))


@given(st.binary(max_size=5000))
def test_zstd_of_known_size_comes_back(data: bytes) -> None:
    assert decompress(compress(data), len(data), "test") == data


def test_zstd_that_claims_or_holds_another_size_is_refused() -> None:
    import zstandard

    million = bytes(1_000_000)
    claiming = zstandard.ZstdCompressor().compress(million)
    silent = compress(million)
    for frame in (claiming, silent):
        for size in (0, 10, 999_999, 1_000_001):
            with pytest.raises(CorruptArchive):
                decompress(frame, size, "test")
        with pytest.raises(CorruptArchive):
            decompress(frame + b"x", len(million), "test")
        with pytest.raises(CorruptArchive):
            decompress(frame[:-1], len(million), "test")
    with pytest.raises(CorruptArchive):
        decompress(b"not zstd", 8, "test")
