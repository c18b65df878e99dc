"""List files, and the names of outputs."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli import worklist
from embdc_cli.errors import SourceError, UsageError

BYTE_NAMES = st.binary(min_size=1).filter(lambda name: not set(name) & {0, 10, 13})


@given(st.lists(BYTE_NAMES), st.booleans())
def test_list_gives_back_the_names(names: list[bytes], null: bool) -> None:
    source = b"".join(name + (b"\0" if null else b"\n") for name in names)
    assert worklist.read_list(io.BytesIO(source), null=null) == [os.fsdecode(name) for name in names]


@pytest.mark.parametrize(
    ("data", "null", "items"),
    [
        (b"", False, []),
        (b"a\nb", False, ["a", "b"]),
        (b"a\r\nb\r\n", False, ["a", "b"]),
        (b"\n\na\n\n", False, ["a"]),
        (b" a b \n#c\n", False, [" a b ", "#c"]),
        (b"a\nb\0c\r\0", True, ["a\nb", "c\r"]),
    ],
)
def test_list(data: bytes, null: bool, items: list[str]) -> None:
    assert worklist.read_list(io.BytesIO(data), null=null) == items


def test_missing_list_is_a_missing_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"--files-from: .*nothing: No such file"):
        worklist.open_list(str(tmp_path / "nothing"), lambda: io.BytesIO(), null=False)


@pytest.mark.parametrize("option", ["--files-from", "--expect"])
def test_a_list_that_ends_its_names_with_nul_has_no_lines(tmp_path: Path, option: str) -> None:
    (tmp_path / "list").write_bytes(b"a.npy\0b.npy\0")
    with pytest.raises(UsageError, match=rf"^{option}: .*list: expected one name a line, found NUL") as caught:
        worklist.open_list(str(tmp_path / "list"), lambda: io.BytesIO(), null=False, option=option)
    assert "-0" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("source", "folder", "name"),
    [
        ("a.mp4", None, "a.embdc"),
        ("x/a.mp4", None, "x/a.embdc"),
        ("/x/a.b.npy", None, "/x/a.b.embdc"),
        ("x/a", None, "x/a.embdc"),
        ("x/.npy", None, "x/.npy.embdc"),
        ("x/a.mp4", "out", "out/a.embdc"),
        ("-", None, "-"),
        ("-", "out", "-"),
        ("s3://bucket/x/a.npy", None, "a.embdc"),
        ("https://host/x/a.npy?key=1/2#frag", "out", "out/a.embdc"),
    ],
)
def test_output_name(source: str, folder: str | None, name: str) -> None:
    assert worklist.output_name(source, folder, ".embdc") == name


@pytest.mark.parametrize(
    ("inputs", "output", "folder", "message"),
    [
        (["a.npy", "b.npy"], "c.embdc", None, "output: -o c.embdc with 2 inputs, expected one"),
        (["a.npy"], "c.embdc", "out", "output: -o and --out-dir exclude each other"),
        (["a.npy", "a.mp4"], None, None, "output: a.embdc would hold both a.npy and a.mp4"),
        (["x/a.npy", "y/a.npy"], None, "out", "output: out/a.embdc would hold both x/a.npy and y/a.npy"),
        (["a.npy", "a.npy"], None, None, "input: a.npy is named twice"),
        (["x/a.npy", "x/../x/a.npy"], None, "out", "input: x/../x/a.npy is named twice, as x/a.npy and x/../x/a.npy"),
        (["a.npy"], "./x/../a.npy", None, "output: ./x/../a.npy is also the input"),
        (["a.embdc"], None, None, "output: a.embdc is also the input"),
    ],
)
def test_outputs_that_clash(inputs: list[str], output: str | None, folder: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        worklist.assign_outputs(inputs, output=output, folder=folder, suffix=".embdc")
    assert caught.value.message == message


def test_output_that_is_the_input_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    (tmp_path / "link").symlink_to("a.npy")
    with pytest.raises(UsageError, match="is also the input"):
        worklist.assign_outputs([str(tmp_path / "a.npy")], output=str(tmp_path / "link"), folder=None, suffix=".embdc")


def test_outputs() -> None:
    jobs = worklist.assign_outputs(["a.npy", "x/b.mp4"], output=None, folder=None, suffix=".embdc")
    assert jobs == [{"input": "a.npy", "output": "a.embdc"}, {"input": "x/b.mp4", "output": "x/b.embdc"}]
