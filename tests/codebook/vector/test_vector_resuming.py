"""A training that was stopped or killed goes on behind its last step, to the bytes of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.codebook.checkpoint import Checkpoint
from embdc_cli.codebook.training import TrainOptions, train
from embdc_cli.codebook.vector import refine as refinement
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.model import Model
from embdc_cli.codebook.vector.start import first_levels
from embdc_cli.errors import Stopped, UsageError
from embdc_cli.reporter import Silent
from tests.codebook.vector.vector_cases import clip, tokens

STEPS = 2

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.codebook.vector.test_vector_resuming import Watched, trained
class Kills(Watched):
    def progress(self, stage, done, total, unit):
        if (stage, done) == ("refinement", 1):
            os.kill(os.getpid(), signal.SIGKILL)
trained(Path(sys.argv[1]), "killed.embdcb", Kills())
"""


class Watched(Silent):
    """Takes down which steps of a stage are begun, and stops before the one after `steps` of them."""

    def __init__(self, steps: int = -1, stop: BaseException | None = None, stage: str = "refinement") -> None:
        self.stages: set[str] = set()
        self.steps: list[int] = []
        self._most, self._stop, self._stage = steps, stop, stage

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        del total, unit
        self.stages.add(stage)
        if stage != self._stage:
            return
        if len(self.steps) == self._most and self._stop is not None:
            raise self._stop
        self.steps.append(done)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resuming")
    for seed in range(2):
        np.save(folder / f"{seed}.npy", tokens(48, seed))
    trained(folder, "init.embdcb", refine=0)
    return folder


def trained(folder: Path, out: str, reporter: Watched | None = None, **options: Any) -> bytes:
    """The bytes of a codebook, learnt from both clips."""
    options = {"kind": "vq", "holdout": 0, "refine": STEPS, "force": True} | options
    train([str(folder / "0.npy"), str(folder / "1.npy")], str(folder / out), TrainOptions(**options), reporter)
    return (folder / out).read_bytes()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*"))


@pytest.mark.parametrize("more", [{}, {"weighting": "channel"}, {"init": "init.embdcb"}])
def test_a_stopped_training_goes_on_to_the_same_bytes(folder: Path, more: dict[str, Any]) -> None:
    more = {name: str(folder / value) if name == "init" else value for name, value in more.items()}
    undisturbed = Watched()
    expected = trained(folder, "undisturbed.embdcb", undisturbed, **more)
    steps = [*range(STEPS)] * (2 if "init" in more else 1)
    assert undisturbed.steps == steps
    assert "statistics" in undisturbed.stages
    for number, step in enumerate(steps):  # one step a run
        again = Watched(1, (KeyboardInterrupt(), SystemExit(143))[number % 2])
        if number < len(steps) - 1:
            with pytest.raises(Stopped) as caught:
                trained(folder, "c.embdcb", again, resume=number > 0, **more)
            assert caught.value.exit_code == 75
            assert not (folder / "c.embdcb").exists()
        else:
            assert trained(folder, "c.embdcb", again, resume=True, **more) == expected
        assert again.steps == [step]
        assert ("statistics" in again.stages) == (number == 0)
    assert left(folder) == []
    (folder / "c.embdcb").unlink()


def test_a_killed_training_goes_on_to_the_same_bytes(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL
    assert len(left(folder)) == 1
    with pytest.raises(UsageError, match="was begun with other inputs or options"):
        trained(folder, "killed.embdcb", resume=True, seed=1)
    again = Watched()
    found = trained(folder, "killed.embdcb", again, resume=True)
    assert again.steps == [1]
    assert found == trained(folder, "undisturbed.embdcb")
    assert left(folder) == []


def test_without_resume_a_training_begins_anew(folder: Path) -> None:
    with pytest.raises(Stopped):
        trained(folder, "anew.embdcb", Watched(1, KeyboardInterrupt()))
    again = Watched()
    trained(folder, "anew.embdcb", again)
    assert again.steps == [*range(STEPS)]
    assert left(folder) == []


def test_of_kind_transform_statistics_are_kept(folder: Path) -> None:
    options = {"kind": "transform", "refine": None, "holdout": 0.5}
    expected = trained(folder, "undisturbed.embdcb", **options)
    with pytest.raises(Stopped):
        trained(folder, "t.embdcb", Watched(0, SystemExit(143), "held-out report"), **options)
    again = Watched()
    assert trained(folder, "t.embdcb", again, resume=True, **options) == expected
    assert "statistics" not in again.stages
    assert left(folder) == []


def test_what_was_best_before_the_stop_stays_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that only make it worse: the start is what is wanted, whenever they were interrupted."""
    clips = [clip(48, 0)]
    x = clips[0].tokens
    basis = np.linalg.eigh(np.cov(x.T.astype(np.float64)))[1].T[::-1]
    start = Model(basis, tuple(first_levels((x @ basis.T).astype(np.float32), 0)))
    worse = Model(np.roll(basis, 1, axis=0), start.levels)
    monkeypatch.setattr(refinement, "_moved", lambda *_: worse)
    checkpoint = Checkpoint()
    refinement.refine(start, clips, 1, Loss(), 0, Silent(), checkpoint)
    found = refinement.refine(start, clips, 2, Loss(), 0, Silent(), checkpoint)
    assert len(found.costs) == 3
    assert found.costs[0] < found.costs[1] == found.costs[2]
    assert np.array_equal(found.model.basis, basis)
