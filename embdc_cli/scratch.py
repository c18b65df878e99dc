"""Temporary files that leave nothing behind, and disk-full told as exit code 9.

Not even after kill -9: files have no name, and the folders of killed processes are deleted by the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from embdc_cli.errors import ResourceError, UsageError

_PREFIX: Final = ".embdc-scratch-"
_TRIES: Final = 100
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


def kept_folder() -> Path:
    """The user's own folder, in that for temporary files, for what a later run may go on from."""
    path = Path(scratch_folder(), f"embdc-work-{os.getuid()}")
    with disk_errors(str(path)):
        path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()  # anybody may have made it, where all may write
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ResourceError(f"{path}: expected a folder of this user", hint="set EMBDC_TMPDIR to one")
    return path


@dataclass(frozen=True)
class LockedFolder:
    """A temporary folder for files that must have names; its lock says that this process still uses it."""

    path: Path
    descriptor: int

    def close(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self.descriptor)


def locked_folder() -> LockedFolder:
    """A new temporary folder, after deleting those that killed processes have left."""
    parent = scratch_folder()
    with disk_errors(parent):
        _remove_stale(Path(parent))
        for _ in range(_TRIES):
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            descriptor = os.open(path, os.O_RDONLY)
            if _locked(descriptor) and path.exists():
                return LockedFolder(path, descriptor)
            os.close(descriptor)  # taken for stale before it was locked
    raise FileNotFoundError(errno.ENOENT, "temporary folders vanish as soon as they are made", parent)


def _locked(descriptor: int) -> bool:
    """Whether it is, or lies on a file system without locks, on which nothing is deleted either."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _remove_stale(parent: Path) -> None:
    """Delete the folders of `locked_folder` whose processes are gone."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


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
