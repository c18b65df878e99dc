"""How any exception looks from outside: one line, a hint, and an exit code. Nothing is printed here."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from embdc_cli.errors import EmbdcError, ResourceError, SourceError

_UNREADABLE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def signal_exit(number: int) -> int:
    """The exit code of a program that signal `number` ended."""
    return 128 + number


class TimeLimit(SystemExit):
    """The end of a time limit; like a signal no `EmbdcError`, since nothing went wrong with the work."""

    def __init__(self) -> None:
        super().__init__(EmbdcError.exit_code)


@dataclass(frozen=True)
class Failure:
    """One line that says what went wrong, the remedy if there is one, and the exit code (embdc(1), EXIT STATUS)."""

    message: str
    hint: str | None
    exit: int

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that `error` means to a user; notes added to it are further hints."""
        found = cls._of(error)
        notes = [note for note in (found.hint, *getattr(error, "__notes__", ())) if note]
        return replace(found, hint="; ".join(notes) or None)

    @classmethod
    def _of(cls, error: BaseException) -> Failure:
        if isinstance(error, EmbdcError):
            return cls(error.message, error.hint, error.exit_code)
        if isinstance(error, KeyboardInterrupt):
            return cls("interrupted", None, signal_exit(signal.SIGINT))
        if isinstance(error, SystemExit):
            return cls._of_exit(error)
        if _is_out_of_memory(error):
            detail = next(iter(str(error).splitlines()), "") or "not enough for this input"
            hint = "use fewer jobs (-j), or a machine with more memory"
            return cls(f"out of memory: {detail}", hint, ResourceError.exit_code)
        if isinstance(error, OSError) and error.strerror:
            return cls._of_system(error, error.strerror)
        return cls(
            f"internal error: {type(error).__name__}: {' '.join(str(error).split())}{_raised_at(error)}",
            "this is a bug in embdc: please report it with what EMBDC_DEBUG=1 prints",
            EmbdcError.exit_code,
        )

    @classmethod
    def _of_exit(cls, error: SystemExit) -> Failure:
        if isinstance(error, TimeLimit):
            # not 75: a script that starts the same command again and again would never get anywhere
            return cls("stopped, the time limit is over and nothing is kept", "allow more time", EmbdcError.exit_code)
        return cls("terminated", None, error.code if isinstance(error.code, int) else EmbdcError.exit_code)

    @classmethod
    def _of_system(cls, error: OSError, words: str) -> Failure:
        named = isinstance(error.filename, str | bytes)
        code = EmbdcError.exit_code
        if error.errno in _EXHAUSTED:
            code = ResourceError.exit_code
        elif error.errno in _UNREADABLE and named:
            code = SourceError.exit_code
        where = f"{os.fsdecode(error.filename)}: " if named else ""
        return cls(f"{where}{words[:1].lower()}{words[1:]}", None, code)

    def document(self) -> dict[str, Any]:
        """The failure as the field `error` of a JSON document."""
        return {"message": self.message, "hint": self.hint}


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """For the functions of the Python API, all of whose failures are an `EmbdcError`.

    Raises ResourceError where memory runs out, that of the machine or of a device, with the words of the command.
    """
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        failure = Failure.of(error)
        raise ResourceError(failure.message, hint=failure.hint) from error


def _is_out_of_memory(error: BaseException) -> bool:
    # torch's out-of-memory error is known by name: torch may not be imported
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _raised_at(error: BaseException) -> str:
    """` (FILE:LINE)` of the innermost frame, so that even one line is a useful report."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
