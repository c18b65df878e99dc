"""The sample that mixtures are learnt from: whole spans, evenly from everywhere, in two halves that tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codec.transform.mixture.columns import Columns
from embdc_cli.codec.transform.mixture.tracks import SPAN


def marked(rows: int, tokens: int) -> np.ndarray:
    """(rows, tokens, 2) float32: every token says its row and its place."""
    row, place = np.mgrid[0:rows, 0:tokens]
    return np.stack([row, place], axis=2).astype(np.float32)


@pytest.mark.parametrize("budget_share", [1, 2, 3, 7])
def test_spans_come_from_all_places_and_times(budget_share: int) -> None:
    x = marked(20 * SPAN + 5, 21)
    columns = Columns(x.size, x.size // budget_share)
    for start in range(0, len(x), 4 * SPAN):
        columns.add(x[start : start + 4 * SPAN])
    whole, short = columns.arrays
    assert whole.shape[0] == SPAN
    assert short.shape[0] == 5
    assert whole.size == pytest.approx(20 * SPAN * 42 / budget_share, rel=0.1)
    assert set(whole[0, :, 1]) == set(range(21))
    np.testing.assert_array_equal(np.diff(whole[:, :, 0], axis=0), 1)  # rows that follow each other


def test_halves_have_all_places_at_different_times() -> None:
    x = marked(12 * SPAN, 9)
    columns = Columns(x.size, x.size // 3)
    columns.add(x)
    (array,), (half,) = columns.arrays, columns.halves
    for part in (array[:, half], array[:, ~half]):
        assert set(part[0, :, 1]) == set(range(9))
    assert not set(array[0, half, 0]) & set(array[0, ~half, 0])


def test_one_span_is_halved_by_places() -> None:
    x = marked(SPAN, 9)
    columns = Columns(x.size, x.size // 2)
    columns.add(x)
    (array,), (half,) = columns.arrays, columns.halves
    assert array.shape[1] == len(half) == 5
    assert half.tolist() == [False, True, False, True, False]
