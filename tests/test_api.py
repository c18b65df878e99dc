"""The public functions: paths of either kind, and docstrings that name real options and errors."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli import errors
from embdc_cli.codebook.training import TrainOptions
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.options import CompareOptions, DecodeOptions, EncodeOptions
from tests.synthetic import embeddings


class Place:
    """A path that is no string and no pathlib.Path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


@pytest.mark.parametrize("kind", [Path, Place, os.fspath], ids=["Path", "PathLike", "str"])
def test_every_function_takes_paths(kind: type, tmp_path: Path) -> None:
    rows = embeddings(24)
    np.save(tmp_path / "a.npy", rows)
    np.save(tmp_path / "b.npy", rows[::-1])
    a, archive, book = (kind(tmp_path / name) for name in ("a.npy", "a.embdc", "c.embdcb"))
    trained = embdc.train_codebook([a, kind(tmp_path / "b.npy")], book, holdout=0.5)
    assert trained["output"] == str(tmp_path / "c.embdcb")
    done = embdc.encode(a, archive, codebook=book, embed_codebook="no", target_nmse=0.1)
    assert done["output"] == str(tmp_path / "a.embdc")
    (tmp_path / "c.embdcb").rename(tmp_path / "moved")  # found through its name only
    books = [kind(tmp_path / "moved")]
    assert embdc.inspect(archive, codebooks=books)["complete"]
    assert embdc.verify(archive, against=a, codebooks=books)["ok"]
    compared = embdc.compare(a, archive, codebooks=books)
    assert (compared["reference"], compared["other"]) == (str(tmp_path / "a.npy"), str(tmp_path / "a.embdc"))
    with embdc.open(archive, codebooks=books) as opened:
        values = opened["data"][:].numpy()
    embdc.decode(archive, kind(tmp_path / "out.npy"), codebooks=books)
    assert np.array_equal(np.load(tmp_path / "out.npy"), values)
    joined = embdc.cat([archive, archive], kind(tmp_path / "two.embdc"), join="items")
    assert (joined["items"], joined["inputs"]) == (2, [str(tmp_path / "a.embdc")] * 2)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (embdc.encode, EncodeOptions),
        (embdc.decode, DecodeOptions),
        (embdc.compare, CompareOptions),
        (embdc.train_codebook, TrainOptions),
    ],
)
def test_options_in_a_docstring_exist(function: Callable[..., object], options: type) -> None:
    heads = re.findall(r"(?:^ {4}|\. )((?:[a-z_]+, )*[a-z_]+): ", function.__doc__ or "", re.MULTILINE)
    named = {name for head in heads for name in head.split(", ")}
    assert len(named) >= 5
    assert named <= {field.name for field in fields(options)} | set(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "function",
    [
        embdc.open,
        embdc.plan,
        embdc.encode,
        embdc.decode,
        embdc.inspect,
        embdc.verify,
        embdc.compare,
        embdc.cat,
        embdc.train_codebook,
    ],
)
def test_errors_in_a_docstring_exist(function: object) -> None:
    raised = re.search(r"Raises: (.*)", function.__doc__ or "", re.DOTALL)
    assert raised is not None
    named = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", raised[1]))
    assert named
    assert named <= set(vars(errors))


def test_one_path_alone_is_a_list_of_one(tmp_path: Path) -> None:
    embdc.encode(embeddings(), tmp_path / "a.embdc")
    for one in (tmp_path / "a.embdc", str(tmp_path / "a.embdc")):
        assert embdc.cat(one, tmp_path / "b.embdc", force=True)["inputs"] == [str(tmp_path / "a.embdc")]
        assert embdc.inspect(tmp_path / "b.embdc", codebooks=one)["complete"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: embdc.open(3),  # type: ignore[arg-type]
        lambda: embdc.encode("a.npy", 3),  # type: ignore[arg-type]
        lambda: embdc.decode(None, "a.npy"),  # type: ignore[arg-type]
        lambda: embdc.inspect(["a.embdc"]),  # type: ignore[arg-type]
        lambda: embdc.verify("a.embdc", against=3),  # type: ignore[arg-type]
        lambda: embdc.cat(3, "c.embdc"),  # type: ignore[arg-type]
        lambda: embdc.cat(["a.embdc", 3], "c.embdc"),  # type: ignore[list-item]
        lambda: embdc.train_codebook([None], "c.embdcb"),  # type: ignore[list-item]
    ],
)
def test_what_is_no_path_is_named(call: Callable[[], object]) -> None:
    with pytest.raises(embdc.UsageError, match=r"^path: expected (a path|paths) or URLs?, found "):
        call()


def test_an_open_file_is_an_archive(tmp_path: Path) -> None:
    embdc.encode(embeddings(), tmp_path / "a.embdc")
    with (tmp_path / "a.embdc").open("rb") as file:
        assert embdc.open(file).streams == ["data"]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory.\nMore words"), MemoryError("CUDA out of memory.")]
)
@pytest.mark.parametrize("call", ["encode", "decode", "slice", "load", "prefetch"])
def test_memory_that_runs_out_is_an_error_of_embdc(
    call: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words and the exit code of the command; the cause is kept."""

    def full(*_: object) -> None:
        raise error

    rows, path = embeddings(24), tmp_path / "a.embdc"
    calls: dict[str, Any] = {
        "encode": lambda: embdc.encode(rows, path, force=True),
        "decode": lambda: embdc.decode(path, tmp_path / "a.npy"),
        "slice": lambda: embdc.open(path)["data"][3:9],
        "load": lambda: asyncio.run(embdc.open(path)["data"].load(slice(3, 9))),
        "prefetch": lambda: asyncio.run(embdc.open(path)["data"].prefetch([slice(3, 9)])),
    }
    embdc.encode(rows, path)
    before = path.read_bytes()
    for name in ("encode", "decode"):
        monkeypatch.setattr(TransformCodec, name, full)
    with pytest.raises(embdc.ResourceError, match=r"^out of memory: CUDA out of memory\.$") as told:
        calls[call]()
    assert (told.value.exit_code, told.value.__cause__) == (9, error)
    assert [file.name for file in tmp_path.iterdir()] == ["a.embdc"]
    assert path.read_bytes() == before
