"""Quality along the rows: bins, worst rows, and their times."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.comparison.series import BINS
from tests.comparison import definitions
from tests.comparison.definitions import noisy, stream
from tests.synthetic import embeddings

X = embeddings(50, 6, 16)


def by_row(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nmse, cosine) of every row."""
    a, b = x.astype(np.float64), y.astype(np.float64)
    energy = ((a - definitions.tokens(x).mean(0)) ** 2).sum((1, 2))
    return ((a - b) ** 2).sum((1, 2)) / energy, definitions.cosines(a, b).mean(1)


def test_few_rows_have_a_bin_each() -> None:
    y = noisy(X)
    nmse, cosine = by_row(X, y)
    found = stream(X, y)["over_time"]
    assert found["row"] == list(range(50))
    assert found["seconds"] is None
    assert found["nmse"] == pytest.approx(nmse)
    assert found["cosine"] == pytest.approx(cosine)


@pytest.mark.parametrize("rows", [BINS, BINS + 1, 1000])
def test_many_rows_share_bins(rows: int) -> None:
    x = embeddings(rows, 2, 4)
    y = noisy(x)
    found = stream(x, y)["over_time"]
    assert len(found["row"]) == BINS
    edges = [*found["row"], rows]
    assert edges[0] == 0
    sizes = np.diff(edges)
    assert set(sizes) <= {rows // BINS, -(-rows // BINS)}
    _, cosine = by_row(x, y)
    means = [cosine[a:b].mean() for a, b in pairwise(edges)]
    assert found["cosine"] == pytest.approx(means)


def test_the_worst_rows_come_first() -> None:
    y = noisy(X, 0.1)
    for row, noise in ((31, 3.0), (4, 2.0), (17, 1.0)):
        y[row] = noisy(X[row], noise)
    nmse, cosine = by_row(X, y)
    worst = stream(X, y)["worst"]
    by_cosine = [one for one in worst if one["by"] == "cosine"]
    assert [one["row"] for one in by_cosine] == np.argsort(cosine)[:5].tolist()
    assert [one["row"] for one in worst if one["by"] == "nmse"] == np.argsort(-nmse)[:5].tolist()
    assert by_cosine[0] == {
        "by": "cosine",
        "row": 31,
        "seconds": None,
        "nmse": pytest.approx(nmse[31]),
        "cosine": pytest.approx(cosine[31]),
    }


def test_of_equally_bad_rows_the_first() -> None:
    worst = stream(X, X)["worst"]
    assert [one["row"] for one in worst if one["by"] == "nmse"] == [0, 1, 2, 3, 4]


def test_times_of_an_archive_and_of_a_dump(tmp_path: Path) -> None:
    y = noisy(X)
    for name, array in (("x", X), ("y", y)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["clip"], file["timestamps"] = array, (np.arange(50) / 25).astype(np.float32)
    embdc.encode(tmp_path / "x.h5", tmp_path / "x.embdc", target_nmse=0.1)
    for other in ("y.h5", "x.embdc"):
        document = embdc.compare(tmp_path / "x.h5", tmp_path / other)
        (found,) = document["streams"]
        assert found["name"] == "clip"
        assert found["over_time"]["seconds"] == pytest.approx((np.arange(50) * 0.04).tolist())
        assert all(one["seconds"] == pytest.approx(one["row"] * 0.04) for one in found["worst"])
        assert document["companions"] == [{"name": "timestamps", "identical": True}]
    # either of them may know the times
    of_dump = stream(tmp_path / "x.h5", {"clip": y})
    of_archive = stream({"clip": X}, tmp_path / "x.embdc", key="clip")
    for found in (of_dump, of_archive):
        assert found["over_time"]["seconds"][-1] == pytest.approx(49 * 0.04)
