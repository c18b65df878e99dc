"""Digests that recognise an input: the same from a file, from its tensors, and from bytes that pass by."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.source import digest
from embdc_cli.source.digest import EndsDigest, ends_digest, head_digest, input_bytes
from embdc_cli.values import ArrayTensor, StreamSpec


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1 << 20, (1 << 20) + 1, (1 << 21) + 3])
def test_digests_of_files_follow_their_definition(tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "a").write_bytes(data)
    ends = struct.pack("<Q", size) + data[: 1 << 20] + data[-(1 << 20) :]
    assert head_digest(tmp_path / "a") == hashlib.sha256(data[:65536]).hexdigest() == head_digest(data)
    assert ends_digest(str(tmp_path / "a")) == hashlib.sha256(ends).hexdigest()
    assert input_bytes(tmp_path / "a") == size


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_bytes_that_pass_by(pieces: list[bytes]) -> None:
    passing = EndsDigest()
    for piece in pieces:
        passing.update(piece)
    data = b"".join(pieces)
    assert passing.hexdigest() == hashlib.sha256(struct.pack("<Q", len(data)) + data + data).hexdigest()


def test_long_streams_in_small_pieces(tmp_path: Path) -> None:
    data = np.random.default_rng(1).bytes((5 << 20) + 17)
    (tmp_path / "a").write_bytes(data)
    passing = EndsDigest()
    for start in range(0, len(data), 70_001):
        passing.update(data[start : start + 70_001])
    assert passing.hexdigest() == ends_digest(tmp_path / "a")


@given(st.integers(0, 30), st.integers(0, 30), st.data())
def test_tensors_stand_for_their_bytes(rows: int, values: int, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows)), np.int64)
    first = np.arange(rows * values, dtype=np.float32).reshape(rows, values)
    flat = np.arange(int(counts.sum()) * 3, dtype=np.uint16).reshape(-1, 3)
    tensors = [
        ArrayTensor(StreamSpec("a", "float32", "t,c", (values,), rows), first),
        ArrayTensor(StreamSpec("b", "bfloat16", "t,n,c", (3,), rows, ragged=True), flat, counts),
        ArrayTensor(StreamSpec("c", "int64", "c", (2,), 1), np.array([[4, 5]])),
    ]
    whole = first.tobytes() + flat.tobytes() + np.array([4, 5]).tobytes()
    assert input_bytes(tensors) == len(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "HEAD_BYTES", 50)
        patch.setattr(digest, "END_BYTES", 70)
        assert head_digest(tensors) == hashlib.sha256(whole[:50]).hexdigest()
        ends = struct.pack("<Q", len(whole)) + whole[:70] + whole[-70:]
        assert ends_digest(tensors) == hashlib.sha256(ends).hexdigest()
