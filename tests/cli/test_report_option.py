"""`--report FILE`: who writes one, when, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from embdc_cli.errors import SourceError
from embdc_cli.forecast.options import PlanOptions
from tests.cli import documents
from tests.cli.html_report.reading import Reading
from tests.cli.program import Embdc, Fake

RUNS = {
    "compare": ("compare", "a.npy", "a.embdc"),
    "plan": ("plan", "a.npy"),
    "inspect": ("inspect", "a.embdc"),
    "train-codebook": ("train-codebook", "a.npy", "-o", "c.embdcb"),
}


@pytest.mark.parametrize("command", RUNS)
def test_written_beside_the_usual_output(embdc: Embdc, command: str, tmp_path: Path) -> None:
    plain = embdc(*RUNS[command])
    done = embdc(*RUNS[command], "--report", "r.html")
    assert (done.exit, done.out) == (plain.exit, plain.out)
    assert "r.html: the report, for a browser" in done.err.splitlines()
    assert Reading((tmp_path / "r.html").read_text("utf-8")).count("svg") > 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize("command", RUNS)
def test_json_stays_one_document(embdc: Embdc, command: str) -> None:
    done = embdc(*RUNS[command], "--report", "r.html", "--json", "-q")
    assert (done.json["exit"], done.err) == (0, "")


@pytest.mark.parametrize("command", RUNS)
def test_an_existing_file_needs_force(embdc: Embdc, fake: Fake, command: str, tmp_path: Path) -> None:
    (tmp_path / "r.html").write_text("old")
    refused = embdc(*RUNS[command], "--report", "r.html")
    assert (refused.exit, fake.calls) == (7, [])
    assert "r.html exists" in refused.err
    assert (tmp_path / "r.html").read_text() == "old"
    assert embdc(*RUNS[command], "--report", "r.html", "-f").exit == 0
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("command", RUNS)
@pytest.mark.parametrize(
    ("path", "message"), [("-", "--report: -"), ("no/r.html", "does not exist"), (".", "is a folder")]
)
def test_refused_before_anything_is_read(embdc: Embdc, fake: Fake, command: str, path: str, message: str) -> None:
    done = embdc(*RUNS[command], "--report", path)
    assert (done.exit, done.out, fake.calls) == (2, "", [])
    assert message in done.err


@pytest.mark.parametrize("command", RUNS)
def test_an_input_is_not_overwritten(embdc: Embdc, fake: Fake, command: str, tmp_path: Path) -> None:
    name = RUNS[command][1]
    (tmp_path / name).write_bytes(b"x")
    done = embdc(*RUNS[command], "--report", name, "-f")
    assert (done.exit, fake.calls) == (2, [])
    assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize(
    "args", [("plan", "a.npy", "--emit", "same", "-f"), ("train-codebook", "a.npy", "-o", "./same", "-f")]
)
def test_two_outputs_of_one_name(embdc: Embdc, fake: Fake, args: tuple[str, ...]) -> None:
    done = embdc(*args, "--report", "same")
    assert (done.exit, fake.calls) == (2, [])
    assert "is also another output" in done.err


def test_a_missed_limit_is_reported_too(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    fake.answers["compare"] = documents.compare_document(missed=[documents.MISS], exit=4)
    assert embdc("compare", "a.npy", "a.embdc", "--report", "r.html").exit == 4
    assert "Beyond a limit" in (tmp_path / "r.html").read_text("utf-8")


@pytest.mark.parametrize("command", RUNS)
def test_no_report_of_nothing(embdc: Embdc, fake: Fake, command: str, tmp_path: Path) -> None:
    fake.answers[{"train-codebook": "train"}.get(command, command)] = SourceError("empty")
    assert embdc(*RUNS[command], "--report", "r.html").exit == 8
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_one_page(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    fake.answers["inspect"] = lambda path, **rest: (
        SourceError("b: empty") if path == "b" else documents.inspect_document(path)
    )
    assert embdc("inspect", "a", "b", "c", "--report", "r.html").exit == 3
    found = Reading((tmp_path / "r.html").read_text("utf-8"))
    assert (found.count("h2"), found.count("svg")) == (3, 2)
    assert "Failed: b: empty" in found.text


def test_the_row_of_the_plan_that_is_marked(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    assert embdc("plan", "a.npy", "--report", "r.html").exit == 0
    assert fake.last["options"] == PlanOptions()
    assert "balanced (chosen)" in (tmp_path / "r.html").read_text("utf-8")
    assert embdc("plan", "a.npy", "--report", "r.html", "-f", "--choose", "cosine=0.8").exit == 0
    assert "cosine=0.8" in fake.last["options"].rows
    assert [function for function, _ in fake.calls] == ["plan", "plan"]
