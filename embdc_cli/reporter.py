"""How the library tells its caller about progress and warnings without ever printing."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives words and progress; the command line draws them, the Python API ignores them."""

    def note(self, message: str) -> None:
        """One line for the user: a cast, a fallback, a skipped dataset."""

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """`done` of `total` `unit`s of `stage` are finished; total is None when it is not known."""


class Silent:
    """A reporter that drops everything."""

    def note(self, message: str) -> None:
        del message

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        del stage, done, total, unit
