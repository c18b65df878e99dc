"""Names of outputs that are not finished: `.NAME.part-TAG` beside what is to become NAME.

TAG is eight hex digits of a recipe where a plan, `.NAME.part-TAG.plan`, lies beside it with which `--resume` can go on.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Final

_RESUMABLE: Final = re.compile(r"\.(.+)\.part-([0-9a-f]{8})")
_PLAN: Final = ".plan"
_PLAN_BEING_WRITTEN: Final = ".plan.new"


def part_prefix(target: Path) -> str:
    """How the name of every unfinished file for `target` begins."""
    return f".{target.name}.part-"


def part_path(target: Path, tag: str) -> Path:
    """The unfinished file for `target` of that tag."""
    return target.with_name(part_prefix(target) + tag)


def plan_path(part: Path) -> Path:
    """Its plan."""
    return part.with_name(part.name + _PLAN)


def new_plan_path(part: Path) -> Path:
    """Its plan while that is written."""
    return part.with_name(part.name + _PLAN_BEING_WRITTEN)


def parts_of(target: Path) -> list[Path]:
    """The unfinished files for `target` that are there, by name."""
    return [path for path in _beside(target) if not _is_plan(path)]


def plans_alone(target: Path) -> list[Path]:
    """The plans, also half-written ones, whose unfinished file is gone."""
    plans = [path for path in _beside(target) if _is_plan(path)]
    return [path for path in plans if not path.with_name(path.name.removesuffix(".new").removesuffix(_PLAN)).exists()]


def resumable_name(part: str) -> tuple[str, str] | None:
    """(NAME, TAG) of the name of an unfinished file that may have a plan, else None."""
    found = _RESUMABLE.fullmatch(part)
    return None if found is None else (found[1], found[2])


def _beside(target: Path) -> list[Path]:
    return sorted(target.parent.glob(glob.escape(part_prefix(target)) + "*"))


def _is_plan(path: Path) -> bool:
    return path.name.endswith((_PLAN, _PLAN_BEING_WRITTEN))
