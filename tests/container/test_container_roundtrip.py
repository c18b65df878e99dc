"""Whatever is written comes back, from any sink, in the same bytes every time."""

from __future__ import annotations

import io
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.header import Header
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.storage import FileObject
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, SourceError, UsageError
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
    summary_of,
    times_of,
    write,
)

plans = st.builds(
    Plan,
    rows=st.integers(0, 12),
    chunk_rows=st.integers(1, 5),
    segment_chunks=st.integers(1, 3),
    variable_rate=st.booleans(),
    seed=st.integers(0, 9),
    payload_bytes=st.integers(0, 40),
    bias=st.booleans(),
    known_rows=st.booleans(),
    checkpoint_every=st.integers(1, 4),
)


@settings(max_examples=40, deadline=None)
@given(plans)
def test_everything_comes_back(plan: Plan) -> None:
    data = archive(plan)
    assert data == archive(plan)
    reader = opened(data)
    assert reader.complete
    assert reader.damage == ()
    assert reader.summary == summary_of(plan)
    assert reader.header.to_payload() == header_of(plan).to_payload()
    (item,) = reader.items
    found = chunks_of(reader, item)
    for name, chunks in expected_chunks(plan).items():
        assert comparable(found[name]) == comparable(chunks)
    timeline = reader.timeline(item)
    assert timeline is not None
    starts, ends = times_of(plan)
    assert np.array_equal(timeline.starts, starts)
    assert np.array_equal(timeline.ends, ends)
    assert reader.codebook(CODEBOOK_DIGEST) == CODEBOOK
    assert reader.codebook(bytes(32)) is None
    assert sum(reader.report().values()) == reader.file_bytes == len(data)
    assert reader.report()["unreadable"] == 0
    assert reader.verify() == ()


@pytest.mark.parametrize("payload_bytes", [30, 40_000])
def test_large_and_small_archives_open_alike(payload_bytes: int) -> None:
    """Beyond the opening read the end matter repeats the header; before, it need not."""
    plan = Plan(payload_bytes=payload_bytes)
    data = archive(plan)
    reader = opened(data)
    assert (reader.parts[0].tail.to_meta > 0) == (len(data) > 65_536)  # type: ignore[union-attr]  # complete: has a tail
    assert reader.header.to_payload() == header_of(plan).to_payload()
    assert reader.reads == 1
    assert reader.verify() == ()


class OneByteAtATime(io.RawIOBase):
    """A raw sink and source that never does more than one byte per call."""

    def __init__(self, data: bytes = b"") -> None:
        self.inner = io.BytesIO(data)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # narrower than Buffer
        return self.inner.write(data[:1])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.inner.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(min(1, size))


def test_short_writes_and_short_reads_are_continued() -> None:
    sink = OneByteAtATime()
    write(Plan(), sink)
    data = sink.inner.getvalue()
    assert data == archive(Plan())
    assert FileObject(OneByteAtATime(data)).read(0, 10) == data[:10]  # type: ignore[arg-type]  # a file object


def test_a_file_equals_what_a_pipe_gets(tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    with path.open("wb") as out:
        writer = write(Plan(), out)
    assert path.read_bytes() == archive(Plan())
    assert writer.bytes_written == path.stat().st_size
    with ArchiveReader.open(path) as reader:
        copy = pickle.loads(pickle.dumps(reader))
        assert copy.header == reader.header
        copy.close()


def test_an_archive_from_a_file_object_stays_in_its_process() -> None:
    with pytest.raises(TypeError, match="another process"):
        pickle.dumps(opened(archive()))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 14), st.integers(0, 14))
def test_locate_gives_exactly_the_chunks_of_the_rows(start: int, stop: int) -> None:
    plan = Plan(rows=11)
    stream = opened(archive(plan)).streams[0]
    if not 0 <= start <= stop <= plan.rows:
        with pytest.raises(UsageError, match="expected within 0:11"):
            stream.locate(start, stop)
        return
    found = [(entry.row0, entry.stop) for entry in stream.locate(start, stop)]
    edges = [(row, min(row + plan.chunk_rows, plan.rows)) for row in range(0, plan.rows, plan.chunk_rows)]
    assert found == [(low, high) for low, high in edges if low < stop and high > start and start < stop]


