"""What is looked at: everything that fits, else runs of rows over all of it, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution import sample
from embdc_cli.distribution.sample import RUN, draw, tokens_of
from embdc_cli.values import ArrayTensor, StreamSpec
from tests.distribution.sources import noise, sample_of


def test_everything_where_it_fits() -> None:
    x = noise(20, 16, 3)
    found = sample_of(x)
    assert np.array_equal(found.values[0], x)
    assert (found.width, found.tokens, found.nonfinite) == (4, 320, 0)
    assert found.centred.mean(axis=(0, 1, 2)) == pytest.approx(0, abs=1e-6)
    assert found.variances == pytest.approx(x.var(axis=(0, 1)), rel=1e-5)


def test_runs_from_the_first_row_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 5 * RUN * 8)
    x = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 8, axis=1)
    found = sample_of(x)
    assert found.values.shape == (5, RUN, 1, 8)
    starts = found.values[:, 0, 0, 0]
    assert (starts[0], found.values[-1, -1, 0, 0]) == (0, 999)
    assert np.ptp(np.diff(starts)) <= 1
    assert (np.diff(found.values[:, :, 0, 0], axis=1) == 1).all()


def test_few_large_rows_and_part_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 100)
    assert sample_of(noise(9, 4, 10)).values.shape == (1, 2, 4, 10)
    # of a row that is too large whole lines of its grid
    found = sample_of(noise(9, 5, 7, 4))
    assert found.values.shape == (1, 1, 21, 4)
    assert found.width == 7
    assert sample_of(noise(1000)).values.shape == (1, 1, 100, 1)


@pytest.mark.parametrize(
    ("shape", "values", "width"),
    [
        ((), (1, 1, 1, 1), 0),
        ((7,), (1, 1, 7, 1), 0),
        ((1, 7), (1, 1, 7, 1), 0),
        ((5, 7), (1, 5, 1, 7), 0),
        ((5, 0), (1, 5, 0, 0), 0),
        ((0, 7), (1, 0, 1, 7), 0),
        ((4, 10, 7), (1, 4, 10, 7), 0),
        ((4, 9, 7), (1, 4, 9, 7), 3),
        ((4, 2, 5, 7), (1, 4, 10, 7), 5),
        ((4, 2, 3, 5, 7), (1, 4, 30, 7), 5),
    ],
)
def test_shapes(shape: tuple[int, ...], values: tuple[int, ...], width: int) -> None:
    found = sample_of(np.zeros(shape, np.float32))
    assert (found.values.shape, found.width) == (values, width)


def test_special_tokens_and_channels_that_are_not_last() -> None:
    x = noise(6, 17, 3)
    assert np.array_equal(sample_of(x, special_tokens="auto").values[0], x[:, 1:])
    many = noise(100_000, 17, 2)
    assert np.array_equal(sample_of(many, special_tokens="auto").values[0], many[:, 1:])
    y = noise(6, 3, 4, 4)
    assert np.array_equal(sample_of(y, axes="t,c,h,w").values[0], y.reshape(6, 3, 16).transpose(0, 2, 1))


def test_ragged_rows_are_one_row_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    x = [noise(count, 4, seed=count) for count in (3, 0, 5, 2)]
    assert np.array_equal(sample_of(x).values[0, 0], np.concatenate(x))
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 40)
    assert np.array_equal(sample_of(x).values[0, 0], np.concatenate(x))
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 20)
    assert np.array_equal(sample_of(x).values[0, 0], np.concatenate([x[0][:1], x[2][:1], x[3][:1]]))
    # 100 of 1000 rows, one or two at each of 64 places
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 400)
    long = [np.full((1 + row % 2, 4), row, np.float32) for row in range(1000)]
    rows = np.unique(sample_of(long).values[0, 0, :, 0])
    assert len(rows) >= 64
    assert rows[-1] > 900


def test_what_is_not_finite_is_zero_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(30, 4)
    x[3, 2], x[9, 0] = np.nan, np.inf
    monkeypatch.setattr(sample, "BLOCK_VALUES", 16)
    found = sample_of(x)
    assert found.nonfinite == 2
    assert (found.values[0, 3, 0, 2], found.values[0, 9, 0, 0]) == (0, 0)
    assert np.isnan(x[3, 2])
    for vector in (x[3], [x[:5], x[5:]]):
        assert sample_of(vector).nonfinite > 0
    assert np.isnan(x[3, 2])


class Counting:
    """A tensor of endless rows that knows the most that was read at once and in all."""

    spec = StreamSpec("x", "float16", "t,n,c", (64, 128), 10_000_000)
    token_counts = None
    most = total = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        self.most, self.total = max(self.most, stop - start), self.total + stop - start
        return np.zeros((stop - start, 64, 128), np.float16)


def test_memory_does_not_grow_with_the_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "BLOCK_VALUES", 4 * 64 * 128)
    tensor = Counting()
    found = draw(tensor)
    assert found.values.size <= sample.SAMPLE_VALUES
    assert tensor.total == sample.SAMPLE_VALUES // (64 * 128)
    assert tensor.most == 4
    assert tokens_of(tensor) == 640_000_000


def test_tokens_of_a_ragged_tensor() -> None:
    spec = StreamSpec("x", "float32", "t,n,c", (4,), 3, ragged=True)
    assert tokens_of(ArrayTensor(spec, np.zeros((10, 4), np.float32), np.array([3, 5, 2]))) == 10
