"""Outputs that appear complete or not at all: files by a temporary name in the same folder, fsync and rename, objects
of a store by an upload that is committed at its end (`remote.upload`)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import BinaryIO, Final, cast

from embdc_cli.errors import OutputExists, UsageError
from embdc_cli.remote.filesystem import is_url
from embdc_cli.remote.upload import Upload, check_object
from embdc_cli.scratch import disk_errors, kept_folder, scratch_file
from embdc_cli.unfinished import part_prefix, parts_of, plan_path, plans_alone

_TRIES: Final = 100


def check_output(path: str, *, force: bool) -> None:
    """Refuse a missing folder or bucket (2), a folder in its place (2) and an existing file or object (7)."""
    if is_url(path):
        check_object(path, force=force)
        return
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise UsageError(f"output: {path}: folder {str(folder)!r} does not exist", hint="create it first")
    if target.is_dir():
        raise UsageError(f"output: {path} is a folder, expected a file name", hint="use --out-dir for a folder")
    if target.exists() and not target.is_file():
        raise UsageError(f"output: {path} is no regular file", hint="use -o - and redirect it there")
    if target.exists() and not force:
        raise OutputExists(f"output: {path} exists", hint="use -f to overwrite it")


def work_path(output: str) -> Path:
    """The name beside which unfinished work on `output` lies: its own, of an object one that stands for it."""
    if not is_url(output):
        return Path(output)
    return kept_folder() / f"{hashlib.sha256(output.encode()).hexdigest()[:16]}-{PurePath(output).name[:80]}"


def check_not_input(output: str, *inputs: str) -> None:
    """Refuse (2) to write over one of the inputs, under whatever name."""
    for name in inputs:
        if is_url(name) or is_url(output):
            same = name == output
        else:
            same = name != "-" and os.path.exists(name) and os.path.exists(output) and os.path.samefile(name, output)
        if same:
            raise UsageError(f"output: {output} is also the input", hint="choose another name with -o")


@contextmanager
def atomic_output(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends without an exception, and leaves nothing otherwise.

    Of an object it is a scratch file, uploaded in the end.
    """
    check_output(path, force=force)
    if is_url(path):
        with scratch_file() as out:
            yield out
            out.seek(0)
            with Upload(path) as upload:
                copy_stream(out, upload)
        return
    target = Path(path)
    remove_stale(target)
    with disk_errors(path):
        handle, part = _temporary(target)
    try:
        with disk_errors(path), os.fdopen(handle, "w+b") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        with disk_errors(path):
            publish(Path(part), target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _temporary(target: Path) -> tuple[int, str]:
    """A new file beside `target`, whose lock says as long as this process lives that it is not stale."""
    for _ in range(_TRIES):
        handle, part = tempfile.mkstemp(prefix=part_prefix(target), dir=target.parent)
        with suppress(OSError):  # file systems without locks, on which nothing is removed either
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(part):
            return handle, part
        os.close(handle)  # taken for stale before it was locked
    raise FileNotFoundError(errno.ENOENT, "temporary files vanish as soon as they are made", str(target.parent))


def remove_stale(target: Path) -> None:
    """Delete the temporary files for `target` that killed processes have left.

    Those that nobody has locked, unless a plan lies beside them with which `--resume` can go on; and plans alone.
    """
    for part in parts_of(target):
        if not plan_path(part).exists():
            with suppress(OSError), open(part, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
    for plan in plans_alone(target):
        plan.unlink(missing_ok=True)


@contextmanager
def destination(output: str, *, force: bool) -> Iterator[BinaryIO]:
    """Standard output for `-`, else a file or object that appears only when complete; seekable if it is a file."""
    if output == "-":
        with standard_output() as out:
            yield out
        return
    if is_url(output):
        check_output(output, force=force)
        with Upload(output) as upload:
            yield cast("BinaryIO", upload)
        return
    with atomic_output(output, force=force) as out:
        yield out


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output, through a descriptor of its own: `printed` turns away the usual one, for all threads."""
    sys.stdout.buffer.flush()
    try:
        descriptor = os.dup(sys.stdout.buffer.fileno())
    except (OSError, AttributeError):  # no file behind it
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with os.fdopen(descriptor, "wb") as out:
        yield out


def publish(part: Path, target: Path) -> None:
    """Give the finished, fsynced file `part` its final name, durably; mkstemp's 0600 becomes the usual mode."""
    mask = os.umask(0)
    os.umask(mask)
    part.chmod(0o666 & ~mask)
    os.replace(part, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """fsync a folder so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_stream(source: BinaryIO, out: BinaryIO | CountedOutput | Upload) -> None:
    """Copy all of `source` to `out` in 1 MiB pieces."""
    shutil.copyfileobj(source, out, 1 << 20)


class CountedOutput:
    """An output that knows how much went into it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.bytes = 0

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        while len(view):  # a raw pipe may take less than it is given
            view = view[self._out.write(view) or 0 :]
        self.bytes += len(data)
        return len(data)
