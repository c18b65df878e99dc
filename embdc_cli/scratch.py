"""Temporary files that leave nothing behind, not even after kill -9, and disk-full told as exit code 9."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from embdc_cli.errors import ResourceError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def scratch_folder() -> str:
    """$EMBDC_TMPDIR, else the system's folder for temporary files; UsageError when the variable names no folder."""
    folder = os.environ.get("EMBDC_TMPDIR")
    if not folder:
        return tempfile.gettempdir()
    if not os.path.isdir(folder):
        raise UsageError(f"EMBDC_TMPDIR: expected a folder, found {folder!r}", hint="create it or unset the variable")
    return folder


def scratch_file() -> BinaryIO:
    """A new anonymous file (no name, or unlinked at once) open for reading and writing; its space ends with it."""
    folder = scratch_folder()
    with disk_errors(folder):
        return tempfile.TemporaryFile(dir=folder)


def discard(file: BinaryIO) -> None:
    """Close `file`; what it has not written yet may be lost, so that a full disk is not reported twice."""
    with suppress(OSError):
        file.close()


def descriptor_path(file: BinaryIO) -> str:
    """A path that opens the anonymous `file` once more, for libraries that take nothing but paths."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return f"{folder}/{file.fileno()}"


@contextmanager
def disk_errors(where: str) -> Iterator[None]:
    """Turn a full disk and forbidden writes at `where` into a ResourceError; other failures pass through."""
    try:
        yield
    except OSError as error:
        # h5py raises OSError without errno and with the system's words in the text
        if error.errno in _FULL or "No space left on device" in str(error):
            hint = "free some space, or set EMBDC_TMPDIR to a larger folder for temporary files"
            raise ResourceError(f"{where}: no space left on the device", hint=hint) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ResourceError(f"{where}: cannot be written, {error.strerror}") from error
        raise
