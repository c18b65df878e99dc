"""What a training keeps to go on from: it comes back or is refused, and nobody takes it away meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embdc_cli.codebook.checkpoint import Checkpoint, checkpointed
from embdc_cli.codebook.recipe import digest_of
from embdc_cli.errors import CorruptArchive, ResourceError, SourceError, Stopped, UsageError
from embdc_cli.output import atomic_output, remove_stale
from tests.codebook.sources import gaussian, tensor_of

RECIPE = "0123456789abcdef"
ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3),
    "order": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "none": np.zeros((0, 4), np.float32),
    "one": np.array(7),
}


def kept(folder: Path) -> Path:
    """The file of a training of RECIPE that was killed."""
    checkpoint = Checkpoint(folder / "c.embdcb", RECIPE)
    checkpoint.keep("first", ARRAYS)
    checkpoint.keep("second", {"a": np.ones(3)})
    checkpoint.close()
    assert checkpoint.part is not None
    return checkpoint.part


def loaded(folder: Path, recipe: str = RECIPE) -> Checkpoint:
    checkpoint = Checkpoint(folder / "c.embdcb", recipe)
    try:
        checkpoint.load()
    finally:
        checkpoint.close()
    return checkpoint


def test_stages_come_back(tmp_path: Path) -> None:
    assert kept(tmp_path).name == ".c.embdcb.part-01234567"
    assert len(list(tmp_path.iterdir())) == 1
    found = loaded(tmp_path).find("first")
    assert found is not None
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
    assert loaded(tmp_path).find("third") is None


def test_a_stage_takes_its_own_place(tmp_path: Path) -> None:
    kept(tmp_path)
    checkpoint = Checkpoint(tmp_path / "c.embdcb", RECIPE)
    checkpoint.load()
    checkpoint.keep("second", {"b": np.zeros(1)})
    checkpoint.close()
    again = loaded(tmp_path)
    assert again.find("first") is not None
    assert list(again.find("second") or ()) == ["b"]


def test_damage_is_refused_with_a_hint(tmp_path: Path) -> None:
    part = kept(tmp_path)
    good = part.read_bytes()
    flips = [good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :] for at in range(len(good))]
    for data in (*flips, *(good[:length] for length in range(0, len(good), 7)), good + b"\0"):
        part.write_bytes(data)
        with pytest.raises(CorruptArchive, match="checksum does not match") as caught:
            loaded(tmp_path)
        assert "leave out --resume" in (caught.value.hint or "")


@pytest.mark.parametrize("recipe", ["f" * 16, RECIPE[:8] + "f" * 8])
def test_work_of_another_recipe_is_refused_and_stays(tmp_path: Path, recipe: str) -> None:
    part = kept(tmp_path)
    with pytest.raises(UsageError, match=r"part-01234567 was begun with other inputs or options"):
        loaded(tmp_path, recipe)
    assert part.exists()


def test_temporary_files_of_outputs_are_no_work(tmp_path: Path) -> None:
    (tmp_path / ".c.embdcb.part-abcdefgh").write_bytes(b"half a codebook")
    assert loaded(tmp_path).find("first") is None


def test_a_run_killed_while_it_kept_its_first_stage_begins_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.embdcb", RECIPE)
    checkpoint.keep("first", ARRAYS)
    assert checkpoint.part is not None
    checkpoint.part.rename(checkpoint.part.with_name(checkpoint.part.name + ".new"))
    checkpoint.close()
    again = loaded(tmp_path)
    assert again.find("first") is None
    again.keep("first", ARRAYS)
    again.discard()
    assert not list(tmp_path.iterdir())


def test_a_living_training_keeps_its_file_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    target = tmp_path / "c.embdcb"
    checkpoint = Checkpoint(target, RECIPE)
    checkpoint.keep("first", ARRAYS)
    checkpoint.keep("second", ARRAYS)
    remove_stale(target)
    for other in (Checkpoint(target, RECIPE), Checkpoint(target, RECIPE)):
        with pytest.raises(ResourceError, match="another process is training it"):
            other.load()
        with pytest.raises(ResourceError, match="another process is training it"):
            other.keep("first", ARRAYS)
    assert checkpoint.part is not None
    assert checkpoint.part.exists()
    checkpoint.close()
    with atomic_output(str(target), force=True) as out:
        out.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["c.embdcb"]


def run(folder: Path, end: BaseException | None, *, resume: bool, keep: bool = True) -> bool:
    """A training that keeps something and then ends so. Returns whether it found something."""
    with checkpointed(str(folder / "c.embdcb"), RECIPE, resume=resume) as checkpoint:
        found = checkpoint.find("first") is not None
        if keep:
            checkpoint.keep("first", ARRAYS)
        if end is not None:
            raise end
    return found


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_a_stop_keeps_what_there_is(tmp_path: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)):
        run(tmp_path, stop, resume=False, keep=False)
    assert not list(tmp_path.iterdir())
    for resume, keep in ((False, True), (True, True), (True, False)):
        with pytest.raises(Stopped, match="stopped; what is done is kept") as caught:
            run(tmp_path, stop, resume=resume, keep=keep)
        assert caught.value.exit_code == 75
    assert run(tmp_path, None, resume=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "resume", "stays"),
    [(SourceError("x"), True, True), (SourceError("x"), False, False), (UsageError("x"), True, False)],
)
def test_a_failure_keeps_it_only_where_trying_again_may_help(
    tmp_path: Path, error: Exception, resume: bool, stays: bool
) -> None:
    with pytest.raises(type(error)):
        run(tmp_path, error, resume=resume)
    assert bool(list(tmp_path.iterdir())) == stays
    assert any("--resume goes on" in note for note in getattr(error, "__notes__", ())) == stays


def test_recipes_tell_settings_files_and_inputs_apart(tmp_path: Path) -> None:
    x = gaussian(5)
    head, same = tmp_path / "head.npy", tmp_path / "same.npy"
    for path in (head, same):
        path.write_bytes(b"head")
    first = digest_of({"seed": 0}, (str(head), None), [tensor_of(x)])
    assert digest_of({"seed": 0}, (str(same), None), [tensor_of(x.copy())]) == first
    other = [
        digest_of({"seed": 1}, (str(head), None), [tensor_of(x)]),
        digest_of({"seed": 0}, (None, str(head)), [tensor_of(x)]),
        digest_of({"seed": 0}, ("channel", None), [tensor_of(x)]),
        digest_of({"seed": 0}, (str(head), None), [tensor_of(x), tensor_of(x)]),
        digest_of({"seed": 0}, (str(head), None), [tensor_of(x[:-1])]),
        digest_of({"seed": 0}, (str(head), None), [tensor_of(x, "other")]),
        *(
            digest_of({"seed": 0}, (str(head), None), [tensor_of(x + (np.arange(5) == t)[:, None, None])])
            for t in (0, 4)
        ),
    ]
    head.write_bytes(b"another")
    other.append(digest_of({"seed": 0}, (str(head), None), [tensor_of(x)]))
    assert len({first, *other}) == 1 + len(other)
