"""Raw concatenation gives items, joining gives one part; values never change."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.join import join
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import IncompleteError, UsageError
from tests.container.container_cases import (
    CODEBOOK,
    CODEBOOK_DIGEST,
    Plan,
    archive,
    chunks_of,
    comparable,
    expected_chunks,
    header_of,
    opened,
    times_of,
    without_places,
)

ONE = Plan(seed=1, rows=10, bias=False)
TWO = Plan(seed=2, rows=5, bias=False)
MODES: tuple[Literal["time", "items"], ...] = ("time", "items")


def joined(*archives: bytes, mode: Literal["time", "items"] = "time") -> ArchiveReader:
    out = io.BytesIO()
    join([opened(data) for data in archives], out, mode)
    reader = opened(out.getvalue())
    assert reader.complete
    assert len(reader.parts) == 1
    assert reader.verify() == ()
    return reader


def test_concatenated_files_are_one_archive_of_two_items() -> None:
    reader = opened(archive(ONE) + archive(TWO))
    assert reader.complete
    assert reader.verify() == ()
    for item, plan in zip(reader.items, (ONE, TWO), strict=True):
        for name, chunks in chunks_of(reader, item).items():
            assert comparable(chunks) == comparable(expected_chunks(plan)[name])
        timeline = reader.timeline(item)
        assert timeline is not None
        assert np.array_equal(timeline.starts, times_of(plan)[0])
    assert sum(reader.report().values()) == reader.file_bytes


def test_the_same_file_twice_is_two_items() -> None:
    reader = opened(archive(ONE) * 2)
    assert len(reader.items) == 2
    assert reader.verify() == ()


def test_many_small_parts_open_with_few_reads() -> None:
    data = archive(Plan(rows=1, brief=True, bias=False))
    reader = opened(data * 200)
    assert len(reader.items) == 200
    assert reader.complete
    assert reader.reads <= 6
    assert [stream.rows for stream in reader.items[123].streams] == [1, 1]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=4), st.booleans())
def test_joined_in_time_is_one_longer_stream(rows: list[int], variable_rate: bool) -> None:
    plans = [
        Plan(seed=seed, rows=count, bias=False, variable_rate=variable_rate, checkpoint_every=2)
        for seed, count in enumerate(rows)
    ]
    reader = joined(*map(archive, plans))
    (item,) = reader.items
    assert [stream.rows for stream in item.streams] == [sum(rows)] * 2
    for name, chunks in chunks_of(reader, item).items():
        expected = [chunk for plan in plans for chunk in expected_chunks(plan)[name]]
        assert without_places(chunks) == without_places(expected)
    timeline = reader.timeline(item)
    assert timeline is not None
    assert len(timeline) == sum(rows)
    assert np.array_equal(timeline.starts[1:], timeline.ends[:-1])
    durations = np.concatenate([times_of(plan)[1] - times_of(plan)[0] for plan in plans])
    assert np.array_equal(timeline.ends - timeline.starts, durations)
    for entry in item.streams[0].entries:
        assert entry.record.pts0 == timeline.starts[entry.row0]
        assert entry.record.pts1 == timeline.ends[entry.stop - 1]


def clocked(starts: list[int], ends: list[int], timebase: tuple[int, int] = (1, 1000), digest: str = "") -> bytes:
    """A part with these times, a chunk of each row."""
    plan = Plan(rows=len(starts), bias=False, timebase=timebase)
    out = io.BytesIO()
    writer = ArchiveWriter(out, replace(header_of(plan), input_head_digest=digest))
    writer.times(0, 0, np.array(starts), np.array(ends))
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        for stream in (0, 1):
            counts = (1,) if stream else None
            record = DataRecord(stream, 0, row, 1, 0, 0, token_counts=counts, pts0=start, pts1=end)
            writer.data(record, bytes([row]))
    writer.finish({})
    return out.getvalue()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # rows that touch: the second part goes on where the first ends
        (([0, 40], [40, 80]), ([7, 27], [27, 47]), [0, 40, 80, 100]),
        # one row a second of 40 ms: the next one is a second later, not 40 ms
        (([0, 1000, 2000], [40, 1040, 2040]), ([5, 1005], [45, 1045]), [0, 1000, 2000, 3000, 4000]),
        # a last row that lasts longer than the others stays whole
        (([0, 1000, 2000], [40, 1040, 9000]), ([0], [40]), [0, 1000, 2000, 9000]),
        # a single row says nothing of distances
        (([0], [40]), ([0], [40]), [0, 40]),
    ],
)
def test_times_go_on_behind_another_input(
    first: tuple[list[int], list[int]], second: tuple[list[int], list[int]], expected: list[int]
) -> None:
    reader = joined(clocked(*first, digest="a"), clocked(*second, digest="b"))
    timeline = reader.timeline(reader.items[0])
    assert timeline is not None
    assert timeline.starts.tolist() == expected


@pytest.mark.parametrize(
    ("begin", "digests", "expected"),
    [
        (5000, ("a", "a"), 5000),  # an odd gap in one input is kept
        (80, ("a", "a"), 80),
        (79, ("a", "a"), 80),  # it cannot be the same clock
        (5000, ("a", "b"), 80),
        (5000, ("", ""), 80),  # nothing is known of either
    ],
)
def test_parts_of_one_input_keep_their_times(begin: int, digests: tuple[str, str], expected: int) -> None:
    reader = joined(clocked([0, 40], [40, 80], digest=digests[0]), clocked([begin], [begin + 40], digest=digests[1]))
    timeline = reader.timeline(reader.items[0])
    assert timeline is not None
    assert timeline.starts.tolist() == [0, 40, expected]
    assert timeline.ends.tolist() == [40, 80, expected + 40]
    assert [entry.record.pts0 for entry in reader.streams[0].entries] == timeline.starts.tolist()


def test_parts_of_unlike_timebases_have_a_common_tick() -> None:
    film, video = clocked([0, 1], [1, 2], (1, 24)), clocked([3, 4], [4, 5], (1001, 30000))
    reader = joined(film, video, film)
    (item,) = reader.items
    timeline = reader.timeline(item)
    assert timeline is not None
    edges = np.cumsum([0, Fraction(1, 24), Fraction(1, 24), *[Fraction(1001, 30000)] * 2, *[Fraction(1, 24)] * 2])
    assert [int(start) * timeline.timebase for start in timeline.starts] == edges[:-1].tolist()
    assert [int(end) * timeline.timebase for end in timeline.ends] == edges[1:].tolist()
    for entry in item.streams[0].entries:
        assert (entry.record.pts0, entry.record.pts1) == (timeline.start(entry.row0), timeline.end(entry.row0))


def test_joining_keeps_one_codebook() -> None:
    reader = joined(archive(ONE), archive(TWO))
    assert len(reader.parts[0].table.codebooks) == 1
    assert reader.codebook(CODEBOOK_DIGEST) == CODEBOOK


def test_an_embedded_codebook_wins_over_a_reference() -> None:
    out = io.BytesIO()
    writer = ArchiveWriter(out, header_of(replace(ONE, rows=0)))
    writer.codebook(CODEBOOK_DIGEST, None, len(CODEBOOK))
    writer.finish({})
    assert joined(out.getvalue(), archive(TWO)).codebook(CODEBOOK_DIGEST) == CODEBOOK


def test_a_joined_archive_joins_again_like_its_parts() -> None:
    one, two, three = (archive(Plan(seed=seed, bias=False)) for seed in (1, 2, 3))
    out = io.BytesIO()
    join([opened(one), opened(two)], out)
    twice = joined(out.getvalue(), three)
    once = joined(one + two, three)  # a file of two parts contributes both
    for name, chunks in chunks_of(once, once.items[0]).items():
        assert comparable(chunks) == comparable(chunks_of(twice, twice.items[0])[name])


def test_one_archive_alone_is_rewritten_with_its_rows_in_the_header() -> None:
    reader = joined(archive(ONE))
    assert [stream.header.rows for stream in reader.streams] == [10, 10]
    assert reader.header.items == opened(archive(ONE)).header.items


def test_how_long_it_lasts_is_told_of_a_single_item() -> None:
    starts, ends = times_of(ONE)
    for mode in MODES:
        assert joined(archive(ONE), mode=mode).parts[0].seconds(0) == int(ends[-1] - starts[0]) / 90_000
    summary = joined(archive(ONE), archive(TWO), mode="items").summary
    assert summary is not None
    assert "duration_seconds" not in summary


def test_sums_add_up_and_quality_is_averaged() -> None:
    summary = joined(archive(ONE), archive(TWO)).summary
    assert summary is not None
    (patch, _) = summary["streams"]
    assert patch["rows"] == 15
    assert patch["sums"] == {"values": 120, "sse": 4.0, "energy": 200.0, "tokens": 30, "cosine_sum": 22.5}
    assert patch["achieved"]["nmse"] == 0.02
    assert patch["achieved"]["cosine_p1"] == min(0.5 + seed / 16 for seed in (1, 2))
    ticks = sum(int(ends[-1] - starts[0]) for starts, ends in map(times_of, (ONE, TWO)))
    assert summary["duration_seconds"] == ticks / 90_000
    assert "digest" not in summary  # differs, and nothing can be made of two


def test_joined_as_items_keeps_all_apart() -> None:
    other = Plan(seed=4, rows=3, timebase=(1, 1000))
    reader = joined(archive(ONE), archive(other), mode="items")
    assert len(reader.items) == 2
    for item, plan in zip(reader.items, (ONE, other), strict=True):
        for name, chunks in chunks_of(reader, item).items():
            assert without_places(chunks) == without_places(expected_chunks(plan)[name])
        timeline = reader.timeline(item)
        assert timeline is not None
        assert np.array_equal(timeline.starts, times_of(plan)[0])
    assert reader.summary is not None
    assert len(reader.summary["streams"]) == 5
    assert reader.header.items[1].timebase == (1, 1000)


@pytest.mark.parametrize(
    ("other", "mode", "message"),
    [
        (replace(TWO, recipe="other"), "time", "recipe, expected .* found"),
        (replace(TWO, recipe="other"), "items", "recipe, expected .* found"),
        (replace(TWO, timebase=(1, (1 << 31) - 1)), "time", "have no common tick"),
        (replace(TWO, bias=True), "time", "1 items with 2 streams .* found 1 with 3"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_difference(
    other: Plan, mode: Literal["time", "items"], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        joined(archive(ONE), archive(other), mode=mode)


def test_streams_without_rows_join_as_items_only() -> None:
    with_bias = archive(Plan())
    with pytest.raises(UsageError, match="no rows to join"):
        joined(with_bias, with_bias)
    assert len(joined(with_bias, with_bias, mode="items").streams) == 6


def test_incomplete_archives_are_not_joined() -> None:
    with pytest.raises(IncompleteError, match="incomplete"):
        joined(archive(ONE)[:-1], archive(TWO))


def test_joining_keeps_no_models_of_parts_that_are_copied() -> None:
    readers = [opened(archive(plan)) for plan in (ONE, TWO)]
    before = [reader.held_bytes for reader in readers]
    join(readers, io.BytesIO())
    assert [reader.held_bytes for reader in readers] == before


def test_joining_reads_in_bounded_memory() -> None:
    plan = Plan(rows=200, payload_bytes=4000, bias=False)
    reader = opened(archive(plan))
    largest = 0
    original = reader.storage.read_many

    def watched(ranges: list[tuple[int, int]]) -> list[bytes]:
        nonlocal largest
        found = original(ranges)
        largest = max(largest, sum(map(len, found)))
        return found

    reader.storage.read_many = watched  # type: ignore[method-assign]  # to see the sizes
    import embdc_cli.container.fetching as fetching

    before, fetching.BATCH_BYTES = fetching.BATCH_BYTES, 50_000  # type: ignore[misc]  # smaller, to see the bound
    try:
        join([reader], io.BytesIO())
    finally:
        fetching.BATCH_BYTES = before  # type: ignore[misc]
    assert 4000 < largest < 100_000
