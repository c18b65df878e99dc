"""The members of a zip file, checked against tricks before any of them is read.

Refused: encryption, two members of one name, members that overlap or lie outside the file (the densest zip bombs
are built of overlaps), local headers that name something else than the directory does.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import Final

from embdc_cli.errors import SourceError
from embdc_cli.source.location import InputFile
from embdc_cli.source.positioned import PositionedFile

ZIP_ERRORS: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, EOFError, ValueError, OSError)
_LOCAL = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """data_offset: of the first stored byte in the file."""

    info: zipfile.ZipInfo
    data_offset: int

    @property
    def stored(self) -> bool:
        return self.info.compress_type == zipfile.ZIP_STORED


def open_zip(source: InputFile) -> zipfile.ZipFile:
    """The zip file `source`, its directory read; SourceError when it has none."""
    try:
        return zipfile.ZipFile(source.named())
    except ZIP_ERRORS as error:
        raise SourceError(f"{source.shown}: truncated or damaged zip file, {error}") from error


def zip_members(archive: zipfile.ZipFile, file: PositionedFile) -> list[Member]:
    """All members of `archive` but folders, in directory order; SourceError for what is damaged or dangerous."""
    members = [_member(info, file) for info in archive.infolist() if not info.filename.endswith("/")]
    end, total = 0, file.size
    for member in sorted(members, key=lambda member: member.info.header_offset):
        if member.info.header_offset < end:
            raise SourceError(f"{file.shown}: {member.info.filename} overlaps another member of the zip file")
        end = member.data_offset + member.info.compress_size
        if end > total:
            raise SourceError(
                f"{file.shown}: truncated, {member.info.filename} ends at byte {end}, the file at {total}"
            )
    return members


def _member(info: zipfile.ZipInfo, file: PositionedFile) -> Member:
    where = f"{file.shown}: {info.filename}"
    if info.flag_bits & _ENCRYPTED:
        raise SourceError(f"{where} is encrypted")
    fields = _LOCAL.unpack(file.read_exactly(info.header_offset, _LOCAL.size))
    name_bytes, extra_bytes = fields[-2:]
    name = file.read_exactly(info.header_offset + _LOCAL.size, name_bytes)
    if fields[0] != b"PK\x03\x04" or name != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise SourceError(f"{where}: expected its local header at byte {info.header_offset}, found another")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SourceError(f"{where}: compression method {info.compress_type}, expected stored or deflated")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise SourceError(f"{where}: stored as {info.compress_size} bytes, declared {info.file_size}")
    return Member(info, info.header_offset + _LOCAL.size + name_bytes + extra_bytes)
