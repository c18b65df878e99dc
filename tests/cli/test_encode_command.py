"""`embdc encode`: which input goes where, what is said about it, and batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embdc_cli.cli import console
from embdc_cli.cli.progress import StageReporter
from embdc_cli.errors import SourceError, Stopped
from tests.cli import documents
from tests.cli.program import Embdc, Fake

SUMMARY = "a.npy -> a.embdc: 135 MB -> 2.00 MB (0.236 bits/value, 67.7x below float16), cosine 0.9703, 12.2 s\n"


def pairs(fake: Fake) -> list[tuple[str, str]]:
    return [(call["source"], call["output"]) for _, call in fake.calls]


def test_default_name_lies_beside_the_input(embdc: Embdc, fake: Fake) -> None:
    assert embdc("encode", "x/a.mp4").exit == 0
    assert pairs(fake) == [("x/a.mp4", "x/a.embdc")]


def test_one_line_on_stderr(embdc: Embdc) -> None:
    done = embdc("encode", "a.npy")
    assert (done.exit, done.out, done.err) == (0, "", SUMMARY)


def test_quiet(embdc: Embdc) -> None:
    done = embdc("encode", "a.npy", "-q")
    assert (done.out, done.err) == ("", "")


def test_verbose_adds_streams_and_times(embdc: Embdc) -> None:
    lines = embdc("encode", "a.npy", "-v").err.splitlines()
    assert lines[1:] == ["  patch: 900 x 196 x 384 float16, transform", "  time: plan 1.50 s, code 10.5 s"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"status": "skipped"}, "a.npy: skipped, a.embdc is complete and up to date"),
        (
            {"target": {"kind": "bpv", "value": 9, "saturated": True}},
            "a.npy: lossless is below the target already",
        ),
        (
            {"status": "incomplete", "exit": 3},
            "a.npy: the input is damaged, only its good part is in the archive",
        ),
        (
            {"achieved": {"cosine": None}, "seconds": {}, "bits_per_value": None, "ratio_fp16": None},
            "a.npy -> a.embdc: 135 MB -> 2.00 MB",
        ),
    ],
)
def test_what_is_said(embdc: Embdc, fake: Fake, changes: dict[str, Any], line: str) -> None:
    fake.answers["encode"] = documents.encode_document(**changes)
    done = embdc("encode", "a.npy")
    assert done.err.splitlines()[-1] == line
    assert done.exit == changes.get("exit", 0)


def test_dry_run_prints_the_plan_on_stdout_and_makes_no_folder(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    fake.answers["encode"] = documents.encode_document(output="out/a.embdc", status="planned")
    done = embdc("encode", "a.npy", "--out-dir", "out", "--dry-run")
    assert done.out.startswith("a.npy -> out/a.embdc: would be 135 MB -> 2.00 MB")
    assert done.err == ""
    assert not (tmp_path / "out").exists()


def test_json_of_one_input_is_its_document(embdc: Embdc) -> None:
    done = embdc("encode", "a.npy", "--json", "-q")
    assert done.json == documents.encode_document()
    assert done.err == ""


def test_numbers_that_json_lacks_become_null(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = documents.encode_document(achieved={"nmse": float("nan"), "cosine": [float("inf"), 1]})
    assert embdc("encode", "a.npy", "--json").json["achieved"] == {"nmse": None, "cosine": [None, 1]}


def test_json_of_several_inputs(embdc: Embdc, fake: Fake) -> None:
    done = embdc("encode", "a.npy", "b.npy", "--json")
    assert done.json["items"] == [
        documents.encode_document("a.npy", "a.embdc"),
        documents.encode_document("b.npy", "b.embdc"),
    ]
    assert done.json["totals"]["done"] == 2
    assert done.exit == done.json["exit"] == 0


def fail_for(*names: str) -> Any:
    """An answer that fails for the inputs `names`."""

    def answer(source: str, output: str, **_: Any) -> Any:
        if source in names:
            return SourceError(f"{source}: empty")
        return documents.encode_document(source, output)

    return answer


def test_batch_goes_on_after_a_failure(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = fail_for("b.npy")
    done = embdc("encode", "a.npy", "b.npy", "c.npy")
    assert done.exit == 3
    assert len(fake.calls) == 3
    assert "embdc: b.npy: empty" in done.err.splitlines()
    assert done.err.splitlines()[-1] == "3 inputs: 2 done, 1 failed; 271 MB -> 4.00 MB"


def test_a_name_with_control_characters_is_one_harmless_line(embdc: Embdc, fake: Fake) -> None:
    name = "a\nb\x1b[31m  c\r.npy"
    assert embdc("encode", name, "-o", "c").err.count("\n") == 1
    fake.answers["encode"] = SourceError(f"{name}: empty")
    assert embdc("encode", name, "-o", "c").err == "embdc: a b\\x1b[31m  c\\x0d.npy: empty\n"


def test_a_failure_in_a_batch_says_which_input_it_is(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = SourceError("stream 'data': NaN at [3, 2, 1], expected finite values")
    assert embdc("encode", "a.npy").err == "embdc: stream 'data': NaN at [3, 2, 1], expected finite values\n"
    lines = embdc("encode", "a.npy", "b.npy").err.splitlines()
    assert lines[:2] == [
        f"embdc: {name}: stream 'data': NaN at [3, 2, 1], expected finite values" for name in ("a.npy", "b.npy")
    ]


def test_fail_fast(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = fail_for("b.npy")
    done = embdc("encode", "a.npy", "b.npy", "c.npy", "--fail-fast")
    assert (done.exit, len(fake.calls)) == (3, 2)
    assert done.err.splitlines()[-1].startswith("3 inputs: 1 done, 1 failed, 1 remaining")


def test_a_stop_is_resumable(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = Stopped("a.embdc: stopped; what is done is kept", hint="the same with --resume goes on")
    done = embdc("encode", "a.npy", "b.npy", "--json")
    assert (done.exit, done.json["exit"], len(done.json["items"])) == (75, 75, 1)


def test_files_from_a_list(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"b.npy\n\nc d.npy\r\n")
    done = embdc("encode", "a.npy", "--files-from", "list", "--out-dir", "out", "--json")
    assert pairs(fake) == [("a.npy", "out/a.embdc"), ("b.npy", "out/b.embdc"), ("c d.npy", "out/c d.embdc")]
    assert done.json["totals"]["inputs"] == 3
    assert (tmp_path / "out").is_dir()


def test_a_list_on_stdin_cannot_name_stdin(embdc: Embdc, fake: Fake) -> None:
    done = embdc("encode", "--files-from", "-", "--out-dir", "out", stdin=b"a.npy\n-\n")
    assert (done.exit, done.err.splitlines()[0]) == (
        2,
        "embdc: input: - is given more than once, stdin can be read only once",
    )
    assert not fake.calls


def test_files_from_stdin_with_nul(embdc: Embdc, fake: Fake) -> None:
    assert embdc("encode", "--files-from", "-", "-0", stdin=b"a\nb.npy\0c.npy\0").exit == 0
    assert pairs(fake) == [("a\nb.npy", "a\nb.embdc"), ("c.npy", "c.embdc")]


@pytest.mark.parametrize("listed", [b"", b"a.npy\n"])
def test_a_list_is_a_batch_however_short(embdc: Embdc, fake: Fake, listed: bytes) -> None:
    fake.answers["encode"] = SourceError("a.npy: empty")
    done = embdc("encode", "--files-from", "-", "--json", stdin=listed)
    assert len(done.json["items"]) == len(listed.splitlines())
    assert done.exit == (3 if listed else 0)


def test_an_empty_list_says_so(embdc: Embdc) -> None:
    assert embdc("encode", "--files-from", "-").err == "0 inputs: nothing to do\n"


def test_a_missing_list(embdc: Embdc) -> None:
    done = embdc("encode", "--files-from", "list")
    assert (done.exit, done.err) == (8, "embdc: --files-from: list: No such file or directory\n")


def test_shards_cover_everything_once(embdc: Embdc, fake: Fake) -> None:
    names = [f"{number}.npy" for number in range(20)]
    for index in range(3):
        assert embdc("encode", *names, "--shard", f"{index}/3").exit == 0
    assert sorted(source for source, _ in pairs(fake)) == sorted(names)


def test_a_clash_in_another_shard_is_refused_in_every_shard(embdc: Embdc, fake: Fake) -> None:
    assert {embdc("encode", "a.npy", "a.mp4", "--shard", f"{index}/64").exit for index in range(64)} == {2}
    assert not fake.calls


def test_events(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    fake.answers["encode"] = fail_for("b.npy")
    embdc("encode", "a.npy", "b.npy", "--events", "log")
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(event["v"], event["type"], event["input"], event["status"], event["exit"]) for event in events] == [
        (1, "item", "a.npy", "done", 0),
        (1, "item", "b.npy", "failed", 8),
    ]


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("a.npy", "b.npy", "-o", "c"), "output: -o c with 2 inputs, expected one"),
    (("a.npy", "-o", "c", "--out-dir", "d"), "output: -o and --out-dir exclude each other"),
    (("a.npy", "a.mp4"), "output: a.embdc would hold both a.npy and a.mp4"),
    (("a.npy", "-o", "a.npy", "-f"), "output: a.npy is also the input"),
    (("a.npy", "-o", "-", "--json"), "--json: stdout is taken by -o -"),
    (("-", "--json"), "--json: stdout is taken by -o -"),
    (("-", "-", "--out-dir", "d"), "input: - is given more than once, stdin can be read only once"),
    (("-", "--files-from", "-"), "input: - is given more than once, stdin can be read only once"),
    (("a.npy", "--events", "missing/log"), "--events: missing/log: No such file or directory"),
]


@pytest.mark.parametrize(
    ("args", "message"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_refused(embdc: Embdc, fake: Fake, args: tuple[str, ...], message: str) -> None:
    done = embdc("encode", *args)
    assert done.exit == 2
    assert done.err.splitlines()[0] == f"embdc: {message}"
    assert not fake.calls


def test_out_dir_that_is_a_file(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    for folder in ("out", "out/deeper"):
        done = embdc("encode", "a.npy", "--out-dir", folder)
        assert (done.exit, done.err) == (2, f"embdc: --out-dir: {folder}: expected a folder, found a file\n")
    assert not fake.calls


def test_stdin_goes_to_stdout(embdc: Embdc, fake: Fake) -> None:
    assert embdc("encode", "-", stdin=b"x").exit == 0
    assert pairs(fake) == [("-", "-")]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("a.npy", "-o", "-"), "output: stdout is a terminal, expected a file or a pipe"),
        (("-", "-o", "b"), "input: stdin is a terminal, expected a file or a pipe"),
    ],
)
def test_binary_never_meets_a_terminal(
    embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("embdc_cli.cli.streams.is_terminal", lambda stream: True)
    done = embdc("encode", *args)
    assert (done.exit, done.err.splitlines()[0]) == (2, f"embdc: {message}")
    assert not fake.calls


def test_notes_of_the_library(embdc: Embdc, fake: Fake) -> None:
    def answer(source: str, output: str, reporter: Any, **_: Any) -> Any:
        reporter.note("a.npy: float64 cast to float32")
        return documents.encode_document()

    fake.answers["encode"] = answer
    assert embdc("encode", "a.npy").err == "embdc: note: a.npy: float64 cast to float32\n" + SUMMARY
    assert embdc("encode", "a.npy", "-q").err == ""


def progressing(**_: Any) -> Any:
    """An answer that reports progress before it is done."""
    reporter = _["reporter"]
    for done in range(3):
        reporter.progress("code", done, 3, "chunks")
    reporter.progress("write", 17, None, "rows")
    return documents.encode_document()


def test_no_progress_within_a_minute(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = progressing
    assert embdc("encode", "a.npy").err == SUMMARY


def test_a_plain_line_a_minute(embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 25))  # every look at the clock is 25 s later
    monkeypatch.setattr("embdc_cli.cli.progress.time.monotonic", lambda: float(next(now)))
    fake.answers["encode"] = progressing
    lines = embdc("encode", "a.npy", "b.npy").err.splitlines()
    shown = [line for line in lines if "chunks" in line or "rows" in line]
    assert shown == [
        "[1/2] a.npy: code: 2 of 3 (67 %) chunks, 1m40s",
        "[2/2] b.npy: code: 2 of 3 (67 %) chunks, 1m40s",
    ]


def test_a_bar_on_a_terminal_is_gone_in_the_end(embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda stream: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the captured stderr for a terminal
    monkeypatch.setenv("TERM", "xterm")
    fake.answers["encode"] = progressing
    err = embdc("encode", "a.npy").err
    assert "2/3 chunks" in err or "17 rows" in err
    assert "\x1b[2K" in err  # the line of the bar is erased
    assert err.endswith(SUMMARY)
    assert "\x1b" not in embdc("encode", "a.npy", "-q").err


def test_a_stage_without_a_total_does_not_inherit_one() -> None:
    reporter = StageReporter(console.Console(), show=True, live=True)
    try:
        reporter.progress("embed", 247, 247, "frames")
        reporter.progress("plan", 3, None, "trials")
        assert reporter._bar is not None
        tasks = [(task.description, task.completed, task.total) for task in reporter._bar.tasks]
        assert tasks == [("plan", 3, None)]
    finally:
        reporter.close()
