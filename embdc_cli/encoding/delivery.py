"""Where an archive goes: a new file or object, standard output, or the end of an archive that is there; and what is
left behind when it does not get there.

An object is encoded into a scratch folder and uploaded in the end: quality is found in whole passes, and `--resume`
goes on from what is on disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from embdc_cli.container.contents import Part
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.recover import whole_bytes
from embdc_cli.encoding.header import HEAD_DIGEST, SOURCE_FACTS
from embdc_cli.encoding.work import WorkInProgress
from embdc_cli.errors import (
    CorruptArchive,
    IncompleteError,
    SourceError,
    Stopped,
    TargetMissed,
    UnsupportedArchive,
    UsageError,
)
from embdc_cli.options import EncodeOptions
from embdc_cli.output import CountedOutput, check_not_input, check_output, copy_stream, standard_output, work_path
from embdc_cli.remote.errors import MissingObject
from embdc_cli.remote.filesystem import is_url
from embdc_cli.remote.upload import Upload
from embdc_cli.scratch import LockedFolder, disk_errors, locked_folder
from embdc_cli.source.beside import with_paths
from embdc_cli.values import AddedStream


@dataclass
class Destination:
    """The user's input and output as given, and the work in progress between them."""

    source: str | None
    output: str
    kind: Literal["file", "object", "stdout", "append"]
    work: WorkInProgress
    added: Sequence[str] = ()  # what `--add` puts beside the input
    folder: LockedFolder | None = None  # that the work is in where it is not beside the output
    uploading: bool = False  # all is encoded, and worth keeping
    goes_out_at_once: bool = False  # chunk by chunk, on standard output

    @property
    def resumable(self) -> bool:
        """Whether a stop now can be continued later."""
        return self.kind != "stdout" and self.work.kept

    @property
    def made_of(self) -> dict[str, Any]:
        """`input`, and `add` beside it, as the plan names them, so that `embdc ls` can tell with what to go on: URLs or
        absolute paths.

        Nothing where the input cannot be named: arrays, standard input, and an archive that is added to.
        """
        if self.source is None or self.source == "-" or self.kind != "file":
            return {}
        return {"input": _absolute(self.source), "add": [with_paths(one, _absolute) for one in self.added]}

    def begin_one_pass(self) -> AbstractContextManager[BinaryIO]:
        """What one pass writes to: standard output itself, so that every chunk is there as soon as it is whole."""
        self.goes_out_at_once = self.kind == "stdout"
        return standard_output() if self.goes_out_at_once else self.work.begin()

    def deliver(self, out: BinaryIO) -> None:
        """The complete part, in `out`, becomes what the user asked for."""
        if self.goes_out_at_once:
            out.flush()
            return
        if self.kind == "file":
            self.work.publish(out)
            return
        out.flush()
        os.fsync(out.fileno())
        out.seek(0)
        if self.kind == "stdout":
            with standard_output() as there:
                copy_stream(out, there)
        elif self.kind == "object":
            self._upload(out)
        else:
            with disk_errors(self.output):
                _append(self.output, out)
        out.close()
        self.work.discard()

    def _upload(self, out: BinaryIO) -> None:
        self.uploading = True
        upload = Upload(self.output)
        try:
            with upload:
                copy_stream(out, upload)
        finally:
            if upload.complete:  # though a signal may have come last: there is nothing to go on with
                self.work.discard()


def _absolute(path: str) -> str:
    return path if is_url(path) else os.path.abspath(path)


def begin(source: object, output: str, options: EncodeOptions, digest: str) -> Destination:
    """The destination for `output`, after every check that needs no data.

    Raises: UsageError, OutputExists; with append SourceError or IncompleteError for what is there.
    """
    if isinstance(source, str):
        check_not_input(output, source)
    shown = source if isinstance(source, str) else None
    tag = digest[:8]
    if output == "-":
        if options.append or options.resume:
            flag = "--append" if options.append else "--resume"
            raise UsageError(f"{flag}: standard output cannot be reopened", hint="use -o FILE")
        folder = locked_folder()
        return Destination(shown, output, "stdout", WorkInProgress(folder.path / "stdout.embdc", tag), folder=folder)
    if options.append:
        if is_url(output):
            raise UsageError(
                f"--append: {output}: nothing can be added to an object", hint="encode apart, and join with embdc cat"
            )
        _check_appendable(output, resume=options.resume)
        work = WorkInProgress(Path(output), tag)
        return Destination(shown, output, "append", work)
    check_output(output, force=options.force or options.skip_existing)
    work = WorkInProgress(work_path(output), tag)
    if options.resume:
        work.check_recipe()
    return Destination(shown, output, "object" if is_url(output) else "file", work, options.add)


