"""`embdc ls`: what it prints in which form, and the loop with `embdc encode`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.listing.rows import FIELDS
from tests.listing.test_listing import interrupted

OPTIONS: dict[str, Any] = {"chunk_frames": 8}
FLAGS = ["--chunk-frames", "8", "-q"]
Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dumps a and b and their archives in `out`."""
    folder = tmp_path_factory.mktemp("dumps")
    (folder / "out").mkdir()
    for number, name in enumerate("ab"):
        rows = np.random.default_rng(number).standard_normal((40, 4, 8)).cumsum(axis=0)
        np.save(folder / f"{name}.npy", rows.astype(np.float16))
        embdc.encode(folder / f"{name}.npy", folder / f"out/{name}.embdc", **OPTIONS)
    return folder


@pytest.fixture
def run(dumps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs `embdc ls ARGS` in a copy of that folder; (exit code, stdout, stderr)."""
    for path in dumps.rglob("*.*"):
        target = tmp_path / path.relative_to(dumps)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def ls(*args: str) -> tuple[int, bytes, str]:
        code = main(["ls", *args])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return ls


def test_every_form_has_the_same_rows(run: Run) -> None:
    from pyarrow import parquet

    Path("out/broken.embdc").write_bytes(b"no archive")
    code, out, err = run("out", "--json")
    document = json.loads(out)
    assert (code, document) == (3, embdc.ls("out"))
    assert err == "embdc: out/broken.embdc: expected an embdc signature, found 6e 6f 20 61 72 63 68 69\n"
    rows = document["items"]
    assert [list(row) for row in rows] == [list(FIELDS)] * 3
    code, out, _ = run("out")
    assert (code, [json.loads(line) for line in out.splitlines()]) == (3, rows)
    assert run("out", "-o", "m.parquet")[:2] == (3, b"")
    assert parquet.read_table("m.parquet").to_pylist() == rows
    assert run("out", "--format", "parquet")[1] == Path("m.parquet").read_bytes()
    lines = list(csv.DictReader(io.StringIO(run("out", "--format", "csv")[1].decode())))
    assert [line["path"] for line in lines] == [row["path"] for row in rows]
    assert [json.loads(line["streams"] or "null") for line in lines] == [row["streams"] for row in rows]
    assert [line["complete"] for line in lines] == ["true", "true", "false"]
    assert [line["seconds"] for line in lines] == ["", "", ""]
    assert run("out", "--format", "paths", "-0")[1] == b"out/a.embdc\0out/b.embdc\0out/broken.embdc\0"
    Path("out/a.embdc").write_bytes(Path("out/a.embdc").read_bytes() + Path("out/b.embdc").read_bytes())
    assert len(run("out")[1].splitlines()) == 4  # items, of
    assert run("out", "--format", "paths")[1] == b"out/a.embdc\nout/b.embdc\nout/broken.embdc\n"


def test_table(run: Run) -> None:
    size = Path("out/a.embdc").stat().st_size
    code, out, err = run("out", "--format", "table")
    first, second, _ = out.decode().splitlines()
    assert first.split() == ["archive", "item", "time", "streams", "size", "status"]
    assert second.split("  ")[0] == "out/a.embdc"
    assert "data 40 x 4 x 8 float16" in second
    assert second.endswith(f"{size / 1000:.2f} kB  complete")
    total = size + Path("out/b.embdc").stat().st_size
    assert (code, err) == (0, f"2 archives, 2 items; {total / 1000:.2f} kB\n")
    assert run("out", "-v")[2] == f"read {total / 1000:.2f} kB in 2 reads\n"
    Path("out/b.embdc").write_bytes(Path("out/a.embdc").read_bytes()[:-1])
    code, out, err = run("out", "--format", "table")
    assert (code, "incomplete" in out.decode(), ", 1 incomplete;" in err) == (0, True, True)
    assert "data ? x 4 x 8 float16" in out.decode()


def test_a_table_on_a_terminal_and_no_binary_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embdc_cli.cli.ls.is_terminal", lambda stream: True)
    monkeypatch.setattr("embdc_cli.cli.streams.is_terminal", lambda stream: True)
    assert run("out")[1].startswith(b"archive")
    assert run("out", "--incomplete")[1].startswith(b"archive")
    code, out, err = run("out", "--format", "parquet")
    assert (code, out, err.splitlines()[0]) == (
        2, b"", "embdc: output: stdout is a terminal, expected a file or a pipe",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "path: missing, expected folders, archives or patterns"),
        (("-",), 2, "input: -: expected a path or URL, standard input cannot be sought in"),
        (("out", "-0"), 2, "--null: expected paths or inputs, found ndjson"),
        (("out", "--json", "--format", "csv"), 2, "--json: not with --format, -o or -0"),
        (("out", "--format", "table", "-o", "t"), 2, "--format table: only on standard output"),
        (("out", "-o", "a.npy"), 7, "output: a.npy exists"),
        (("out", "--expect", "list"), 8, "--expect: list: No such file or directory"),
        (("no*.embdc",), 8, "no*.embdc: nothing matches"),
        (("no.embdc",), 8, "no.embdc: No such file or directory"),
    ],
)
def test_refused(run: Run, args: tuple[str, ...], code: int, message: str) -> None:
    found = run(*args)
    assert (found[0], found[2].splitlines()[0]) == (code, f"embdc: {message}")


def test_parquet_without_pyarrow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = run("out", "-o", "m.parquet")
    assert (code, out) == (2, b"")
    assert err == "embdc: --format parquet: needs pyarrow\nhint: pip install 'embdc[parquet]'\n"
    assert not Path("m.parquet").exists()


def test_names_that_are_no_unicode(run: Run) -> None:
    from pyarrow import parquet

    strange = os.fsdecode(b"out/\xff.embdc")
    os.rename("out/a.embdc", strange)
    os.remove("out/b.embdc")
    assert run("out", "--format", "paths")[1] == b"out/\xff.embdc\n"
    assert b"out/\xff.embdc,0" in run("out", "--format", "csv")[1]
    assert json.loads(run("out")[1])["path"] == strange
    assert run("out", "-o", "m.parquet")[0] == 0
    assert parquet.read_table("m.parquet")["path"].to_pylist() == ["out/\\xff.embdc"]


def shell(command: str) -> subprocess.CompletedProcess[str]:
    program = f'embdc() {{ "{sys.executable}" -m embdc_cli "$@"; }}\nset -o pipefail\n'
    environment = os.environ | {"PYTHONPATH": str(Path(embdc.__file__).parent.parent)}
    return subprocess.run(
        ["bash", "-c", program + command], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("end", ["", "-0"])
def test_what_is_left_to_do_is_done_by_a_loop(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    whole = {name: Path(f"out/{name}.embdc").read_bytes() for name in "ab"}
    for name in "ab":
        os.remove(f"out/{name}.embdc")
        interrupted(Path(f"{name}.npy"), Path(f"out/{name}.embdc"), monkeypatch, 900, **OPTIONS)
    code, out, err = run("--incomplete", "out", *end.split())
    assert (code, err) == (0, "")
    assert out.replace(b"\0", b"\n").decode().splitlines() == [str(tmp_path / f"{name}.npy") for name in "ab"]
    loop = (
        f"embdc ls --incomplete out {end} | embdc encode --files-from - {end} --out-dir out --resume --chunk-frames 8"
    )
    done = shell(loop)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {name: Path(f"out/{name}.embdc").read_bytes() for name in "ab"} == whole
    assert run("--incomplete", "out") == (0, b"", "")


def test_what_a_work_list_lacks_is_encoded(run: Run) -> None:
    whole = {name: Path(f"out/{name}.embdc").read_bytes() for name in "ab"}
    os.remove("out/a.embdc")
    Path("out/b.embdc").write_bytes(whole["b"][:-5])
    Path("list").write_text("a.npy\nb.npy\n")
    assert run("--incomplete", "out", "--expect", "list")[:2] == (0, b"b.npy\na.npy\n")
    encode = "embdc encode --files-from - --out-dir out --resume --skip-existing -f --chunk-frames 8"
    done = shell(f"embdc ls --incomplete out --expect list | {encode}")
    assert done.returncode == 0, done.stderr
    assert {name: Path(f"out/{name}.embdc").read_bytes() for name in "ab"} == whole


def test_an_archive_of_several_items_has_one_note(run: Run) -> None:
    whole = Path("out/a.embdc").read_bytes()
    Path("out/a.embdc").write_bytes(whole + b"junk" + whole)
    noted = "embdc: note: out/a.embdc: incomplete, not known what it is made of; name its input in --expect LIST\n"
    assert run("out", "--incomplete") == (0, b"", noted)


def test_notes_on_what_a_list_of_inputs_does_not_lead_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out/a.embdc").write_bytes(Path("out/a.embdc").read_bytes()[:-1])
    interrupted(Path("b.npy"), Path("out/other.embdc"), monkeypatch, **OPTIONS)
    code, out, err = run("out", "--incomplete")
    made_of = os.path.abspath("b.npy")
    assert (code, out) == (0, b"")
    assert err.splitlines() == [
        "embdc: note: out/a.embdc: incomplete, not known what it is made of; name its input in --expect LIST",
        "embdc: note: out/other.embdc: unfinished, made with -o: "
        f"`embdc encode {made_of} -o out/other.embdc --resume` goes on, with the options of the first run",
    ]
    assert run("out", "--incomplete", "-q")[2] == ""


def test_work_with_streams_beside_its_input_is_gone_on_with_by_the_command_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = np.arange(40) / 5
    np.savez("v.npz", data=np.load("a.npy"), timestamps=times)
    np.save("so und@.npy", np.load("b.npy")[:, 0])
    np.save("times.npy", times)
    options = {**OPTIONS, "key": "data", "add": ["x=so und@.npy@5hz", "y=b.npy@times.npy"]}
    embdc.encode("v.npz", "whole.embdc", **options)
    interrupted(Path("v.npz"), Path("out/v.embdc"), monkeypatch, 900, **options)
    added = [f"x={tmp_path}/so und@.npy@5hz", f"y={tmp_path}/b.npy@{tmp_path}/times.npy"]
    (row,) = embdc.ls("out", incomplete=True)["items"]
    assert (row["status"], row["input"], row["add"]) == ("unfinished", str(tmp_path / "v.npz"), added)
    (line,) = csv.DictReader(io.StringIO(run("out", "--incomplete", "--format", "csv")[1].decode()))
    assert json.loads(line["add"]) == added
    code, out, err = run("out", "--incomplete")
    assert (code, out) == (0, b"")
    told = err.removeprefix("embdc: note: out/v.embdc: unfinished, made with --add: `")
    command, rest = told.split("`")
    assert rest == " goes on, with the options of the first run\n"
    os.mkdir("elsewhere")
    done = shell(f"cd elsewhere && {command.replace('-o out', '-o ../out')} --key data --chunk-frames 8")
    assert done.returncode == 0, done.stderr
    assert Path("out/v.embdc").read_bytes() == Path("whole.embdc").read_bytes()
    assert run("out", "--incomplete") == (0, b"", "")
