"""The command line run in process on a library that only records what it is asked for."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from embdc_cli.cli import library
from embdc_cli.cli.app import main
from tests.cli.program import Embdc, Fake, Result


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The library, replaced by one that records."""
    recorder = Fake()
    names = ("plan", "write_recipe", "encode", "decode", "inspect", "verify", "repair", "compare", "cat", "search")
    for name in (*names, "chosen", "split", "train"):
        monkeypatch.setattr(library, name, getattr(recorder, name))
    return recorder


@pytest.fixture
def embdc(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Embdc:
    """Runs `embdc ARGS` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for variable in ("EMBDC_DEBUG", "NO_COLOR", "_EMBDC_COMPLETE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args: str, stdin: bytes | None = None) -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin or b"")))
        code = main(args)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
