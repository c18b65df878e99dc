"""The codebook file: one value, one file; no damage passes; hostile sizes are refused before they cost anything."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.codebook import file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.entropy.tables import ESCAPE, Tables
from embdc_cli.errors import CorruptArchive, OutputExists, SourceError, UnsupportedArchive
from tests.codebook.codebook_cases import make_codebook, make_tables

SHAPES = [(1, 1), (2, 1), (7, 7), (12, 9), (64, 3)]


@pytest.mark.parametrize(("channels", "rank"), SHAPES)
def test_a_file_gives_back_the_value(channels: int, rank: int) -> None:
    codebook = make_codebook(channels, rank)
    back = file.read(file.to_bytes(codebook))
    for name in ("mean", "basis", "exponents", "spectrum"):
        assert np.array_equal(getattr(back, name), getattr(codebook, name)), name
        assert getattr(back, name).dtype == getattr(codebook, name).dtype, name
    assert (back.mean_exponent, back.encoder, back.training) == (-7, codebook.encoder, codebook.training)
    assert back.tables is None
    assert file.to_bytes(back) == codebook.file_bytes


def test_tables_of_three_kinds_travel_with_the_codebook() -> None:
    codebook = make_codebook(tables=make_tables())
    back = file.read(codebook.file_bytes)
    assert back.tables == make_tables()
    assert file.to_bytes(back) == codebook.file_bytes
    assert len({codebook.digest, make_codebook().digest, make_codebook(tables=make_tables(1)).digest}) == 3


def test_equal_values_have_equal_bytes_and_others_do_not() -> None:
    a, b, c = make_codebook(), make_codebook(), make_codebook(seed=1)
    assert a == b
    assert hash(a) == hash(b)
    assert a.digest == b.digest == hashlib.sha256(a.file_bytes).digest()
    assert a != c
    assert a != make_codebook(encoder=None)
    assert a != "a codebook"


def test_written_files_are_read_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.embdcb"
    codebook = make_codebook()
    file.write(codebook, str(path))
    assert path.read_bytes() == codebook.file_bytes
    assert file.read(path) == codebook
    with pytest.raises(OutputExists):
        file.write(make_codebook(seed=1), str(path))
    file.write(make_codebook(seed=1), str(path), force=True)
    assert file.read(str(path)) == make_codebook(seed=1)


def test_a_missing_file_and_a_folder_are_source_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.embdcb", tmp_path):
        with pytest.raises(SourceError, match=str(path)):
            file.read(path)


def test_a_file_under_another_name_than_its_hash_is_corrupt() -> None:
    codebook = make_codebook()
    assert file.read(codebook.file_bytes, digest=codebook.digest) == codebook
    with pytest.raises(CorruptArchive, match="expected SHA-256 0000"):
        file.read(codebook.file_bytes, digest=bytes(32))


def test_every_truncation_is_noticed() -> None:
    data = make_codebook().file_bytes
    for size in range(len(data)):
        with pytest.raises(CorruptArchive):
            file.read(data[:size])


def test_bytes_after_the_end_are_noticed() -> None:
    with pytest.raises(CorruptArchive):
        file.read(make_codebook().file_bytes + b"\0")


def test_every_flipped_bit_is_noticed() -> None:
    data = make_codebook(5, 4, tables=make_tables()).file_bytes
    for bit in range(8 * len(data)):
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptArchive, UnsupportedArchive)):
            file.read(bytes(spoiled))


def test_a_later_version_says_both_numbers() -> None:
    data = bytearray(make_codebook().file_bytes)
    data[8] = 3
    with pytest.raises(UnsupportedArchive, match="version 3, this embdc reads up to 1"):
        file.read(bytes(data))


def forge(codebook: Codebook, **changes: object) -> bytes:
    """The codebook's file with header fields replaced and every checksum made right again."""
    data = codebook.file_bytes
    size = struct.unpack_from("<I", data, 12)[0]
    header = json.loads(data[20 : 20 + size]) | changes
    raw = json.dumps(header).encode()
    start = data[:12] + struct.pack("<I", len(raw))
    body = start + _crc(start) + raw + _crc(raw) + data[24 + size : -32]
    return body + hashlib.sha256(body).digest()


def _crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


SIZE = "impossible size"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": 13}, "expected|integers|bytes"),
        ({"channels": 0}, SIZE),
        ({"channels": 12.0}, SIZE),
        ({"channels": True}, SIZE),
        ({"channels": None}, SIZE),
        ({"channels": 1 << 40, "rank": 1 << 39}, SIZE),
        ({"channels": 60000, "rank": 60000}, SIZE),
        ({"rank": 13}, SIZE),
        ({"rank": -1}, SIZE),
        ({"rank": 10}, "expected"),
        ({"rank": 8}, "expected"),
        ({"mean_exponent": 1 << 70}, "mean_exponent"),
        ({"mean_exponent": "x"}, "mean_exponent"),
        ({"training": {"inputs": [[]]}}, "training"),
        ({"training": None}, "training"),
        ({"encoder": "vit"}, "encoder"),
        ({"encoder": {"name": "vit"}}, "encoder"),
        ({"encoder": {"name": "vit", "layer": "x", "weights_sha256": None}}, "encoder"),
        ({"later": "x" * (1 << 16)}, "header of"),
    ],
)
def test_headers_that_lie_are_corrupt(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CorruptArchive, match=words):
        file.read(forge(make_codebook(), **changes))


