"""Every failure becomes one line, a hint, and the right exit code; never a traceback."""

from __future__ import annotations

import errno

import pytest

from embdc_cli import errors
from embdc_cli.failure import TimeLimit
from tests.cli.program import Embdc, Fake

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.EmbdcError) and kind is not errors.EmbdcError
]


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


FAILURES = [
    *((kind("a.npy: wrong", hint="do it right"), kind.exit_code) for kind in KINDS),
    (errors.EmbdcError("it broke"), 1),
    (MemoryError(), 9),
    (OutOfMemoryError("CUDA out of memory"), 9),
    (OSError(errno.ENOSPC, "No space left on device"), 9),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "a.embdc"), 9),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npy"), 8),
    (PermissionError(errno.EACCES, "Permission denied", "a.npy"), 8),
    (OSError(errno.EIO, "Input/output error"), 1),
    (ZeroDivisionError("division by zero"), 1),
    (KeyboardInterrupt(), 130),
    (SystemExit(143), 143),
    (TimeLimit(), 1),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("command", ["encode", "decode"])
def test_one_input_gives_its_own_code_and_one_line(
    embdc: Embdc, fake: Fake, command: str, error: BaseException, code: int
) -> None:
    fake.answers[command] = error
    done = embdc(command, "a.npy", "-o", "b")
    lines = done.err.splitlines()
    assert done.exit == code
    assert lines[0].startswith("embdc: ")
    assert [line.split(":")[0] for line in lines[1:]] in ([], ["hint"])
    assert done.out == ""


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_failure_with_json_is_one_document(embdc: Embdc, fake: Fake, command: str) -> None:
    fake.answers[command] = errors.SourceError("a.npy: empty", hint="record again")
    done = embdc(command, "a.npy", "-o", "b", "--json")
    assert done.exit == done.json["exit"] == 8
    assert done.json["error"] == {"message": "a.npy: empty", "hint": "record again"}
    assert done.err == "embdc: a.npy: empty\nhint: record again\n"


def test_usage_error_with_json_is_one_document(embdc: Embdc) -> None:
    done = embdc("encode", "a.npy", "--preset", "tiny", "--json")
    assert done.json == {
        "error": {
            "message": "--preset: expected one of fast, balanced, small, near-lossless, found 'tiny'",
            "hint": None,
        },
        "exit": 2,
    }


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_json_after_two_dashes_is_a_file_name(embdc: Embdc, fake: Fake, command: str) -> None:
    fake.answers[command] = errors.SourceError("--json: empty")
    done = embdc(command, "-o", "b", "--", "--json")
    assert (done.exit, done.out) == (8, "")
    assert "--json" in fake.last.values()


def test_message_of_many_lines_is_printed_as_one(embdc: Embdc, fake: Fake) -> None:
    fake.answers["decode"] = errors.CorruptArchive("a.embdc:\n  wrong\n  twice")
    assert embdc("decode", "a.embdc", "-o", "b").err == "embdc: a.embdc: wrong twice\n"


def test_internal_error_names_its_place_and_asks_for_a_report(embdc: Embdc, fake: Fake) -> None:
    fake.answers["decode"] = ZeroDivisionError("division by zero")
    done = embdc("decode", "a.embdc", "-o", "b")
    assert done.err.startswith("embdc: internal error: ZeroDivisionError: division by zero (program.py:")
    assert "report" in done.err.splitlines()[1]


def test_debug_shows_the_traceback(embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBDC_DEBUG", "1")
    fake.answers["decode"] = errors.CorruptArchive("a.embdc: wrong")
    done = embdc("decode", "a.embdc", "-o", "b")
    assert done.err.startswith("Traceback ")
    assert done.err.endswith("embdc: a.embdc: wrong\n")


def test_broken_pipe_is_silent(embdc: Embdc, fake: Fake) -> None:
    fake.answers["decode"] = BrokenPipeError(errno.EPIPE, "Broken pipe")
    done = embdc("decode", "a.embdc", "-o", "b")
    assert (done.exit, done.out, done.err) == (141, "", "")


def test_broken_pipe_ends_a_batch(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = BrokenPipeError(errno.EPIPE, "Broken pipe")
    done = embdc("encode", "a.npy", "b.npy")
    assert (done.exit, len(fake.calls)) == (141, 1)
