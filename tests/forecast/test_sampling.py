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
    assert sample.parts is not None
    chunks = sample.parts[0].coded.keys()
    most = max(MIN_CHUNKS, budget // (64 * 8))
    assert len(chunks) == sample.sampled_chunks == most
    assert chunks <= set(cut_rows(sample.dump.tensors[0], 8))
    starts = [0, *(start for start, _ in sorted(chunks)), 800]
    assert max(np.diff(starts)) <= 2 * 800 / most


def test_a_dump_that_is_no_larger_is_everything() -> None:
    sample = draw(dump(800), 8, 800 * 64, seed=0)
    assert (sample.parts, sample.sampled_chunks, sample.share) == (None, 100, 1.0)


def test_never_more_chunks_than_the_bound() -> None:
    assert draw(dump(8 * 1000), 8, 1 << 28, seed=0).sampled_chunks == MAX_CHUNKS


def test_models_are_learnt_from_more_than_is_encoded() -> None:
    (small,) = draw(dump(800), 8, 64 * 8 * 10, seed=0).parts or []
    assert small.read is not None
    assert small.coded.keys() <= small.read
    assert 40 <= len(small.read) <= 50
    (large,) = draw(dump(800), 8, 64 * 8 * 30, seed=0).parts or []
    assert (len(large.coded), large.read) == (30, None)


def test_chunks_are_equally_far_apart() -> None:
    for seed in range(4):
        (part,) = draw(dump(800), 8, 64 * 8 * 25, seed).parts or []
        assert set(np.diff([start for start, _ in sorted(part.coded)])) == {32}


def test_of_many_streams_some_are_left_out() -> None:
    sample = draw(dump(*[64] * 40), 64, 10 * 64 * 64, seed=3)
    assert sample.parts is not None
    assert len(sample.dump.tensors) == len(sample.parts) == len(sample.cuts) == 10
    assert sample.left_out_chunks == 30
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
        assert sample.parts is None
        return
    assert sample.parts is not None
    for tensor, part in zip(sample.dump.tensors, sample.parts, strict=True):
        assert 1 <= len(part.coded) <= most
        assert part.read == part.coded.keys()
        for start, stop in part.coded:
            expected = array[start:stop].reshape(stop - start, -1)[:, 0]
            np.testing.assert_array_equal(tensor.read(start, stop).reshape(stop - start, -1)[:, 0], expected)


def test_a_long_video_costs_little_more_than_its_sample() -> None:
    video = VideoSample(64, 4 * 64 * 80, 0)
    takes = video(SPECS)
    assert sum(map(takes, range(64 * 4 * 1024))) <= 64 * 4 * (1 + 10)
