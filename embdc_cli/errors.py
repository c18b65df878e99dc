"""Every failure embdc reports: one class per kind, each with the exit code it ends the program with.

The library raises these and never prints; `cli/console.py` words them as `embdc: MESSAGE` and `hint: HINT`.
A message says what was read, where (file, chunk, byte offset), what was expected and what was found.
The exit codes are frozen (embdc(1), EXIT STATUS).
"""

from __future__ import annotations


class EmbdcError(Exception):
    """Any failure of embdc; the class fixes the exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only hint: the default reduce would drop it between worker processes
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[EmbdcError], message: str, hint: str | None) -> EmbdcError:
    return kind(message, hint=hint)


class UsageError(EmbdcError):
    """The request itself is wrong: an option, a combination, a shape that cannot be asked for."""

    exit_code = 2


class WrongIndex(UsageError, IndexError):
    """Rows of a stream that are not there, or an index that is none; an `IndexError`, which ends a `for` loop."""


class IncompleteError(EmbdcError):
    """Some items failed, or an archive is readable but ends early or has damage that was skipped."""

    exit_code = 3


class TargetMissed(EmbdcError):
    """A size or quality target, or a threshold, cannot be met."""

    exit_code = 4


class CorruptArchive(EmbdcError):
    """A checksum or the structure of an archive or codebook is wrong."""

    exit_code = 5


class UnsupportedArchive(EmbdcError):
    """The archive needs a newer embdc: version, feature, stage or critical chunk unknown here."""

    exit_code = 6


class MissingModel(EmbdcError):
    """A codebook or an encoder that is needed is not here, or is another one than needed."""

    exit_code = 6


class OutputExists(EmbdcError):
    """The output is there already and may not be overwritten."""

    exit_code = 7


class SourceError(EmbdcError):
    """An input is missing, unreadable, or holds something embdc does not encode."""

    exit_code = 8


class ResourceError(EmbdcError):
    """Disk full, out of memory, or a device that is not there: another machine may succeed."""

    exit_code = 9


class Busy(ResourceError):
    """Another process is writing the output."""


class Stopped(EmbdcError):
    """Stopped by a signal or a time limit with work kept: the same command with --resume goes on."""

    exit_code = 75
