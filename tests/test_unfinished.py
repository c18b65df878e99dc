"""Which files are unfinished outputs, by their names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from embdc_cli.unfinished import new_plan_path, part_path, parts_of, plan_path, plans_alone, resumable_name

TAG = "0123abcd"


@pytest.mark.parametrize("name", ["a.embdc", "[a]*.embdc", ".part-0.part-1"])
def test_what_is_named_is_found_and_nothing_else(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    part, other = part_path(target, TAG), part_path(target, "xyz")
    assert resumable_name(part.name) == (name, TAG)
    assert resumable_name(other.name) is None
    assert resumable_name(plan_path(part).name) is None
    alone = [plan_path(part_path(target, "1")), new_plan_path(part_path(target, "2"))]
    strangers = [part_path(tmp_path / "aa.embdc", TAG), target, tmp_path / f"x{part.name}"]
    for path in (part, other, plan_path(part), new_plan_path(part), *alone, *strangers):
        path.touch()
    assert parts_of(target) == sorted([part, other])
    assert plans_alone(target) == alone


def test_every_part_of_the_code_asks_here(tmp_path: Path) -> None:
    """The container, which may import nothing but plain means, follows unfinished work by the same names."""
    from embdc_cli.container.growing import unfinished_work

    target = tmp_path / "a.embdc"
    for path in (part := part_path(target, TAG), plan_path(part), new_plan_path(part)):
        path.touch()
    assert unfinished_work(str(target)) == [str(part)]
