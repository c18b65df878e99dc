"""Samples: whole chunks, spread over the input, within their bounds; windows of a video of any length."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.forecast.sampling import MAX_CHUNKS, MIN_CHUNKS, VideoSample, draw
from embdc_cli.tokens import cut_rows
from embdc_cli.values import ArrayTensor, Dump, StreamSpec


def dump(*rows: int) -> Dump:
    """Streams of (rows, 4, 8) float16, 64 bytes a row."""
    specs = [StreamSpec(f"s{number}", "float16", "t,n,c", (4, 8), count) for number, count in enumerate(rows)]
    return Dump([ArrayTensor(spec, np.zeros((spec.known_rows, 4, 8), np.float16)) for spec in specs])


@pytest.mark.parametrize("budget", [1, 64 * 8, 64 * 8 * 10, 64 * 8 * 60])
def test_a_sample_of_a_dump(budget: int) -> None:
    sample = draw(dump(800), 8, budget, seed=0)
    assert sample.chunks is not None
    (chunks,) = sample.chunks
    most = max(MIN_CHUNKS, budget // (64 * 8))
    assert 0.9 * most <= len(chunks) == sample.sampled_chunks <= most
    assert chunks <= set(cut_rows(sample.dump.tensors[0], 8))
    starts = [0, *(start for start, _ in sorted(chunks)), 800]
    assert max(np.diff(starts)) <= 2 * 800 / most


def test_a_dump_that_is_no_larger_is_everything() -> None:
    sample = draw(dump(800), 8, 800 * 64, seed=0)
    assert (sample.chunks, sample.sampled_chunks, sample.share) == (None, 100, 1.0)


def test_never_more_chunks_than_the_bound() -> None:
    assert draw(dump(8 * 1000), 8, 1 << 28, seed=0).sampled_chunks in range(MAX_CHUNKS * 9 // 10, MAX_CHUNKS + 1)


def test_of_many_streams_some_are_left_out() -> None:
    sample = draw(dump(*[64] * 40), 64, 10 * 64 * 64, seed=3)
    assert sample.chunks is not None
    assert len(sample.dump.tensors) == len(sample.chunks) == 10
    assert sample.share == 0.25
    assert (sample.all_chunks, sample.all_values) == (40, 40 * 64 * 32)


SPECS = [
    StreamSpec("patch", "float16", "t,n,c", (4, 8), None),
    StreamSpec("pooled", "float16", "t,c", (8,), None),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("rows", [1, 63, 64, 1000, 10_007])
@pytest.mark.parametrize("most", [MIN_CHUNKS, 5, 8])
def test_a_sample_of_a_video(rows: int, most: int, seed: int) -> None:
    video = VideoSample(64, most * 64 * (64 + 16), seed)
    takes = video(SPECS)
    held = [row for row in range(rows) if takes(row)]
    assert video.embedded_rows == len(held)
    array = np.arange(rows, dtype=np.float16)[:, None, None] * np.ones((1, 4, 8), np.float16)
    embedded = Dump(
        [
            ArrayTensor(SPECS[0].with_rows(len(held)), array[held]),
            ArrayTensor(SPECS[1].with_rows(len(held)), array[held][:, 0]),
        ]
    )
    whole, sample = video.of(embedded)
    assert [tensor.spec.rows for tensor in whole.tensors] == [rows, rows]
    if len(held) == rows:
        assert sample.chunks is None
        return
    assert sample.chunks is not None
    for tensor, chunks in zip(sample.dump.tensors, sample.chunks, strict=True):
        assert 1 <= len(chunks) <= most
        for start, stop in chunks:
            expected = array[start:stop].reshape(stop - start, -1)[:, 0]
            np.testing.assert_array_equal(tensor.read(start, stop).reshape(stop - start, -1)[:, 0], expected)


def test_a_long_video_costs_little_more_than_its_sample() -> None:
    video = VideoSample(64, 4 * 64 * 80, 0)
    takes = video(SPECS)
    assert sum(map(takes, range(64 * 4 * 1024))) <= 64 * 4 * (1 + 10)
