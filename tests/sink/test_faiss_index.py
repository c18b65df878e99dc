"""FAISS reads our index, and finds in it what a search through the archive finds."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.errors import UsageError
from embdc_cli.sink import format_for
from embdc_cli.tokens import as_tokens
from embdc_cli.values import StreamSpec
from tests.sink.written import written

RNG = np.random.default_rng(3)
WALK = RNG.standard_normal((30, 9, 16)).cumsum(axis=0)
INPUTS: dict[str, Any] = {
    "float16": WALK.astype(np.float16),
    "float32": WALK.astype(np.float32),
    "bfloat16": torch.from_numpy(WALK).bfloat16(),
    "ragged": [WALK[0, :5].astype(np.float32), WALK[1, :0].astype(np.float32), WALK[2].astype(np.float32)],
}
SEARCH = """
import sys, faiss, numpy as np
index = faiss.read_index(sys.argv[1])
distances, ids = index.search(np.load(sys.argv[2]), 10)
np.savez(sys.argv[3], kind=type(index).__name__, vectors=index.reconstruct_n(0, index.ntotal), d=distances, ids=ids)
"""
"""In a process of its own: FAISS brings an OpenMP that does not get on with that of torch, and warns on import."""


@pytest.mark.parametrize("name", INPUTS)
def test_faiss_finds_what_search_finds(tmp_path: Path, name: str) -> None:
    if subprocess.run([sys.executable, "-c", "import faiss"], capture_output=True, check=False).returncode:
        pytest.skip("faiss is not installed")
    path = tmp_path / "a.embdc"
    embdc.encode(INPUTS[name], path, codec="vq", target_nmse=0.05)
    done = embdc.decode(path, tmp_path / "a.faiss")
    queries = RNG.standard_normal((5, 16)).astype(np.float32)
    np.save(tmp_path / "q.npy", queries)
    files = [str(tmp_path / file) for file in ("a.faiss", "q.npy", "found.npz")]
    subprocess.run([sys.executable, "-c", SEARCH, *files], check=True)
    found = np.load(tmp_path / "found.npz")
    view = embdc.open(path)["data"]
    tokens = as_tokens(view.numpy(range(view.spec.known_rows)), view.spec)
    assert done["format"] == "faiss"
    assert str(found["kind"]) == ("IndexScalarQuantizer" if name == "float16" else "IndexFlatL2")
    assert found["vectors"].tobytes() == tokens.tobytes()
    counts = [9] * 30 if view.token_counts is None else view.token_counts
    rounding = 1e-2 if name == "bfloat16" else 2e-3
    first = np.cumsum(counts) - counts
    for number, query in enumerate(view.search(queries, metric="l2")["queries"]):
        ids = [int(first[hit["frame"]]) + hit["token"] for hit in query["hits"]]
        # of tokens that are as near but for rounding either may come first
        distances = ((found["vectors"][ids] - queries[number]) ** 2).sum(axis=1)
        np.testing.assert_allclose(distances, found["d"][number], rtol=rounding)
        np.testing.assert_allclose([hit["score"] for hit in query["hits"]], found["d"][number], rtol=rounding)
        assert len(set(ids) & set(found["ids"][number])) >= 8


def test_channels_come_last(tmp_path: Path) -> None:
    rows = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    spec = StreamSpec("a", "float32", "t,c,n", (3, 4), 2)
    written("faiss", tmp_path / "a.faiss", [spec], {"a": rows})
    data = (tmp_path / "a.faiss").read_bytes()
    assert struct.unpack_from("<4siq", data) == (b"IxF2", 3, 8)
    values = np.frombuffer(data[-96:], "<f4").reshape(2, 4, 3)
    np.testing.assert_array_equal(values, np.moveaxis(rows, 1, -1))
    assert struct.unpack_from("<Q", data, len(data) - 104) == (24,)


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ([StreamSpec("a", "int64", "t,c", (2,), 4)], "faiss holds embeddings, found 'a' of int64"),
        ([StreamSpec(name, "float32", "t,c", (2,), 4) for name in "ab"], "faiss holds one array, found 2 streams"),
    ],
)
def test_refused(specs: list[StreamSpec], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        format_for("x.faiss", specs)
