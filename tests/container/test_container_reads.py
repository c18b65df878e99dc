"""How many reads opening and slicing cost, locally, in memory and over HTTP with ranges."""

from __future__ import annotations

import io
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from embdc_cli.container import fetching, spec
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.storage import RemoteFile
from embdc_cli.errors import SourceError
from tests.container.container_cases import Plan, archive, comparable, expected_chunks

PLAN = Plan(rows=60, payload_bytes=40_000, variable_rate=False, segment_chunks=10)


class RangeServer(BaseHTTPRequestHandler):
    """Serves one body at /a.embdc, with or without ranges, and notes the ranges."""

    body = b""
    ranges = True
    asked: list[str | None] = []  # noqa: RUF012 - replaced by the fixture

    @property
    def _refusal(self) -> int:
        return 403 if self.path == "/secret.embdc" else 404

    def do_HEAD(self) -> None:
        self._headers(200, len(self.body))

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if self.path != "/a.embdc":
            self.send_error(self._refusal)
            return
        body, told = self.body, None
        if wanted and self.ranges:
            first, last = wanted.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(body) - int(last))
            stop = min(int(last) + 1, len(body)) if first else len(body)
            body, told = body[start:stop], f"bytes {start}-{stop - 1}/{len(body)}"
        self._headers(206 if told else 200, len(body), told)
        self.wfile.write(body)

    def _headers(self, status: int, length: int, told: str | None = None) -> None:
        self.send_response(status if self.path == "/a.embdc" else self._refusal)
        self.send_header("Content-Length", str(length if self.path == "/a.embdc" else 0))
        if told:
            self.send_header("Content-Range", told)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        del args


@pytest.fixture
def server() -> Iterator[str]:
    RangeServer.body, RangeServer.ranges, RangeServer.asked = archive(PLAN), True, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), RangeServer)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def memory() -> Iterator[str]:
    fsspec.filesystem("memory").pipe("/reads/a.embdc", archive(PLAN))
    yield "memory://reads/a.embdc"
    fsspec.filesystem("memory").rm("/reads", recursive=True)


