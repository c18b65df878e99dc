"""npy files."""

from __future__ import annotations

from embdc_cli.dump_formats import SINGLE
from embdc_cli.errors import SourceError
from embdc_cli.source.candidate import Candidate, Contents
from embdc_cli.source.file_rows import file_rows
from embdc_cli.source.location import InputFile
from embdc_cli.source.npy_header import NpyHeader, read_npy_header
from embdc_cli.source.positioned import PositionedFile


def npy_contents(source: InputFile) -> Contents:
    """The one array of an npy file, called `data`; SourceError when the file is shorter than it declares."""
    file = source.positioned()
    try:
        header = read_header_at(file, 0)
    except SourceError:
        file.close()
        raise
    candidate = npy_candidate(SINGLE, file, 0, header)
    contents = Contents([candidate], close=file.close)
    # of an object array the declared bytes mean nothing
    missing = header.data_offset + header.data_bytes - file.size
    if candidate.storable and missing > 0:
        file.close()
        raise truncated(source.shown, header, file_bytes=header.data_offset + header.data_bytes - missing)
    if candidate.storable and missing < 0:
        contents.warnings.append(f"{source.shown}: {-missing} bytes after the array are ignored")
    return contents


def read_header_at(file: PositionedFile, offset: int) -> NpyHeader:
    """The npy header at `offset` of `file`; its data_offset counts from there."""
    position = offset

    def read(size: int) -> bytes:
        nonlocal position
        data = file.read_up_to(position, size)
        position += len(data)
        return data

    return read_npy_header(read, file.shown)


def npy_candidate(name: str, file: PositionedFile, offset: int, header: NpyHeader) -> Candidate:
    """The array of the npy data at `offset` of `file`."""
    return Candidate(
        name,
        header.name,
        header.shape,
        lambda: file_rows(file, offset + header.data_offset, header.dtype, header.shape, fortran=header.fortran),
    )


def truncated(shown: str, header: NpyHeader, file_bytes: int) -> SourceError:
    """The error for npy data shorter than its header declares."""
    expected = header.data_offset + header.data_bytes
    return SourceError(
        f"{shown}: truncated, shape {header.shape} of {header.name} needs {expected} bytes, found {file_bytes}"
    )
