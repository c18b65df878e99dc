"""Every exception becomes one line and an exit code."""

from __future__ import annotations

import errno

import pytest

from embdc_cli import errors
from embdc_cli.failure import Failure, TimeLimit

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EmbdcError)]


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


FAILURES = [
    *((kind("a.npy: wrong", hint="do it right"), kind.exit_code, "a.npy: wrong") for kind in KINDS),
    (MemoryError(), 9, "out of memory: not enough for this input"),
    (OutOfMemoryError("2 GiB are missing\nof 80"), 9, "out of memory: 2 GiB are missing"),
    (OSError(errno.ENOSPC, "No space left on device"), 9, "no space left on device"),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "a.embdc"), 9, "a.embdc: disk quota exceeded"),
    (OSError(errno.ENOENT, "No such file or directory", "x/a.npy"), 8, "x/a.npy: no such file or directory"),
    (OSError(errno.EACCES, "Permission denied", b"a\xff.npy"), 8, "a\udcff.npy: permission denied"),
    (OSError(errno.ENOENT, "No such file or directory"), 1, "no such file or directory"),
    (OSError(errno.EIO, "Input/output error", 3), 1, "input/output error"),
    (OSError("no number"), 1, "internal error: OSError: no number"),
    (ZeroDivisionError("division\n by zero"), 1, "internal error: ZeroDivisionError: division by zero"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (SystemExit(143), 143, "terminated"),
    (SystemExit("words"), 1, "terminated"),
    (TimeLimit(), 1, "stopped, the time limit is over and nothing is kept"),
]


@pytest.mark.parametrize(("error", "code", "message"), FAILURES, ids=lambda value: type(value).__name__)
def test_failure(error: BaseException, code: int, message: str) -> None:
    failure = Failure.of(error)
    assert (failure.exit, failure.message) == (code, message)


def test_hint_of_an_error_is_kept() -> None:
    failure = Failure.of(errors.SourceError("a.npy: empty", hint="record again"))
    assert failure.document() == {"message": "a.npy: empty", "hint": "record again"}


@pytest.mark.parametrize(("hint", "expected"), [(None, "a; b"), ("first", "first; a; b")])
def test_notes_are_further_hints(hint: str | None, expected: str) -> None:
    error = errors.SourceError("a.npy: empty", hint=hint)
    error.add_note("a")
    error.add_note("b")
    assert Failure.of(error).hint == expected


def test_internal_error_names_its_place() -> None:
    def broken() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError) as caught:
        broken()
    line = caught.traceback[-1].lineno + 1
    failure = Failure.of(caught.value)
    assert failure.message == f"internal error: KeyError: 'bug' (test_failure.py:{line})"
    assert failure.hint is not None
    assert "report" in failure.hint
