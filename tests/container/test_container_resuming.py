"""Stopped at any byte and continued, a part has the bytes of an undisturbed run; appending never hurts."""

from __future__ import annotations

import contextlib
import io
import random
from dataclasses import replace

import pytest

from embdc_cli.container import index, spec
from embdc_cli.container.recover import last_whole_chunk, whole_bytes
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, UsageError
from tests.container.container_cases import (
    Plan,
    archive,
    calls,
    chunks_of,
    comparable,
    expected_chunks,
    header_of,
    opened,
    split,
    summary_of,
    write,
)

PLANS = [Plan(), Plan(rows=7, chunk_rows=1, checkpoint_every=2, brief=True), Plan(payload_bytes=9000, rows=30)]


class DiskFull(OSError):
    pass


class Limited(io.BytesIO):
    """A sink that takes `limit` bytes and then fails, as a full disk does."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def write(self, data: bytes) -> int:  # type: ignore[override]  # narrower than Buffer
        space = self.limit - len(self.getvalue())
        if len(data) > space:
            super().write(data[:space])
            raise DiskFull
        return super().write(data)


def resumed(cut: bytes, plan: Plan) -> bytes:
    point = last_whole_chunk(io.BytesIO(cut))
    if point is None:
        return archive(plan)
    out = io.BytesIO()
    out.write(cut[: point.offset])
    writer = ArchiveWriter.resume(out, header_of(plan), point, checkpoint_every=plan.checkpoint_every)
    write(plan, out, writer, skip=len(point.chunks))
    assert writer.bytes_written == len(out.getvalue())
    return out.getvalue()


@pytest.mark.parametrize("plan", PLANS, ids=["small", "checkpoints", "large"])
def test_a_resumed_part_has_the_bytes_of_an_undisturbed_run(plan: Plan) -> None:
    data = archive(plan)
    lengths = random.Random(1).sample(range(len(data) + 1), 60)
    for length in [*lengths, len(data)]:
        assert resumed(data[:length], plan) == data


def test_garbage_behind_the_last_whole_chunk_is_cut_off() -> None:
    data = archive()
    entry = opened(data).streams[0].entries[2]
    cut = bytearray(data[: entry.offset + entry.length])
    cut[entry.offset + 50] ^= 1
    assert resumed(bytes(cut), Plan()) == data


def test_a_resume_point_gives_records_and_payloads_back() -> None:
    data = archive()
    point = last_whole_chunk(io.BytesIO(data))
    assert point is not None
    kinds = {"codebook": spec.CODEBOOK, "models": spec.MODELS, "times": spec.TIMES, "data": spec.DATA}
    assert [chunk.type for chunk in point.chunks] == [kinds[name] for name, _ in calls(Plan())]
    data_calls = [arguments for name, arguments in calls(Plan()) if name == "data"]
    found = [(chunk.record, point.payload(chunk)) for chunk in point.chunks if chunk.record is not None]
    assert [payload for _, payload in found] == [payload for _, payload in data_calls]
    assert [one.indexed() for one, _ in found] == [one.indexed() for one, _ in data_calls]
    assert [one.token_counts for one, _ in found] == [one.token_counts for one, _ in data_calls]
    with pytest.raises(CorruptArchive, match="expected a DATA chunk"):
        point.payload(point.chunks[0])
    point.close()


@pytest.mark.parametrize(
    "start", [b"", archive()[:100], b"\x89EMBDC" + bytes(400)], ids=["empty", "in HEAD", "foreign"]
)
def test_without_a_whole_header_there_is_nothing_to_go_on_from(start: bytes) -> None:
    assert last_whole_chunk(io.BytesIO(start)) is None


def test_another_header_is_not_continued() -> None:
    point = last_whole_chunk(io.BytesIO(archive()[:2000]))
    assert point is not None
    with pytest.raises(UsageError, match="another header"):
        ArchiveWriter.resume(io.BytesIO(), header_of(Plan(seed=5)), point)


def test_appending_killed_at_any_write_keeps_the_older_part() -> None:
    old = archive(Plan(seed=3))
    plan = Plan(rows=4, brief=True)
    added = archive(plan)
    for limit in [*range(0, len(added), 37), len(added)]:
        sink = Limited(limit)
        with contextlib.suppress(DiskFull):
            write(plan, sink)
        reader = opened(old + sink.getvalue())
        assert reader.parts[0].complete
        assert reader.complete == (limit in (0, len(added)))
        assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(
            expected_chunks(Plan(seed=3))["patch"]
        )
        if len(reader.items) > 1:
            found = comparable(chunks_of(reader, reader.items[1])["patch"])
            assert found == comparable(expected_chunks(plan)["patch"])[: len(found)]


def test_a_part_behind_a_cut_one_is_found_and_the_cut_one_too() -> None:
    first, cut, last = archive(Plan(seed=1)), archive(Plan(seed=2))[:2500], archive(Plan(seed=3))
    reader = opened(first + cut + last)
    assert [part.complete for part in reader.parts] == [True, False, True]
    assert not reader.complete
    assert [item.number for item in reader.items] == [0, 1, 2]
    for item, seed in ((0, 1), (2, 3)):
        found = chunks_of(reader, reader.items[item])
        assert comparable(found["patch"]) == comparable(expected_chunks(Plan(seed=seed))["patch"])
    partial = comparable(chunks_of(reader, reader.items[1])["patch"])
    assert partial
    assert partial == comparable(expected_chunks(Plan(seed=2))["patch"])[: len(partial)]


def test_whole_bytes_end_before_a_cut_part() -> None:
    whole, cut = archive(Plan(seed=1)), archive(Plan(seed=2))[:1500]
    for data, expected in (
        (whole, len(whole)),
        (whole + whole, 2 * len(whole)),
        (whole + cut, len(whole)),
        (whole + cut[:7], len(whole)),
        (cut, None),
        (cut + whole, None),
        (whole + cut + whole, None),
    ):
        assert whole_bytes(opened(data)) == expected


def test_summaries_belong_to_their_parts() -> None:
    reader = opened(archive(Plan(seed=1)) + archive(Plan(seed=2)))
    assert [part.summary for part in reader.parts] == [summary_of(Plan(seed=seed)) for seed in (1, 2)]
    assert reader.header.to_payload() == header_of(replace(Plan(), seed=1)).to_payload()


def test_checkpoints_come_by_count_and_list_each_chunk_once() -> None:
    plan = Plan(rows=30, checkpoint_every=4)
    chunks = split(archive(plan))
    waiting, listed = 0, 0
    for seq, (kind, content) in enumerate(chunks[:-2]):  # before the full index and the tail
        assert waiting <= plan.checkpoint_every
        if kind == spec.DATA:
            waiting += 1
        elif kind == spec.INDEX:
            found = index.from_content(content, 1 << 40, "test")
            assert waiting == plan.checkpoint_every
            assert not found.full
            assert found.first_seq == listed
            assert found.first_seq + len(found.table.chunks) == seq
            waiting, listed = 0, seq
    assert listed