def check_reads(reader: ArchiveReader, opening: int = 1, opening_bytes: int = RemoteFile.end_bytes) -> None:
    """One read to open, two in one trip for the first chunk of a segment, one for each later one.

    opening: what it costs more, where the size has to be asked for.
    """
    assert (reader.reads, reader.round_trips) == (opening, opening)
    assert reader.bytes_read == opening_bytes < reader.file_bytes
    stream = reader.streams[0]
    expected = comparable(expected_chunks(PLAN)["patch"])
    for row, reads in ((17, 3), (18, 4), (3, 5), (50, 7)):
        before = reader.round_trips
        ((entry, payload),) = reader.fetch(stream.locate(row, row + 1))
        models = reader.models(stream, entry.record.segment)
        assert comparable([(entry.record, payload, models)]) == [expected[row // PLAN.chunk_rows]]
        assert (reader.reads, reader.round_trips) == (reads + opening - 1, before + 1)
    timeline = reader.timeline(reader.items[0])
    assert timeline is not None
    assert timeline.seconds(30) == 1.0
    assert reader.reads == 6 + opening  # a constant rate is known from the index


def test_reads_of_a_local_file(tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(archive(PLAN))
    with ArchiveReader.open(path) as reader:
        check_reads(reader, opening_bytes=spec.OPENING_BYTES)


def test_reads_of_a_file_object() -> None:
    check_reads(ArchiveReader.open(io.BytesIO(archive(PLAN))), opening_bytes=spec.OPENING_BYTES)


def test_reads_in_memory(memory: str) -> None:
    check_reads(ArchiveReader.open(memory), opening=2)


def test_reads_over_http(server: str) -> None:
    reader = ArchiveReader.open(f"{server}/a.embdc")
    check_reads(reader)
    assert len(RangeServer.asked) == 7
    assert all(RangeServer.asked)


def test_a_server_without_ranges_still_serves(server: str) -> None:
    RangeServer.ranges = False
    reader = ArchiveReader.open(f"{server}/a.embdc")
    assert len(list(reader.fetch(reader.streams[0].entries[:2]))) == 2
    assert len(RangeServer.asked) == reader.reads == 2  # that which shows it, and one for everything
    reader.close()


def test_a_small_archive_is_one_read(server: str) -> None:
    RangeServer.body = archive(Plan(rows=3))
    reader = ArchiveReader.open(f"{server}/a.embdc")
    assert reader.complete
    assert RangeServer.asked == [f"bytes=-{RemoteFile.end_bytes}"]
    assert len(list(reader.fetch(reader.streams[0].entries))) == 1
    assert len(RangeServer.asked) == reader.reads == 1


def test_missing_urls_are_input_errors(server: str) -> None:
    for url, words in (
        (f"{server}/none.embdc", "no such object"),
        (f"{server}/secret.embdc", "cannot be read, access is denied: 403"),
        ("memory://none.embdc", "no such object"),
        ("nosuchprotocol://a.embdc", "nosuchprotocol"),
        ("http://127.0.0.1:9/a", "cannot be read, .*127.0.0.1:9"),
    ):
        with pytest.raises(SourceError, match=f"^{url}: .*{words}") as caught:
            ArchiveReader.open(url)
        assert "\n" not in caught.value.message


def test_reading_past_the_end_gives_less(memory: str) -> None:
    storage = RemoteFile(memory)
    assert storage.read(storage.size - 4, storage.size + 100) == archive(PLAN)[-4:]
    assert storage.read_many([(storage.size, storage.size + 9), (0, 2)]) == [b"", b"\x89E"]


def test_an_index_beyond_the_opening_read_costs_one_more_of_exactly_the_rest() -> None:
    plan = Plan(rows=5000, chunk_rows=1, segment_chunks=5000, payload_bytes=0, bias=False, checkpoint_every=256)
    reader = ArchiveReader.open(io.BytesIO(archive(plan)))
    sealed = reader.parts[0].tail
    assert sealed is not None
    assert sealed.opening_bytes > spec.OPENING_BYTES
    assert reader.reads == 2
    assert reader.bytes_read == sealed.opening_bytes
    assert reader.streams[1].entries[4999].row0 == 4999


def test_variable_times_cost_one_trip_when_asked_for() -> None:
    reader = ArchiveReader.open(io.BytesIO(archive(Plan(rows=50))))
    trips = reader.round_trips
    for _ in range(2):
        assert reader.timeline(reader.items[0]) is not None
        assert reader.round_trips == trips + 1


def test_neighbouring_chunks_are_one_read(tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(archive(Plan(bias=False)))
    with ArchiveReader.open(path) as reader:
        before = reader.reads
        both = [stream.entries[0] for stream in reader.streams]
        assert len(list(reader.fetch(both))) == 2
        assert reader.reads == before + 1


def test_threads_and_forked_processes_share_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(archive(PLAN))
    expected = {name: comparable(chunks) for name, chunks in expected_chunks(PLAN).items()}
    with ArchiveReader.open(path) as reader:

        def all_of(number: int) -> bool:
            stream = reader.streams[number % 3]
            found = [(e.record, p, reader.models(stream, e.record.segment)) for e, p in reader.fetch(stream.entries)]
            return comparable(found) == expected[stream.name]

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(all_of, range(12)))
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        children = [context.Process(target=lambda n=number: answers.put(all_of(n))) for number in range(3)]
        for child in children:
            child.start()
        assert all([all_of(number) for number in range(3)] + [answers.get() for _ in children])
        for child in children:
            child.join()


def test_models_of_many_segments_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_KEPT_MODELS_BYTES", 40)  # two of them
    monkeypatch.setattr(fetching, "BATCH_BYTES", 1)
    plan = Plan(rows=30, segment_chunks=1, bias=False)
    reader = ArchiveReader.open(io.BytesIO(archive(plan)))
    stream = reader.streams[0]
    for _ in reader.fetch(stream.entries):
        assert len(reader._chunks._models) <= 2
    expected = expected_chunks(plan)["patch"]
    assert [reader.models(stream, segment) for segment in range(10)] == [models for _, _, models in expected]
