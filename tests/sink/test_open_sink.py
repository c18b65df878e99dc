"""Choosing a format, what it cannot hold, rows that do not fit, and failing half way."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embdc_cli.errors import ResourceError, UsageError
from embdc_cli.sink import format_for, open_sink
from embdc_cli.values import StreamSpec
from tests.sink.written import Dribble, written

ONE = StreamSpec("a", "float32", "t,c", (2,), 4)
ROWS = np.arange(8, dtype=np.float32).reshape(4, 2)
RAGGED = StreamSpec("r", "float32", "t,n,c", (2,), 2, ragged=True)
FORMATS = ["npy", "npz", "safetensors", "h5", "pt", "raw"]


@pytest.mark.parametrize(
    ("path", "count", "asked", "form"),
    [
        ("x.npy", 1, None, "npy"),
        ("x.NPZ", 2, None, "npz"),
        ("d/x.safetensors", 1, None, "safetensors"),
        ("x.hdf5", 1, None, "h5"),
        ("x.h5", 2, None, "h5"),
        ("x.pth", 2, None, "pt"),
        ("x.raw", 1, None, "raw"),
        ("x", 1, None, "npy"),
        ("x", 2, None, "safetensors"),
        ("-", 1, None, "npy"),
        ("-", 2, None, "safetensors"),
        (None, 1, "h5", "h5"),
        ("x.npy", 2, "npz", "npz"),
        ("x.bin", 1, "raw", "raw"),
    ],
)
def test_formats(path: str | None, count: int, asked: str | None, form: str) -> None:
    specs = [replace(ONE, name=str(number)) for number in range(count)]
    assert format_for(path, specs, asked) == form


def test_a_ragged_stream_without_a_suffix_is_safetensors() -> None:
    assert format_for("-", [RAGGED]) == "safetensors"


@pytest.mark.parametrize(
    ("path", "specs", "asked", "words"),
    [
        ("x.npy", [ONE, RAGGED], None, "npy holds one array, found 2 streams (a, r)"),
        ("-", [ONE, RAGGED], "raw", "raw holds one array"),
        ("x.npy", [RAGGED], None, "npy cannot hold 'r'"),
        ("x.txt", [ONE], None, "found .txt"),
        ("x.npy", [ONE], "xls", "--format: expected one of npy"),
        ("x.npy", [], None, "expected at least one stream"),
    ],
)
def test_formats_that_cannot_be(path: str, specs: list[StreamSpec], asked: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_for(path, specs, asked)
    assert words in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("npz", ["a", "a"]),
        ("npz", ["a", "../b"]),
        ("npz", ["a", "/b"]),
        ("npz", ["a", ""]),
        ("h5", ["a", "a/b"]),
        ("h5", ["a", "b/"]),
        ("h5", ["a", "."]),
        ("h5", ["a", "b\0"]),
        ("safetensors", ["a", "__metadata__"]),
        ("safetensors", ["a", "a"]),
        ("pt", ["a", "a"]),
        ("h5", ["r", "r.token_counts"]),
        ("npz", ["r", "r.token_counts"]),
    ],
)
def test_names_that_a_format_cannot_hold(tmp_path: Path, form: str, names: list[str]) -> None:
    specs = [RAGGED if name == "r" else ONE for name in names]
    with pytest.raises(UsageError, match="output: "):
        open_sink(form, tmp_path / "a", specs, names, token_counts={"r": np.array([1, 1])})


def test_names_replace_those_of_the_specs(tmp_path: Path) -> None:
    with open_sink("npz", tmp_path / "a.npz", [ONE, ONE], ["0/a", "1/a"]) as sink:
        sink.write("0/a", 0, ROWS)
        sink.write("1/a", 0, ROWS + 1)
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["1/a"], ROWS + 1)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("row", "rows"),
    [(1, ROWS[:1]), (0, ROWS.astype(np.float16)), (0, ROWS[:, :1]), (0, np.concatenate([ROWS, ROWS])), (0, ROWS[0])],
)
def test_rows_that_do_not_fit(tmp_path: Path, form: str, row: int, rows: np.ndarray) -> None:
    sink = open_sink(form, tmp_path / "a", [ONE])
    with pytest.raises(ValueError, match="stream 'a'"):
        sink.write("a", row, rows)
    sink.discard()


class Failing(Dribble):
    """An output that fails once it has taken `room` bytes, and takes what comes later."""

    def __init__(self, room: int, number: int) -> None:
        super().__init__(1 << 20)
        self._room, self._number = room, number

    def write(self, data: object) -> int:
        taken = super().write(data)
        if self._number and len(self.data) > self._room:
            number, self._number = self._number, 0
            raise OSError(number, os.strerror(number))
        return taken


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("room", [0, 100, 700, 300_000])
@pytest.mark.parametrize(("number", "kind"), [(errno.EPIPE, BrokenPipeError), (errno.ENOSPC, ResourceError)])
def test_an_output_that_fails_on_the_way_says_why(form: str, room: int, number: int, kind: type[Exception]) -> None:
    rows = np.random.default_rng(1).standard_normal((400, 256)).astype(np.float32)
    spec = StreamSpec("a", "float32", "t,c", (256,), 400)
    with pytest.raises(kind):
        written(form, Failing(room, number), [spec], {"a": rows})


@pytest.mark.parametrize("form", FORMATS)
def test_missing_rows_are_not_closed_over(tmp_path: Path, form: str) -> None:
    sink = open_sink(form, tmp_path / "a", [ONE])
    sink.write("a", 0, ROWS[:3])
    with pytest.raises(ValueError, match="3 rows or tokens written, expected 4"):
        sink.close()
    sink.discard()


@pytest.mark.parametrize("form", ["npz", "safetensors", "h5", "pt"])
def test_ragged_rows_come_whole_and_in_order(tmp_path: Path, form: str) -> None:
    counts = {"r": np.array([1, 3])}
    with pytest.raises(ValueError, match="2 token counts, expected 3"):
        open_sink(form, tmp_path / "a", [replace(RAGGED, rows=3)], token_counts=counts)
    sink = open_sink(form, tmp_path / "a", [RAGGED], token_counts=counts)
    with pytest.raises(ValueError, match="written at row 1"):
        sink.write("r", 1, ROWS[:3])
    sink.write("r", 0, ROWS[:1])
    sink.write("r", 1, ROWS[1:])
    sink.close()
    sink.close()


@pytest.mark.parametrize("form", FORMATS)
def test_a_failure_leaves_the_stream_to_its_owner(form: str) -> None:
    out = io.BytesIO()
    sink = open_sink(form, out, [ONE])
    sink.write("a", 0, ROWS[:2])
    with pytest.raises(RuntimeError, match="stop"), sink:
        raise RuntimeError("stop")
    assert not out.closed
    size = len(out.getvalue())
    sink.discard()
    sink.close()
    assert len(out.getvalue()) == size


def test_a_discarded_npz_writes_no_directory() -> None:
    out = io.BytesIO()
    sink = open_sink("npz", out, [ONE])
    sink.write("a", 0, ROWS[:2])
    sink.discard()
    assert b"PK\x01\x02" not in out.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_a_resource_error(tmp_path: Path, form: str) -> None:
    spec = replace(ONE, rows=10_000)
    rows = np.zeros((10_000, 2), np.float32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(ResourceError, match="no space left on the device") as caught:
            written(form, tmp_path / "a", [spec], {"a": rows}, step=1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 9


def test_a_missing_folder_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_sink("npy", tmp_path / "no" / "a.npy", [ONE])


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "pt"])  # torch.save needs every row at once
def test_nothing_waits_in_scratch_when_streams_follow_each_other(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr("embdc_cli.sink.sink.scratch_file", lambda: made.append(1) or pytest.fail("scratch"))
    names = ["a"] if form in ("npy", "raw") else ["a", "b"]
    specs = [replace(ONE, name=name) for name in names]
    written(form, tmp_path / "a", specs, dict.fromkeys(names, ROWS))
    assert made == []


def test_scratch_files_are_gone_when_the_process_is(tmp_path: Path) -> None:
    code = (
        "import os, signal, numpy as np\n"
        "from embdc_cli.sink import open_sink\n"
        "from embdc_cli.values import StreamSpec\n"
        "spec = StreamSpec('a', 'float32', 't,c', (2,), 4)\n"
        "sink = open_sink('safetensors', os.devnull, [spec, spec], ['x', 'y'])\n"
        "sink.write('y', 0, np.zeros((4, 2), np.float32))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "EMBDC_TMPDIR": str(tmp_path)}, check=False)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_takes_little_at_once_gets_everything(tmp_path: Path) -> None:
    for form in FORMATS:
        pipe = Dribble(3)
        written(form, pipe, [ONE], {"a": ROWS})
        written(form, tmp_path / "a", [ONE], {"a": ROWS})
        assert bytes(pipe.data) == (tmp_path / "a").read_bytes()


def test_opening_a_plain_sink_imports_no_library() -> None:
    code = "import sys, embdc_cli.sink; print([m for m in ('torch', 'h5py', 'safetensors') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
