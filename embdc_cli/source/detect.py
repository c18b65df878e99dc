"""Which format an input has: by its content, with the suffix as second opinion where content cannot tell."""

from __future__ import annotations

import os
import re
import struct
import zipfile
from pathlib import Path, PurePath
from typing import BinaryIO, Final

from embdc_cli.dump_formats import FORMATS, SUFFIXES
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.remote.filesystem import is_url
from embdc_cli.source.location import InputFile, check_regular, first_bytes
from embdc_cli.source.signatures import by_signature, describe, is_text

HEAD_BYTES: Final = 64 << 10
INPUT_FORMATS: Final = (*FORMATS, "video")

# what PyAV may know although no signature above does
_VIDEO_SUFFIXES = re.compile(
    r"\.(mp4|m4v|mov|mkv|webm|avi|ts|m2ts|mpe?g|wmv|flv|ogv|3gp|h26[45]|hevc|ivf|y4m|gif|mxf|vob)"
)
_TORCH_FIRST = re.compile(r"[^/]+/(data\.pkl|version|byteorder|\.format_version|\.storage_alignment|data/\d+)")


def detect_format(
    source: str | Path | bytes | InputFile, options: EncodeOptions | None = None, *, name: str = ""
) -> str:
    """One of npy, npz, safetensors, h5, pt, raw, video, embdc (an archive).

    source: a local path, a fsspec URL, what is opened already, or the first 64 KiB of a stream; name: what to call it.
    options: --input-format and --raw decide where they are given; nothing else makes an input raw.
    Raises SourceError for a missing or empty input and for content that embdc does not read, saying what it is.
    """
    if options is not None and (form := chosen_format(options)) is not None:
        if options.input_format is None:
            _check_bare(source, name)
        return form
    if isinstance(source, bytes):
        return _judge(source, name or "input", None)
    if isinstance(source, InputFile):
        return _judge(_head(source), source.shown, source.named())
    text = os.fspath(source)
    url = is_url(text)
    return _judge(_head(text), text if url else name or text, None if url else text)


def chosen_format(options: EncodeOptions) -> str | None:
    """The format that --raw or --input-format name, None when the content decides; UsageError for an unknown one."""
    if options.input_format is None:
        return "raw" if options.raw is not None else None
    if options.input_format not in INPUT_FORMATS:
        found = repr(options.input_format)
        raise UsageError(f"--input-format: expected one of {', '.join(INPUT_FORMATS)}, found {found}")
    if options.raw is not None and options.input_format != "raw":
        raise UsageError(f"--raw describes raw input, found --input-format {options.input_format}")
    if options.raw is None and options.input_format == "raw":
        raise UsageError(
            "--input-format raw: expected --raw as well", hint="for example --raw dtype=f16,shape=?x196x192"
        )
    return options.input_format


def _check_bare(source: str | Path | bytes | InputFile, name: str) -> None:
    """UsageError when what --raw describes begins as a video does."""
    if isinstance(source, bytes):
        head, shown = source, name
    else:
        head, shown = _head(source), source.shown if isinstance(source, InputFile) else name or os.fspath(source)
    if by_signature(head) == "video":
        raise UsageError(
            f"--raw: {shown}: expected bare numbers, found video",
            hint="leave out --raw, or say --input-format raw as well",
        )


def _head(source: str | Path | InputFile) -> bytes:
    if not isinstance(source, InputFile):
        path = os.fspath(source)
        if is_url(path):
            return first_bytes(path, HEAD_BYTES)
        check_regular(path)
        source = InputFile(path, path)
    file = source.positioned()
    try:
        return file.read_up_to(0, HEAD_BYTES)
    finally:
        file.close()


def _judge(head: bytes, name: str, path: str | BinaryIO | None) -> str:
    """The format of content starting with `head`; `path`, or a file, is given when more of it can be looked at."""
    if not head:
        raise SourceError(f"{name}: empty, 0 bytes")
    suffix = PurePath(name).suffix.lower()
    found = by_signature(head)
    if found == "zip":
        found = _zip_format(head, path) or {".npz": "npz", ".pt": "pt", ".pth": "pt"}.get(suffix)
        if found is None:
            raise SourceError(f"{name}: expected a dump or a video, found a zip archive without arrays")
    if found is not None:
        return found
    if _VIDEO_SUFFIXES.fullmatch(suffix) and not is_text(head):
        return "video"
    raise _unknown(head, name, suffix)


def _unknown(head: bytes, name: str, suffix: str) -> SourceError:
    words = describe(head)
    wanted = f"{SUFFIXES[suffix]} data" if suffix in SUFFIXES else "a dump or a video"
    hint = "embdc reads npy, npz, safetensors, h5, pt and video; --raw dtype=...,shape=... describes bare numbers"
    if words == "a Python pickle":
        hint = "a pickle can run code and is never loaded; use numpy.save, or torch.save of a dict of tensors"
    return SourceError(f"{name}: expected {wanted}, found {words}", hint=hint)


def _zip_format(head: bytes, path: str | BinaryIO | None) -> str | None:
    """npz or pt by the name of the first member, else by all names where the directory can be read."""
    if len(head) >= 30:
        size = struct.unpack_from("<H", head, 26)[0]
        first = _format_of_names([head[30 : 30 + size].decode("utf-8", "replace")])
        if first:
            return first
    if path is None:
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return _format_of_names(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        return None  # the format's own reader says what is wrong, if the suffix names one


def _format_of_names(names: list[str]) -> str | None:
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if any(_TORCH_FIRST.fullmatch(name) for name in names):
        return "pt"
    return None
