"""Progress of the running item: a bar where stderr is a terminal, else one plain line a minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from embdc_cli.cli import wording

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from embdc_cli.cli.console import Console

PLAIN_SECONDS = 60.0


class StageReporter:
    """The `Reporter` of the command line.

    show: whether progress is shown at all. live: whether stderr is a terminal. prefix: which item of a batch runs.
    """

    def __init__(self, console: Console, *, show: bool, live: bool) -> None:
        self.prefix = ""
        self._console = console
        self._show = show
        self._live = live
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._started = self._last = time.monotonic()

    def note(self, message: str) -> None:
        self._console.note(message)

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        if not self._show:
            return
        if self._live:
            self._draw(stage, done, total, unit)
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            of = f" of {total} ({100 * done / total:.0f} %)" if total else ""
            elapsed = wording.seconds(self._last - self._started)
            self._console.say(f"{self.prefix}{stage}: {done}{of} {unit}, {elapsed}")

    def print_above(self, text: str) -> bool:
        """Print a line above the bar; False when there is no bar."""
        if self._bar is None:
            return False
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        return True

    def next_item(self, prefix: str) -> None:
        """Forget the item before; `prefix` stands in front of what follows."""
        self.close()
        self.prefix = prefix
        self._started = self._last = time.monotonic()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def _draw(self, stage: str, done: int, total: int | None, unit: str) -> None:
        if self._bar is None:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=28),
                TextColumn("{task.fields[count]}", markup=False),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            )
            self._bar = Progress(*columns, console=RichConsole(stderr=True), transient=True, refresh_per_second=5)
            self._bar.start()
        if self._task is None or self._stage != stage:
            # a task of its own for every stage: an old total or speed would give a wrong time left
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._stage = self._bar.add_task(self.prefix + stage, total=total, count=""), stage
        count = f"{done}/{total} {unit}" if total else f"{done} {unit}"
        self._bar.update(self._task, completed=done, total=total, count=count)
