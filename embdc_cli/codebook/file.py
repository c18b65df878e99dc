"""The `.embdcb` file: a codebook as bytes that check themselves.

    [8 B] magic  [u16] version  [u16] 0  [u32] header bytes  [u32] CRC-32 of the 16 bytes before
    header: canonical JSON, then its [u32] CRC-32
    sections MEAN EXPO SPEC BASI, then TABL TABR TABP if tables were trained, then LEVL in kind vq, then NETW in
    version 1, each:
        [4 B] name  [u32] payload bytes  [payload]  [u32] CRC-32 of name, length and payload
    [32 B] SHA-256 of everything before
Numbers are little-endian. MEAN, BASI and the first differences in EXPO and SPEC are matrices of integers: a class byte
for each row, then the rows' levels (`entropy.levels`, static tables). TABL, TABR and TABP are the planes, rounded and
paths of `entropy.coding_tables`, as `entropy.tables` writes them: 32 x 16, 32 x 16 and 64 x 16, all three or none.
LEVL has the levels that the header counts, one after the other, as `codec.vq.levels` writes them into archives; NETW
a network, as `codec.reconstruction.network` writes it. A codebook without a network is of version 0.
The file's name in archives is the SHA-256 of all its bytes.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Final

import numpy as np

from embdc_cli.codebook import header
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.sections import SectionReader, checked, pack_integers, section
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.reconstruction.network import MAX_BYTES, Network
from embdc_cli.codec.vq.levels import LearntLevel
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.entropy.tables import Tables
from embdc_cli.errors import CorruptArchive, SourceError, UnsupportedArchive
from embdc_cli.remote.filesystem import is_url
from embdc_cli.remote.object import RemoteObject

MAGIC: Final = b"\x8bEMBDCB\n"  # a first byte that is no text, and a line feed that text mode would change
VERSION: Final = 1
SUFFIX: Final = ".embdcb"
MAX_FILE_BYTES: Final = 1 << 28  # a full basis of 8192 channels is about 110 MB
MAX_TABLE_BYTES: Final = 1 << 18  # 256 rows x 256 symbols at most
MAX_LEVEL_BYTES: Final = 1 << 18  # 256 codewords of 64 entries, at most 8 bytes each, and what describes them
_FIRST_BYTES: Final = 1 << 20  # most codebooks behind URLs are one request
_LEVELS: Final = b"LEVL"
_NETWORK: Final = b"NETW"
_START = struct.Struct("<8sHHI")
_HASH_BYTES = 32
_TABLES: Final = {"planes": b"TABL", "rounded": b"TABR", "paths": b"TABP"}


def to_bytes(codebook: Codebook) -> bytes:
    """The file bytes of `codebook`: a function of its value alone."""
    about = {
        "channels": codebook.channels,
        "encoder": codebook.encoder,
        "kind": codebook.kind,
        "mean_exponent": codebook.mean_exponent,
        "rank": codebook.rank,
        "training": codebook.training,
    }
    fields = header.to_bytes(about | ({"levels": len(codebook.levels)} if codebook.levels else {}))
    parts = [
        checked(_START.pack(MAGIC, int(codebook.network is not None), 0, len(fields))),
        checked(fields),
        section(b"MEAN", pack_integers(codebook.mean[None])),
        section(b"EXPO", pack_integers(_differences(codebook.exponents))),
        section(b"SPEC", pack_integers(_differences(codebook.spectrum))),
        section(b"BASI", pack_integers(codebook.basis)),
    ]
    if codebook.tables is not None:
        parts += [section(name, getattr(codebook.tables, kind).to_bytes()) for kind, name in _TABLES.items()]
    if codebook.levels:
        parts.append(section(_LEVELS, _pack_levels(codebook.levels)))
    if codebook.network is not None:
        parts.append(section(_NETWORK, codebook.network.to_bytes()))
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def write(codebook: Codebook, path: str, *, force: bool = False) -> None:
    """Write `codebook` to `path`, complete or not at all. Raises OutputExists unless `force`."""
    from embdc_cli.output import atomic_output

    with atomic_output(path, force=force) as out:
        out.write(codebook.file_bytes)


def read(source: str | Path | bytes, *, digest: bytes | None = None) -> Codebook:
    """The codebook in a file, or in the bytes of one, whose SHA-256 has to be `digest` when given.

    Raises: SourceError when it cannot be read, UnsupportedArchive for a later version, CorruptArchive for anything
    that is not a whole, undamaged codebook.
    """
    where = "embedded" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_bytes(source)
    if digest is not None and hashlib.sha256(data).digest() != digest:
        found = hashlib.sha256(data).hexdigest()
        raise CorruptArchive(f"codebook: {where}: expected SHA-256 {digest.hex()}, found {found}")
    try:
        codebook = _parse(data, where)
    except ValueError as error:  # the value type refuses what the bytes say
        raise CorruptArchive(f"codebook: {where}: {error}") from error
    vars(codebook)["file_bytes"] = data  # the digest is that of the file, without coding it again
    return codebook


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file, or of an object behind a URL, that may be a codebook.

    Raises SourceError when it cannot be read or is far too large.
    """
    if is_url(path):
        return _object_bytes(str(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(f"codebook: {path}: {error.strerror or error}") from error
    _check_size(path, len(data))
    return data


def _object_bytes(url: str) -> bytes:
    found = RemoteObject(url, first_bytes=_FIRST_BYTES, copy_max=MAX_FILE_BYTES)
    try:
        _check_size(url, found.size)
        return found.read_all()
    finally:
        found.close()


def _check_size(path: str | Path, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise SourceError(f"codebook: {path}: expected at most {MAX_FILE_BYTES} bytes, found more")


def _parse(data: bytes, where: str) -> Codebook:
    if len(data) < _START.size or data[: len(MAGIC)] != MAGIC:
        raise CorruptArchive(f"codebook: {where}: not a codebook, expected the signature {MAGIC!r}")
    _, version, _, header_bytes = _START.unpack_from(data)
    if version > VERSION:
        raise UnsupportedArchive(
            f"codebook: {where}: format version {version}, this embdc reads up to {VERSION}",
            hint="install a newer embdc",
        )
    body = memoryview(data)[:-_HASH_BYTES]
    if len(data) < _START.size + _HASH_BYTES or hashlib.sha256(body).digest() != data[-_HASH_BYTES:]:
        raise CorruptArchive(f"codebook: {where}: checksum does not match, the file is damaged or cut short")
    reader = SectionReader(body, where)
    reader.checked(_START.size)
    fields = header.from_bytes(reader.checked(header_bytes), where)
    channels, rank = fields["channels"], fields["rank"]
    mean = reader.integers(b"MEAN", 1, channels)[0]
    exponents = reader.integers(b"EXPO", 1, rank)[0].cumsum(dtype=np.int64)
    spectrum = reader.integers(b"SPEC", 1, rank)[0].cumsum(dtype=np.int64)
    basis = reader.integers(b"BASI", rank, channels, zeros=False)
    vq = fields["kind"] == "vq"
    following = (_LEVELS,) * vq + (_NETWORK,) * version
    tables = _read_tables(reader) if reader.more and not any(map(reader.next_is, following)) else None
    levels = _read_levels(reader, fields["levels"], rank, where) if vq else ()
    network = _read_network(reader, where) if version else None
    reader.finish()
    return Codebook(
        mean=_narrow(mean, np.int16, "mean"),
        mean_exponent=fields["mean_exponent"],
        basis=_narrow(basis, np.int16, "basis"),
        exponents=_narrow(exponents, np.int8, "exponents"),
        spectrum=_narrow(spectrum, np.int16, "spectrum"),
        tables=tables,
        encoder=fields["encoder"],
        training=fields["training"],
        levels=levels,
        network=network,
    )


def _read_tables(reader: SectionReader) -> CodingTables:
    """Raises ValueError for tables of another size, CorruptArchive for anything else that is wrong."""
    read = {kind: Tables.from_bytes(reader.section(name, MAX_TABLE_BYTES)) for kind, name in _TABLES.items()}
    return CodingTables(**read)


def _pack_levels(levels: tuple[LearntLevel, ...]) -> bytes:
    out = FieldWriter()
    for level in levels:
        level.write(out)
    return out.bytes()


def _read_levels(reader: SectionReader, count: int, rank: int, where: str) -> tuple[LearntLevel, ...]:
    fields = FieldReader(reader.section(_LEVELS, count * MAX_LEVEL_BYTES), f"codebook: {where}: levels")
    levels = tuple(LearntLevel.read(fields, rank) for _ in range(count))
    fields.end()
    return levels


def _read_network(reader: SectionReader, where: str) -> Network:
    fields = FieldReader(reader.section(_NETWORK, MAX_BYTES), f"codebook: {where}: network")
    network = Network.read(fields)
    fields.end()
    return network


def _narrow(values: np.ndarray, dtype: type[np.signedinteger], name: str) -> np.ndarray:
    """`values` as `dtype`. Raises ValueError when one does not fit."""
    limits = np.iinfo(dtype)
    if values.min() < limits.min or values.max() > limits.max:
        raise ValueError(f"{name}: expected {limits.min} to {limits.max}, found {values.min()} to {values.max()}")
    return values.astype(dtype)


def _differences(values: np.ndarray) -> np.ndarray:
    return np.diff(values.astype(np.int32), prepend=0)[None]
