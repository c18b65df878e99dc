"""The only place that prints. Data goes to stdout, words to stderr.

Messages are one line, lower case, without a full stop; an error is `embdc: MESSAGE` and perhaps `hint: HINT`,
a note is `embdc: note: MESSAGE`. With EMBDC_DEBUG=1 errors come with their traceback.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TextIO

from embdc_cli.failure import Failure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from embdc_cli.cli.progress import StageReporter


_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


@dataclass
class Console:
    """What one run prints: everything, only errors (quiet), more (verbose); data as text or one JSON document."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    _reporter: StageReporter | None = field(default=None, init=False)

    def document(self, document: dict[str, Any]) -> None:
        """Print the JSON document; numbers that JSON does not have (NaN, infinity) become null."""
        _write(sys.stdout, json.dumps(_finite(document), indent=2, allow_nan=False))

    def data(self, text: str) -> None:
        """Print a line of result."""
        _write(sys.stdout, text)

    def table(self, *parts: RenderableType) -> None:
        """Print tables and text drawn by rich; colours only on a terminal and without NO_COLOR."""
        from rich.console import Console as RichConsole

        console = RichConsole(file=sys.stdout, highlight=False, emoji=False)
        with console.capture() as captured:
            for part in parts:
                console.print(part, soft_wrap=isinstance(part, str), markup=False)
        for line in captured.get().splitlines():
            _write(sys.stdout, line.rstrip())  # cells are padded with blanks

    def say(self, text: str) -> None:
        """Print a line of words, unless quiet."""
        if not self.quiet:
            self._words(_one_line(text))

    def note(self, message: str) -> None:
        """Print a note, unless quiet."""
        self.say(f"embdc: note: {message}")

    def failure(self, error: BaseException, item: str | None = None) -> None:
        """Print what `error` means to the user, quiet or not. item: which of several inputs it is about."""
        failure = Failure.of(error)
        # signals are not exceptions of this kind: they are about the whole run
        named = item is not None and isinstance(error, Exception) and f"{item}:" not in failure.message
        where = f"{item}: " if named else ""
        if os.environ.get("EMBDC_DEBUG"):
            self._words("".join(traceback.format_exception(error)).rstrip())
        self._words(f"embdc: {_one_line(where + failure.message)}")
        if failure.hint:
            self._words(f"hint: {_one_line(failure.hint)}")

    @contextmanager
    def reporting(self) -> Iterator[StageReporter]:
        """A reporter whose bar, if it draws one, is gone when the block ends."""
        from embdc_cli.cli.progress import StageReporter

        self._reporter = StageReporter(self, show=not self.quiet, live=is_terminal(sys.stderr))
        try:
            yield self._reporter
        finally:
            self._reporter.close()
            self._reporter = None

    def _words(self, text: str) -> None:
        if self._reporter is None or not self._reporter.print_above(text):
            _write(sys.stderr, text)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal; a closed or missing one is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def tolerate_any_text() -> None:
    """Let stdout and stderr take file names and bars that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """Point stdout to nowhere: its reader is gone, and the interpreter's own flush at exit must not complain."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:
        stream.write(text + "\n")
        stream.flush()


def _one_line(text: str) -> str:
    """The text without control characters, which names of files may have, and which a terminal would obey."""
    return re.sub(r"\s*\n\s*", " ", text.strip("\n")).translate(_CONTROLS)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