def _check_appendable(output: str, *, resume: bool) -> int:
    """Bytes of the archive's whole parts: all of it, unless `resume` goes on where an append was cut short."""
    if not os.path.exists(output):
        raise SourceError(f"--append: {output}: no such archive", hint="leave out --append to begin a new one")
    with ArchiveReader.open(output) as reader:
        end = whole_bytes(reader)
        if end is None or (end < reader.file_bytes and not resume):
            hint = "after an append that was cut short, the same command with --resume; else `embdc repair`"
            raise IncompleteError(f"--append: {output} is incomplete", hint=hint)
        return end


def _append(output: str, part: BinaryIO) -> None:
    """Add `part` behind the old tail, or what is missing of it after an append of the same that was cut short.

    Whatever is cut short, the old tail stays where it is; after a failure nothing is behind it.
    """
    with os.fdopen(os.open(output, os.O_RDWR | os.O_CLOEXEC), "r+b", buffering=0) as archive:
        fcntl.flock(archive, fcntl.LOCK_EX)  # two that add at once wait for each other
        before = archive.seek(0, os.SEEK_END)
        done = before - _check_appendable(output, resume=True)
        archive.seek(before - done)
        if not _same(archive, part, done):
            raise IncompleteError(
                f"--append: {output}: {done} bytes behind its tail are of another append", hint=_OTHER
            )
        try:
            copy_stream(part, CountedOutput(archive))
            os.fsync(archive.fileno())
        except BaseException:
            with suppress(OSError):
                archive.truncate(before - done)
            raise


def _same(archive: BinaryIO, part: BinaryIO, size: int) -> bool:
    """Whether the next `size` bytes of both are equal; both are then behind them."""
    while size:
        piece = archive.read(min(size, _COMPARED_BYTES))
        if not piece or piece != part.read(len(piece)):
            return False
        size -= len(piece)
    return True


_COMPARED_BYTES: Final = 1 << 20
_OTHER: Final = "`embdc repair` makes a whole archive of it"


_REPEATED: Final = (UsageError, TargetMissed, CorruptArchive)
"""Failures that going on from the same work would only meet again."""


@contextmanager
def cleaned_up(destination: Destination, *, resume: bool = False) -> Iterator[None]:
    """Leave nothing behind on failure, except work that `--resume` can go on from.

    That is kept after a stop, and where `resume` was asked for, also after a failure such as a full disk; a whole
    archive that could not be uploaded always is.
    """
    try:
        yield
    except Exception as error:
        kept = resume or destination.uploading
        if kept and destination.resumable and not isinstance(error, _REPEATED):
            error.add_note("what is done is kept: the same command with --resume goes on")
        elif destination.work.begun:  # work of an earlier run is not ours to delete
            destination.work.discard()
        raise
    except BaseException as stop:
        if not destination.resumable:
            if destination.work.begun:
                destination.work.discard()
            raise
        raise Stopped(
            f"encode: {destination.output}: stopped; what is done is kept",
            hint="the same command with --resume goes on",
        ) from stop
    finally:
        if destination.folder is not None:
            destination.folder.close()


def current_bytes(
    output: str,
    digest: str,
    source: dict[str, Any],
    name: str | None = None,
    others: Sequence[AddedStream] = (),
    *,
    append: bool = False,
) -> int | None:
    """Size of `output` where it is a complete archive made by this recipe from an input of the same size and ends, and
    the same `others` beside it.

    name: to be recorded. append: whether any part of it is, not only the first.
    """
    if output == "-" or not (is_url(output) or os.path.exists(output)):
        return None
    try:
        with ArchiveReader.open(output) as reader:
            parts = reader.parts if append else reader.parts[:1]
            whole = reader.complete and not reader.damage
            same = any(_is_made_of(part, digest, source, name, others) for part in parts)
            return reader.file_bytes if whole and same else None
    except (MissingObject, CorruptArchive, UnsupportedArchive):
        return None  # something else lies there: not skipped, and not overwritten without -f


def _is_made_of(
    part: Part, digest: str, source: dict[str, Any], name: str | None, others: Sequence[AddedStream]
) -> bool:
    first, *rest = part.header.items
    if first.name != name or [item.source for item in rest] != [one.source for one in others]:
        return False
    known = part.source(0)
    if "rows" in known:  # some of them only, cut out by `embdc split`
        return False
    if part.header.input_head_digest != source.get(HEAD_DIGEST, ""):  # joined, perhaps of this input more than once
        return False
    same = all(key in source and known.get(key) == source[key] for key in SOURCE_FACTS)
    return same and part.header.recipe_digest == digest


def check_free(destination: Destination, *, force: bool) -> None:
    """Refuse (7) to replace what is there and is not this encode's result."""
    if destination.kind in ("file", "object"):
        check_output(destination.output, force=force)


def skipped(destination: Destination, file_bytes: int) -> dict[str, Any]:
    """The document of an input whose archive, of `file_bytes`, is there already."""
    destination.work.drop()
    return {
        "input": destination.source,
        "output": destination.output,
        "file_bytes": file_bytes,
        "status": "skipped",
        "exit": 0,
    }
