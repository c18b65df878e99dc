"""Work in progress: `.NAME.part-<recipe>`, a readable prefix of the archive, and its plan beside it.

The plan (steps, models, searches) is on disk before the first chunk, so that a killed run can be finished with the
same bytes. The final name appears only when the archive is complete.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from embdc_cli.errors import Busy, UsageError
from embdc_cli.output import publish, remove_stale, sync_folder
from embdc_cli.scratch import disk_errors
from embdc_cli.unfinished import new_plan_path, part_path, parts_of, plan_path

PLAN_FIELDS = {"header", "settled", "streams", "searches"}


@dataclass
class WorkInProgress:
    """The unfinished archive for `target` made by the recipe whose digest begins with `tag`."""

    target: Path
    tag: str
    planned: bool = False  # a plan is on disk: stopping now loses nothing
    begun: bool = False  # this run has written to the part

    @property
    def part(self) -> Path:
        return part_path(self.target, self.tag)

    @property
    def plan(self) -> Path:
        return plan_path(self.part)

    @property
    def kept(self) -> bool:
        """Whether stopping now leaves work that can be gone on with: of this run, or untouched of an earlier one."""
        return self.planned or (not self.begun and self.part.exists() and self.plan.exists())

    def check_recipe(self) -> None:
        """Refuse to resume beside work begun with another recipe."""
        others = parts_of(self.target)
        if others and self.part not in others:
            raise UsageError(
                f"--resume: {self.target}: {others[0].name} was begun with another recipe, this one is {self.tag}",
                hint="repeat the options of the first run, or delete that file",
            )

    def load(self) -> dict[str, Any] | None:
        """The saved plan, or None when there is nothing to go on from, a plan that cannot be read included."""
        if not (self.part.exists() and self.plan.exists()):
            return None
        try:
            state: dict[str, Any] = json.loads(self.plan.read_text("utf-8"))
        except ValueError:
            return None
        if not isinstance(state, dict) or not state.keys() >= PLAN_FIELDS:
            return None
        self.planned = True
        return state

    def made_of(self) -> tuple[str | None, list[str]]:
        """The input, path or URL, and what `--add` put beside it, as the plan names them; else (None, [])."""
        plan = self.load() or {}
        name, added = plan.get("input"), plan.get("add", [])
        if not isinstance(name, str) or not isinstance(added, list) or not all(isinstance(one, str) for one in added):
            return None, []
        return name, added

    def start(self, state: dict[str, Any]) -> BinaryIO:
        """An empty part file, with `state` saved first."""
        with disk_errors(str(self.target)), ExitStack() as on_failure:
            part = on_failure.enter_context(self._locked())
            remove_stale(self.target)
            part.truncate(0)  # emptied before the new plan appears: never an old part beside a new plan
            temporary = new_plan_path(self.part)
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(state, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.plan)
            sync_folder(self.target.parent)
            self.planned = True
            on_failure.pop_all()
            return part

    def begin(self) -> BinaryIO:
        """An empty part file without a plan: work that cannot be resumed."""
        with disk_errors(str(self.target)):
            part = self._locked()
            remove_stale(self.target)
            part.truncate(0)
            return part

    def reopen(self, offset: int) -> BinaryIO:
        """The part file cut to `offset` bytes and positioned there."""
        with disk_errors(str(self.target)):
            part = self._locked()
            part.truncate(offset)
            part.seek(offset)
            return part

    def _locked(self) -> BinaryIO:
        """The part file, open for reading and writing, which no other process may write to meanwhile.

        Raises: Busy when another one does.
        """
        while True:
            descriptor = os.open(self.part, os.O_RDWR | os.O_CREAT, 0o600)
            part = os.fdopen(descriptor, "r+b")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                same = self.part.exists() and os.path.samestat(os.fstat(descriptor), self.part.stat())
            except BlockingIOError as error:
                part.close()
                raise Busy(
                    f"output: {self.target}: another process is writing it", hint="wait for it, or choose another name"
                ) from error
            self.begun = same
            if same:
                return part
            part.close()  # it was published or discarded between opening and locking

    def publish(self, out: BinaryIO) -> None:
        """Close the complete part and give it its final name."""
        with disk_errors(str(self.target)):
            out.flush()
            os.fsync(out.fileno())
            out.close()
            publish(self.part, self.target)
            self.plan.unlink(missing_ok=True)

    def drop(self) -> None:
        """Delete what a killed run has left of work whose result is there all the same; not that of a living one."""
        if self.part.exists():
            with suppress(Busy), self._locked():
                self.discard()

    def discard(self) -> None:
        """Leave nothing behind."""
        self.planned = False
        self.part.unlink(missing_ok=True)
        self.plan.unlink(missing_ok=True)
        new_plan_path(self.part).unlink(missing_ok=True)
