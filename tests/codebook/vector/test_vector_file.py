"""Files of kind vq: levels travel, damage is noticed, and what a file claims is refused before it costs anything."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.codebook import file
from embdc_cli.codec.vq.levels import MAX_LEVELS
from embdc_cli.errors import CorruptArchive, UnsupportedArchive
from tests.codebook.codebook_cases import make_codebook, make_tables
from tests.codebook.test_codebook_file import forge, sealed
from tests.codebook.vector.vector_cases import make_levels, make_vector_codebook


def section(name: bytes, payload: bytes) -> bytes:
    whole = name + struct.pack("<I", len(payload)) + payload
    return whole + struct.pack("<I", zlib.crc32(whole))


@pytest.mark.parametrize("tables", [False, True])
def test_a_file_gives_back_its_levels(tables: bool) -> None:
    codebook = replace(make_vector_codebook(), tables=make_tables() if tables else None)
    back = file.read(codebook.file_bytes)
    assert (back.kind, back.tables) == ("vq", codebook.tables)
    assert len(back.levels) == 3
    for found, level in zip(back.levels, codebook.levels, strict=True):
        assert np.array_equal(found.channels, level.channels)
        assert np.array_equal(found.codes, level.codes)
        assert found.exponent == level.exponent
    assert file.to_bytes(back) == codebook.file_bytes


def test_a_codebook_without_levels_is_what_it_was() -> None:
    codebook = make_codebook()
    assert b"LEVL" not in codebook.file_bytes
    assert b'"levels"' not in codebook.file_bytes
    digest = "e5ccbf9e464ab06068be3e345f070b7b6091b557460747314adac79906af0834"  # before there were levels
    assert hashlib.sha256(codebook.file_bytes).hexdigest() == digest
    assert file.read(codebook.file_bytes).kind == "transform"


def test_every_flipped_bit_and_truncation_is_noticed() -> None:
    data = make_vector_codebook(5, 4).file_bytes
    for bit in range(8 * len(data)):
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptArchive, UnsupportedArchive)):
            file.read(bytes(spoiled))
    for size in range(len(data)):
        with pytest.raises(CorruptArchive):
            file.read(data[:size])


@pytest.mark.parametrize("levels", [None, 0, -1, True, 3.0, MAX_LEVELS + 1, 1 << 40, "3"])
def test_impossible_counts_of_levels_are_refused(levels: object) -> None:
    with pytest.raises(CorruptArchive, match="levels: expected 1 to"):
        file.read(forge(make_vector_codebook(), levels=levels))


@pytest.mark.parametrize("levels", [2, 4, MAX_LEVELS])
def test_other_counts_than_there_are_levels_are_corrupt(levels: int) -> None:
    with pytest.raises(CorruptArchive, match="levels"):
        file.read(forge(make_vector_codebook(), levels=levels))


def test_a_section_of_levels_that_claims_too_much_is_refused_by_its_length() -> None:
    body = make_vector_codebook().file_bytes[:-32]
    huge = body[: body.index(b"LEVL")] + section(b"LEVL", bytes(3 * file.MAX_LEVEL_BYTES + 1))
    with pytest.raises(CorruptArchive, match=r"at most .* bytes, found b'LEVL'"):
        file.read(sealed(huge))


def test_levels_of_coefficients_that_the_basis_has_not_are_corrupt() -> None:
    with pytest.raises(ValueError, match="coefficients below 9"):
        replace(make_vector_codebook(), levels=make_levels(12, rank=12))
    wide = make_vector_codebook(12, 12).file_bytes[:-32]
    narrow = make_vector_codebook(12, 2).file_bytes[:-32]
    with pytest.raises(CorruptArchive, match="channels"):
        file.read(sealed(narrow[: narrow.index(b"LEVL")] + wide[wide.index(b"LEVL") :]))


@given(st.binary(max_size=80), st.booleans())
def test_any_levels_are_read_or_corrupt(payload: bytes, keep: bool) -> None:
    body = make_vector_codebook().file_bytes[:-32]
    start = body.index(b"LEVL")
    old = body[start + 8 : -4]
    try:
        file.read(sealed(body[:start] + section(b"LEVL", payload + old[len(payload) :] if keep else payload)))
    except CorruptArchive:
        return