def sealed(body: bytes) -> bytes:
    """A file whose closing hash is right, whatever is before it."""
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda body: body + b"more", "expected section b'TABL'"),
        (lambda body: body + _tables() + b"more", "bytes after the last section"),
        (lambda body: body + _tables()[: -len(_tables("TABP"))], "expected section b'TABP'"),
        (lambda body: body + _tables("TABL", "TABP", "TABR"), "expected section b'TABR'"),
        (lambda body: body + _tables()[: -len(_tables("TABP")) - 9], "byte .*: expected .* bytes more, file ends"),
        (lambda body: body + _tables(TABR=make_tables().rounded.to_bytes()[:-3]), "raw bits: expected .* bytes, found"),
        (lambda body: body + _tables(TABR=make_tables().paths.to_bytes()), "rounded: expected 32 x 16 tables"),
        (lambda body: body + _tables(TABP=make_tables().planes.to_bytes()), "paths: expected 64 x 16 tables"),
        (lambda body: body + _tables(TABL=_without(0)), "planes: expected .* code 0 and escape"),
        (lambda body: body + _tables(TABL=_without(ESCAPE)), "planes: expected .* code 0 and escape"),
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), "CRC-32"),
        (lambda body: body[:-9], "file ends"),
        (lambda body: body.replace(b"MEAN", b"MEAM"), "expected section b'MEAN'"),
        (lambda body: body[: body.index(b"MEAN")] + _section(b"MEAN", bytes(10**5)), "at most .* bytes, found"),
        (lambda body: body[: body.index(b"MEAN")] + _section(b"MEAN", b"\xff" + bytes(20)), "classes below"),
        (lambda body: body[:20] + b"[" + body[21:], "byte 20: CRC-32"),
        (lambda body: body[:10] + b"x" + body[11:], "byte 0: CRC-32"),
    ],
)
def test_sections_that_lie_are_corrupt_even_under_a_right_hash(spoil: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(CorruptArchive, match=words):
        file.read(sealed(spoil(make_codebook().file_bytes[:-32])))


@pytest.mark.parametrize(
    "header", [b"", b"[]", b"{", b"[" * 30_000, b'{"kind":"transform","rank":' + b"9" * 6000 + b"}"]
)
def test_headers_that_are_no_objects_are_corrupt(header: bytes) -> None:
    data = make_codebook().file_bytes
    start = data[:12] + struct.pack("<I", len(header))
    with pytest.raises(CorruptArchive, match="header"):
        file.read(sealed(start + _crc(start) + header + _crc(header)))


@given(
    st.sampled_from([b"MEAN", b"EXPO", b"SPEC", b"BASI", b"TABL", b"TABR", b"TABP"]),
    st.binary(max_size=80),
    st.booleans(),
)
def test_any_payload_is_read_or_corrupt(name: bytes, payload: bytes, keep: bool) -> None:
    body = make_codebook(tables=make_tables()).file_bytes[:-32]
    start = body.index(name)
    size = struct.unpack_from("<I", body, start + 4)[0]
    old = body[start + 8 : start + 8 + size]
    replaced = _section(name, payload + old[len(payload) :] if keep else payload)
    try:
        file.read(sealed(body[:start] + replaced + body[start + 12 + size :]))
    except CorruptArchive:
        return


TABLES = {"TABL": "planes", "TABR": "rounded", "TABP": "paths"}


def _tables(*names: str, **payloads: bytes) -> bytes:
    """Sections of tables, all by default, with other payloads than `make_tables` has."""
    own = {name: getattr(make_tables(), kind).to_bytes() for name, kind in TABLES.items()} | payloads
    return b"".join(_section(name.encode(), own[name]) for name in names or TABLES)


def _without(symbol: int) -> bytes:
    """Planes in which one symbol cannot be coded in one row."""
    freq = make_tables().planes.freq.copy()
    freq[7, 5] += freq[7, symbol]
    freq[7, symbol] = 0
    return Tables(freq).to_bytes()


def _section(name: bytes, payload: bytes) -> bytes:
    section = name + struct.pack("<I", len(payload)) + payload
    return section + _crc(section)


def test_unknown_header_fields_are_ignored_and_kept_in_the_digest() -> None:
    data = forge(make_codebook(), later="x")
    back = file.read(data)
    assert np.array_equal(back.basis, make_codebook().basis)
    assert back.digest == hashlib.sha256(data).digest()


def test_another_kind_of_codebook_is_unsupported() -> None:
    with pytest.raises(UnsupportedArchive, match="expected kind 'transform' or 'vq', found 'pq'"):
        file.read(forge(make_codebook(), kind="pq"))


def test_a_full_basis_of_a_thousand_channels_is_well_under_two_megabytes() -> None:
    channels = 1024
    rng = np.random.default_rng(0)
    codebook = Codebook(
        mean=np.zeros(channels, np.int16),
        mean_exponent=0,
        basis=np.round(rng.normal(0, 128, (channels, channels))).astype(np.int16),
        exponents=np.full(channels, -12, np.int8),
        spectrum=np.zeros(channels, np.int16),
        tables=None,
        encoder=None,
        training={},
    )
    assert len(codebook.file_bytes) < 1_250_000
    assert file.read(codebook.file_bytes) == codebook
