"""How often a codebook pays is told, segment by segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc

CHANNELS = 24
BASIS = np.linalg.qr(np.random.default_rng(1).standard_normal((CHANNELS, CHANNELS)))[0]


def tokens(rows: int, seed: int) -> np.ndarray:
    """(rows, 9, CHANNELS) of one covariance, whatever the seed."""
    x = np.random.default_rng(seed).standard_normal((rows, 9, CHANNELS)) / np.arange(1, CHANNELS + 1)
    return np.asarray(x @ BASIS.T, np.float32)


@pytest.fixture(scope="module")
def codebook(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("codebook")
    for seed in range(3):
        np.save(folder / f"{seed}.npy", tokens(200, seed))
    out = str(folder / "c.embdcb")
    embdc.train_codebook([str(folder / f"{seed}.npy") for seed in range(3)], out)
    return out


def test_a_short_input_of_the_same_kind_uses_it(codebook: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", tokens(12, 7))
    result = embdc.encode(str(tmp_path / "x.npy"), str(tmp_path / "x.embdc"), codebook=codebook, target_nmse=0.1)
    (stream,) = result["streams"]
    assert stream["segments"] == stream["codebook_segments"] == 1


def test_an_input_of_another_kind_does_not(codebook: str, tmp_path: Path) -> None:
    other = tokens(12, 7) @ np.linalg.qr(np.random.default_rng(2).standard_normal((CHANNELS, CHANNELS)))[0]
    few = np.concatenate([other[:1]] * 12).astype(np.float32)  # one row, again and again: a basis of its own is short
    result = embdc.encode(few, str(tmp_path / "x.embdc"), codebook=codebook, target_nmse=0.01)
    assert result["streams"][0]["segments"] == 1
    assert result["streams"][0]["codebook_segments"] == 0


def test_lossless_streams_have_no_segments(tmp_path: Path) -> None:
    (stream,) = embdc.encode(tokens(4, 1), str(tmp_path / "x.embdc"), codec="lossless")["streams"]
    assert stream["segments"] == stream["codebook_segments"] == 0
