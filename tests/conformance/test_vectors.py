"""Every vector means to embdc, and to the second reader, what it meant when it was made."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.cli.app import main
from tests.conformance import make_vectors
from tests.conformance.cases import CASES, Case
from tests.conformance.reader import transform
from tests.conformance.verdicts import VECTORS, Verdict, embdc_verdict, first_levels, reader_verdict

NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))
LARGEST = 6144
"""Bytes of any file of a vector."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoded")


@cache
def of_embdc(name: str, scratch: Path) -> Verdict:
    return embdc_verdict(VECTORS / f"{name}.embdc", scratch)


@cache
def of_reader(name: str) -> Verdict:
    return reader_verdict(VECTORS / f"{name}.embdc")


def expected(name: str) -> dict[str, Any]:
    """What readers must make of a vector by now."""
    later = VECTORS / "since" / f"{name}.json"
    found: dict[str, Any] = json.loads((later if later.exists() else VECTORS / f"{name}.json").read_text("utf-8"))
    return found


def assert_close(values: np.ndarray, told: Verdict, name: str) -> None:
    """Stored values are those of the second reader but for 1/64 of a step in each chunk, and the last cast."""
    exact = told.values[name]
    assert values.shape == exact.shape
    error = np.abs(values.astype(np.float64) - exact)
    error[told.exact[name][0]] = 0
    beyond = np.maximum(error - 1.001 * transform.spacing(exact, told.dtypes[name]), 0)
    start = 0
    for size, step in told.steps[name]:
        chunk = beyond[start : start + size]
        assert np.sqrt(np.mean(np.square(chunk))) <= step / 64 if size else True
        start += size


@pytest.mark.parametrize("name", NAMES)
def test_embdc(name: str, scratch: Path) -> None:
    wanted, found = expected(name), of_embdc(name, scratch)
    assert (found.exits, found.errors) == (wanted["exits"], wanted["errors"])
    assert found.inspect == wanted["inspect"]
    assert found.elements == wanted["elements"]


@pytest.mark.parametrize("name", NAMES)
def test_exit_status_of_the_program(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exits = expected(name)["exits"]
    path = str(VECTORS / f"{name}.embdc")
    assert main(["inspect", path, "-q"]) == exits[0]
    assert main(["verify", path, "-q"]) == exits[1]
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", NAMES)
def test_second_reader(name: str, scratch: Path) -> None:
    wanted, told, found = expected(name), of_reader(name), of_embdc(name, scratch)
    assert told.exits[1] == wanted["exits"][1]
    assert told.exits[2] == wanted["exits"][2] or wanted["exits"][1] != 0  # what is left after damage is below
    assert told.elements == wanted.get("elements_without_index", wanted["elements"])
    assert told.integers == wanted["integers"]
    assert found.values.keys() == told.values.keys()
    for stream, values in found.values.items():
        assert_close(values, told, stream)
        positions, bits = told.exact[stream]
        np.testing.assert_array_equal(found.bits[stream][positions], bits)


@pytest.mark.parametrize("name", [name for name in NAMES if "levels" in expected(name)])
def test_first_code_levels(name: str) -> None:
    wanted = expected(name)["levels"]
    told = reader_verdict(VECTORS / f"{name}.embdc", wanted["count"])
    assert told.exits[2] == 0
    assert told.integers == wanted["integers"] != expected(name)["integers"]
    found = first_levels(VECTORS / f"{name}.embdc", wanted["count"])
    assert found.keys() == told.values.keys()
    for stream, values in found.items():
        assert_close(values, told, stream)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.npz")), ids=lambda path: path.stem)
def test_values_as_they_were_decoded_once(path: Path) -> None:
    told = of_reader(path.stem)
    with np.load(path) as kept:
        assert {name.replace(":", "/") for name in kept} == set(told.values)
        for name in kept:
            assert_close(kept[name], told, name.replace(":", "/"))


def test_vectors_are_complete_and_small() -> None:
    assert sorted(CASES) == NAMES
    assert {path.stem for path in (VECTORS / "since").iterdir()} == {name for name in NAMES if CASES[name].since}
    assert len(NAMES) >= 40
    assert max(path.stat().st_size for path in VECTORS.rglob("*.*")) <= LARGEST


def test_vectors_are_never_changed(tmp_path: Path) -> None:
    make_vectors.make("minimal", CASES["minimal"], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"minimal.embdc", "minimal.json"}
    with pytest.raises(FileExistsError, match=r"minimal\.embdc, minimal\.json"):
        make_vectors.make("minimal", CASES["plain"], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_vector_that_embdc_reads_otherwise_is_not_made(tmp_path: Path) -> None:
    case = Case(CASES["minimal"].about, CASES["minimal"].make, (0, 5, 0))
    with pytest.raises(ValueError, match="expected exits"):
        make_vectors.make("minimal", case, tmp_path)
    assert not list(tmp_path.iterdir())
