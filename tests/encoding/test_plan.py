"""Cuts, samples, surveys, and models that depend on nothing but the sample and the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.codec.transform.fit import Fit
from embdc_cli.encoding.survey import survey
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.tokens import CHUNK_VALUES, cut_rows
from embdc_cli.values import ArrayTensor, StreamSpec
from tests.synthetic import embeddings


def tensor(array: np.ndarray, counts: np.ndarray | None = None) -> ArrayTensor:
    rows = len(array) if counts is None else len(counts)
    spec = StreamSpec("x", "float32", "t,n,c", array.shape[1:], rows, ragged=counts is not None)
    return ArrayTensor(spec, array, counts)


@given(st.integers(0, 300), st.integers(1, 70), st.integers(1, 5))
def test_cuts_cover_all_rows_once(rows: int, chunk_frames: int, channels: int) -> None:
    cuts = cut_rows(tensor(np.zeros((rows, channels), np.float32)), chunk_frames)
    assert [row for start, stop in cuts for row in range(start, stop)] == list(range(rows))
    assert all(0 < stop - start <= chunk_frames for start, stop in cuts)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 7))
def test_ragged_cuts_cover_all_rows_once(counts: list[int], chunk_frames: int) -> None:
    array = np.zeros((sum(counts), 3), np.float32)
    cuts = cut_rows(tensor(array, np.array(counts, np.int64)), chunk_frames)
    assert [row for start, stop in cuts for row in range(start, stop)] == list(range(len(counts)))


@pytest.mark.parametrize(("width", "rows"), [(1, 1 << 18), (64, 4096), (1000, 256), (4096, 64), (40_000, 64)])
def test_small_rows_make_long_chunks_unless_asked(width: int, rows: int) -> None:
    narrow = tensor(np.broadcast_to(np.float32(0), (1 << 19, width)))
    assert cut_rows(narrow, None)[0] == (0, rows)
    assert cut_rows(narrow, 64)[0] == (0, 64)


def test_large_rows_make_short_chunks() -> None:
    wide = np.broadcast_to(np.float32(0), (10, CHUNK_VALUES // 3))
    assert cut_rows(tensor(wide), 64) == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_a_row_beyond_a_chunk_is_refused() -> None:
    with pytest.raises(UsageError, match="one row has"):
        cut_rows(tensor(np.broadcast_to(np.float32(0), (2, CHUNK_VALUES + 1))), 64)


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_the_first_value_that_is_not_finite_is_named(value: float, name: str) -> None:
    x = np.zeros((9, 4, 5), np.float32)
    x[6, 1, 3] = value
    x[7, 0, 0] = np.nan
    with pytest.raises(SourceError, match=rf"{name} at \[6, 1, 3\]"):
        survey(tensor(x), cut_rows(tensor(x), 4), nonfinite="refuse", lossy=True)


def test_a_survey_is_the_same_however_rows_are_cut() -> None:
    x = embeddings().astype(np.float32)
    one, other = (survey(tensor(x), cut_rows(tensor(x), rows), nonfinite="refuse", lossy=True) for rows in (64, 7))
    assert one.digest == other.digest
    assert one.moments is not None
    assert other.moments is not None
    np.testing.assert_allclose(one.moments.mean, x.reshape(-1, x.shape[-1]).mean(0), rtol=1e-5)
    np.testing.assert_allclose(one.moments.m2, other.moments.m2, rtol=1e-9)


def test_padding_is_zero_tokens_among_others_that_are_not_mostly_zeros() -> None:
    x = embeddings().astype(np.float32)
    found = {}
    for name, tokens in {"none": x, "padded": x.copy(), "rectified": np.maximum(x - x.mean(), 0)}.items():
        if name != "none":
            tokens[:, 2] = 0
        found[name] = survey(tensor(tokens), cut_rows(tensor(tokens), 7), nonfinite="refuse", lossy=True).padding
    assert found == {"none": False, "padded": True, "rectified": False}


@pytest.mark.parametrize("step", [1.0, 0.1, 0.01])
def test_models_of_a_step_are_the_same_every_time(step: float) -> None:
    x = embeddings()
    spec = StreamSpec("x", "float16", "t,n,c", x.shape[1:], len(x))
    fit = Fit(spec, [x])
    first = fit.models(fit.rms * step).to_bytes()
    fit.models(fit.rms * step * 0.3)
    assert fit.models(fit.rms * step).to_bytes() == first
