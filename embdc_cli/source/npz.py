"""npz files: stored members are read where they lie, deflated ones are inflated to a scratch file.

Every selected member's CRC-32 is checked before its first row is given out.
"""

from __future__ import annotations

import zipfile
import zlib
from contextlib import ExitStack
from typing import BinaryIO, Final

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.scratch import discard, disk_errors, scratch_file, scratch_folder
from embdc_cli.source.candidate import Candidate, Contents, Reader
from embdc_cli.source.file_rows import file_rows
from embdc_cli.source.location import InputFile
from embdc_cli.source.npy import read_header_at, truncated
from embdc_cli.source.npy_header import NpyHeader, read_npy_header
from embdc_cli.source.positioned import PositionedFile
from embdc_cli.source.zip_members import ZIP_ERRORS, Member, open_zip, zip_members

_PIECE = 1 << 20
_SUFFIX = ".npy"
BOMB_BYTES: Final = 256 << 20
BOMB_RATIO: Final = 200
"""A member that inflates to more than BOMB_BYTES and BOMB_RATIO times its size is refused; deflate's limit is 1032."""


def npz_contents(source: InputFile, spool_max: int) -> Contents:
    """The arrays of an npz file under their keys; at most `spool_max` bytes of them may have to be inflated.

    Raises SourceError for damage, a size that is not the one the npy header declares, and a zip bomb.
    """
    with ExitStack() as stack:
        file = source.positioned()
        stack.callback(file.close)
        archive = stack.enter_context(open_zip(source))
        scratch = Scratch(archive, spool_max)
        stack.callback(scratch.close)
        candidates, skipped = [], []
        for member in zip_members(archive, file):
            if member.info.filename.endswith(_SUFFIX):
                candidates.append(_candidate(file, archive, member, scratch))
            else:
                skipped.append(member.info.filename)
        return Contents(candidates, skipped=skipped, close=stack.pop_all().close)


def _candidate(file: PositionedFile, archive: zipfile.ZipFile, member: Member, scratch: Scratch) -> Candidate:
    name = member.info.filename.removesuffix(_SUFFIX)
    where = f"{file.shown}: {name}"
    if member.stored:
        header = read_header_at(file, member.data_offset)
    else:
        try:
            with archive.open(member.info) as stream:
                header = read_npy_header(stream.read, where)
        except (*ZIP_ERRORS, zlib.error) as error:
            raise SourceError(f"{where}: corrupt, {error}") from error

    def open_member() -> Reader:
        _check_size(where, member, header)
        if member.stored:
            _check_crc(where, file, member)
            data, start = file, member.data_offset
        else:
            data, start = scratch.inflate(where, member)
        return file_rows(data, start + header.data_offset, header.dtype, header.shape, fortran=header.fortran)

    return Candidate(name, header.name, header.shape, open_member)


def _check_size(where: str, member: Member, header: NpyHeader) -> None:
    declared = member.info.file_size
    if declared != header.data_offset + header.data_bytes:
        raise truncated(where, header, declared)
    if declared > BOMB_BYTES and declared > BOMB_RATIO * member.info.compress_size:
        raise SourceError(
            f"{where}: {member.info.compress_size} bytes inflate to {declared}, expected at most {BOMB_RATIO} times",
            hint="if this is no zip bomb, save it with numpy.savez, which does not compress",
        )


def _check_crc(where: str, file: PositionedFile, member: Member) -> None:
    crc, offset, end = 0, member.data_offset, member.data_offset + member.info.file_size
    while offset < end:
        piece = file.read_exactly(offset, min(_PIECE, end - offset))
        crc = zlib.crc32(piece, crc)
        offset += len(piece)
    if crc != member.info.CRC:
        raise SourceError(f"{where}: corrupt, CRC-32 expected {member.info.CRC:08x}, found {crc:08x}")


class Scratch:
    """One scratch file for all inflated members, made when the first one is."""

    def __init__(self, archive: zipfile.ZipFile, limit: int) -> None:
        self._archive = archive
        self._limit = limit
        self._used = 0
        self._file: BinaryIO | None = None

    def inflate(self, where: str, member: Member) -> tuple[PositionedFile, int]:
        """Inflate `member`, checking its CRC; returns the scratch file and the offset of the member's first byte."""
        start = self._used
        self._used += member.info.file_size
        if self._used > self._limit:
            raise ResourceError(
                f"{where}: inflated members need more than {self._limit} bytes of scratch space",
                hint="raise --spool-max, or save with numpy.savez, which does not compress",
            )
        if self._file is None:
            self._file = scratch_file()
        try:
            with self._archive.open(member.info) as stream:
                for piece in iter(lambda: stream.read(_PIECE), b""):
                    with disk_errors(scratch_folder()):
                        self._file.write(piece)
        except (*ZIP_ERRORS, zlib.error) as error:
            raise SourceError(f"{where}: corrupt, {error}") from error
        with disk_errors(scratch_folder()):
            self._file.flush()
        return PositionedFile(self._file, where), start

    def close(self) -> None:
        if self._file is not None:
            discard(self._file)