@pytest.mark.parametrize("quality", [math.nan, 0.0, 1e-30, 1e60, math.inf])
def test_quality_survives_as_stored(quality: float) -> None:
    out = io.BytesIO()
    plan = Plan(rows=0)
    writer = ArchiveWriter(out, header_of(plan))
    record = DataRecord(2, 0, 0, 1, 0, 7, mse=quality, cosine_mean=0.99951171875, cosine_min=math.nan)
    writer.data(record, b"x")
    writer.finish({})
    reader = opened(out.getvalue())
    ((entry, _),) = reader.fetch(reader.streams[2].entries)
    assert entry.record.quality() == record.quality()
    assert entry.record.cosine_mean == 0.99951171875
    assert math.isnan(entry.record.cosine_min)
    assert math.isnan(entry.record.mse) == math.isnan(quality)


def test_a_codebook_by_reference_is_known_but_not_there() -> None:
    out = io.BytesIO()
    writer = ArchiveWriter(out, header_of(Plan(rows=0, bias=False)))
    writer.codebook(CODEBOOK_DIGEST, None, 123)
    writer.finish({})
    reader = opened(out.getvalue())
    assert reader.codebooks() == {CODEBOOK_DIGEST: 123}
    assert reader.codebook(CODEBOOK_DIGEST) is None


def wrong_calls() -> dict[str, tuple[str, tuple[object, ...], type[Exception], str]]:
    record = DataRecord(2, 0, 0, 1, 0, 0)
    times = np.arange(3)
    return {
        "row out of order": ("data", (DataRecord(2, 0, 5, 1, 0, 0), b""), ValueError, "expected row 0, found 5"),
        "no rows": ("data", (DataRecord(2, 0, 0, 0, 0, 0), b""), UsageError, "at least one row"),
        "times missing": ("data", (DataRecord(0, 0, 0, 1, 0, 0), b""), ValueError, "times of row 0"),
        "too many rows": ("data", (DataRecord(2, 0, 0, 65, 0, 0), b""), UsageError, "65 rows, at most 64"),
        "too many bytes": ("data", (record, bytes(1 << 16)), UsageError, "bytes, at most"),
        "token counts": ("data", (DataRecord(2, 0, 0, 1, 0, 0, token_counts=(1,)), b""), ValueError, "ragged"),
        "times out of order": ("times", (0, 4, times, times), ValueError, "expected row 0, found 4"),
        "times unlike": ("times", (0, 0, times, times[:2]), UsageError, "3 and 2"),
        "stream unknown": ("models", (9, 0, b""), ValueError, "not in the header"),
        "digest short": ("codebook", (b"short", b"", 0), ValueError, "5 bytes"),
        "rows missing": ("finish", ({},), UsageError, "header says 1 rows, 0 were written"),
    }


@pytest.mark.parametrize("case", wrong_calls())
def test_the_writer_refuses(case: str) -> None:
    method, arguments, kind, message = wrong_calls()[case]
    writer = ArchiveWriter(io.BytesIO(), header_of(Plan(rows=0)))
    with pytest.raises(kind, match=message):
        getattr(writer, method)(*arguments)


@pytest.mark.parametrize("summary", [{"a": math.nan}, {"a": "\ud800"}, {"a": 1 << 64}, {"a": "x" * (1 << 22)}])
def test_a_summary_that_no_reader_takes_is_not_written(summary: dict[str, object]) -> None:
    writer = ArchiveWriter(io.BytesIO(), header_of(Plan(rows=0, bias=False)))
    with pytest.raises(UsageError, match="summary"):
        writer.finish(summary)


def test_models_come_once_and_nothing_comes_after_the_end() -> None:
    writer = ArchiveWriter(io.BytesIO(), header_of(Plan(rows=0, bias=False)))
    writer.models(0, 0, b"m")
    assert writer.has_models(0, 0)
    with pytest.raises(ValueError, match="written already"):
        writer.models(0, 0, b"m")
    writer.finish({})
    with pytest.raises(ValueError, match="finished"):
        writer.finish({})


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none", "No such file"), (tmp_path, "expected a file|directory")):
        with pytest.raises(SourceError, match=message):
            ArchiveReader.open(path)


def test_a_header_is_its_own_identity() -> None:
    one, two = (opened(archive(Plan(seed=seed))).parts[0] for seed in (1, 2))
    assert one.uuid != two.uuid
    assert one.uuid == opened(archive(Plan(seed=1, variable_rate=False))).parts[0].uuid


def test_a_recipe_keeps_its_digest() -> None:
    header = header_of(Plan())
    again = Header.from_payload(header.to_payload())
    assert again.recipe == header.recipe
    assert len(again.recipe_digest) == 64
    with pytest.raises(CorruptArchive, match="not canonical"):
        Header.from_payload(header.to_payload() + b" ")
