"""What a training has found so far, beside its output: `.NAME.part-<recipe>`, from which `--resume` goes on.

    [8 B] magic  [u32] head bytes  head: JSON {recipe, arrays: [[name, dtype, shape], ...]}  the arrays  [32 B] SHA-256
Numbers are little-endian; the hash is of everything before. One file for all stages, replaced as a whole, so that a
kill at any moment leaves the one before or the one after. As long as the training lives the file is locked: nobody
takes it for a stale one (`output.remove_stale`), and nobody else trains the same meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from embdc_cli.errors import CorruptArchive, ResourceError, Stopped, TargetMissed, UsageError
from embdc_cli.output import sync_folder, work_path
from embdc_cli.scratch import disk_errors
from embdc_cli.unfinished import part_path, parts_of

MAGIC: Final = b"\x8bEMBDCK\n"
_HEAD: Final = struct.Struct("<8sI")
_HASH_BYTES: Final = 32
_REPEATED: Final = (UsageError, TargetMissed, CorruptArchive)
"""Failures that going on from the same work would only meet again."""

Arrays = Mapping[str, np.ndarray]


class Checkpoint:
    """Arrays of each stage that is done. target: what is trained; without one nothing outlives the object."""

    def __init__(self, target: Path | None = None, recipe: str = "") -> None:
        self._target, self._recipe = target, recipe
        self._stages: dict[str, Arrays] = {}
        self._file: BinaryIO | None = None

    @property
    def part(self) -> Path | None:
        """Where it is kept."""
        if self._target is None:
            return None
        return part_path(self._target, self._recipe[:8])

    @property
    def kept(self) -> bool:
        """Whether stopping now leaves something to go on from."""
        return self._file is not None

    def find(self, stage: str) -> Arrays | None:
        """What was kept of a stage, None if nothing was."""
        return self._stages.get(stage)

    def keep(self, stage: str, arrays: Arrays) -> None:
        """Keep the arrays of a stage in place of those kept of it before. Raises ResourceError."""
        self._stages[stage] = arrays
        if self._target is None or self.part is None:
            return
        self._check_free()
        with disk_errors(str(self._target)):
            new = self.part.with_name(self.part.name + ".new")
            with ExitStack() as on_failure:
                file = os.fdopen(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b")
                on_failure.callback(file.close)
                _lock(file, self._target)
                digest = hashlib.sha256()
                for piece in _pieces(self._recipe, self._stages):
                    digest.update(piece)
                    file.write(piece)
                file.write(digest.digest())
                file.flush()
                os.fsync(file.fileno())
                os.replace(new, self.part)
                sync_folder(self.part.parent)
                on_failure.pop_all()
        self.close()
        self._file = file

    def load(self) -> None:
        """Take in what an earlier run kept. Raises: UsageError for another recipe, CorruptArchive, ResourceError."""
        if self._target is None or self.part is None:
            return
        if not self.part.exists():
            self._refuse_others()
            return
        with disk_errors(str(self._target)):
            file = os.fdopen(os.open(self.part, os.O_RDWR), "r+b")
            _lock(file, self._target)
            self._file = file
            data = file.read()
        self._stages = _parsed(data, self._recipe, self.part)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self.part is not None:
            self.part.unlink(missing_ok=True)
            self.part.with_name(self.part.name + ".new").unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Unlock the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _check_free(self) -> None:
        """Refuse to take the place of what a living process has kept."""
        if self._file is None and self._target is not None and self.part is not None and self.part.exists():
            with open(self.part, "r+b") as file:
                _lock(file, self._target)

    def _refuse_others(self) -> None:
        assert self._target is not None
        for other in parts_of(self._target):
            if other.suffix == ".new":  # of a run that was killed while it kept its first stage
                continue
            with suppress(OSError), open(other, "rb") as file:
                if file.read(len(MAGIC)) == MAGIC:
                    raise UsageError(
                        f"--resume: {self._target}: {other.name} was begun with other inputs or options",
                        hint="repeat those of the first run, or delete that file",
                    )


@contextmanager
def checkpointed(output: str, recipe: str, *, resume: bool) -> Iterator[Checkpoint]:
    """A checkpoint that is gone when the block ends well, and kept when it is stopped.

    After a failure it is kept where `resume` was asked for and trying again may help. Raises: Stopped.
    """
    checkpoint = Checkpoint(work_path(output), recipe)
    try:
        if resume:
            checkpoint.load()
        try:
            yield checkpoint
        except Exception as error:
            if resume and checkpoint.kept and not isinstance(error, _REPEATED):
                error.add_note("what is done is kept: the same command with --resume goes on")
            elif checkpoint.kept:
                checkpoint.discard()
            raise
        except BaseException as stop:
            if not checkpoint.kept:
                raise
            raise Stopped(
                f"train-codebook: {output}: stopped; what is done is kept",
                hint="the same command with --resume goes on",
            ) from stop
        checkpoint.discard()
    finally:
        checkpoint.close()


def _lock(file: BinaryIO, target: Path) -> None:
    """Raises ResourceError when another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ResourceError(
            f"output: {target}: another process is training it", hint="wait for it, or choose another name"
        ) from error
    except OSError:  # a file system without locks
        return


def _pieces(recipe: str, stages: Mapping[str, Arrays]) -> Iterator[bytes]:
    arrays = {
        f"{stage}/{name}": array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        for stage, found in stages.items()
        for name, array in found.items()
    }
    about = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    head = json.dumps({"recipe": recipe, "arrays": about}, sort_keys=True).encode()
    yield _HEAD.pack(MAGIC, len(head))
    yield head
    for array in arrays.values():
        yield array.tobytes()


def _parsed(data: bytes, recipe: str, path: Path) -> dict[str, Arrays]:
    hint = "delete it, or leave out --resume, to begin anew"
    body = memoryview(data)[:-_HASH_BYTES]
    if data[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != data[-_HASH_BYTES:]:
        raise CorruptArchive(f"--resume: {path}: checksum does not match, what was kept is damaged", hint=hint)
    size = _HEAD.unpack_from(data)[1]
    head = json.loads(data[_HEAD.size : _HEAD.size + size])
    if head["recipe"] != recipe:  # the name has only the first digits of it
        raise UsageError(f"--resume: {path} was begun with other inputs or options", hint=hint)
    stages: dict[str, dict[str, np.ndarray]] = {}
    at = _HEAD.size + size
    for name, dtype, shape in head["arrays"]:
        stage, _, key = name.partition("/")
        array = np.frombuffer(data, dtype, int(np.prod(shape)), at).reshape(shape).copy()
        stages.setdefault(stage, {})[key] = array
        at += array.nbytes
    return dict(stages)
