"""Weights of sampled chunks: from their definition, and what they are worth where one chunk is unlike the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.forecast.calibration import calibrated
from embdc_cli.forecast.sampling import Sample, draw
from embdc_cli.values import ArrayTensor, Dump, StreamSpec

ROWS = 8


def moving(speeds: list[float]) -> np.ndarray:
    """(T, 16, 24) float16: a chunk of ROWS rows for each speed, at which tokens walk at random."""
    rng = np.random.default_rng(3)
    steps = np.repeat(speeds, ROWS)[:, None, None] * rng.standard_normal((len(speeds) * ROWS, 16, 24))
    return (rng.standard_normal((16, 24)) * 4 + np.cumsum(steps, axis=0)).astype(np.float16)


def sampled(x: np.ndarray, chunks: int, rows: int = ROWS) -> Sample:
    dump = Dump([ArrayTensor(StreamSpec("x", "float16", "t,n,c", x.shape[1:], len(x)), x)])
    return draw(dump, rows, chunks * x[:rows].nbytes, seed=0)


def weights(sample: Sample) -> list[float]:
    assert sample.parts is not None
    return list(calibrated(sample).parts[0].coded.values())  # type: ignore[index]


def test_a_chunk_that_moves_more_than_most_counts_less() -> None:
    found = weights(sampled(moving([0.01] * 7 + [0.5]), 4))
    assert np.mean(found) == pytest.approx(1)
    assert found[3] == pytest.approx(0.5, abs=0.1)  # one of four, and one of eight
    assert np.ptp(found[:3]) < 0.1


def test_all_are_alike_where_nothing_tells_them_apart() -> None:
    still = np.ones((64, 4, 8), np.float16)
    assert weights(sampled(still, 4)) == [1.0] * 4
    assert weights(sampled(moving([0.1] * 8), 16, rows=1)) == [1.0] * 16  # one row does not move
    broken = moving([0.1] * 8)
    broken[3, 2, 1] = np.nan
    assert weights(sampled(broken, 4)) == [1.0] * 4


def test_a_video_has_no_more_than_its_sample() -> None:
    sample = sampled(moving([0.01] * 7 + [0.5]), 4)
    assert sample.parts is not None
    (part,) = sample.parts
    own = Sample(sample.dump, [type(part)(part.coded, frozenset(part.coded))], sample.cuts, 8, 1, 1)
    assert weights(own) == [1.0] * 4


@pytest.mark.parametrize("row", ["fast", "balanced"])
def test_one_lively_chunk_does_not_mislead(row: str, tmp_path: Path) -> None:
    x = moving([0.02] * 15 + [0.6])
    (found,) = embdc.plan(x, rows=[row], sample=x.nbytes // 4, chunk_frames=ROWS)["rows"]
    written = embdc.encode(x, tmp_path / "a.embdc", preset=row, chunk_frames=ROWS)
    assert found["file_bytes"] == pytest.approx(written["file_bytes"], rel=0.1)
