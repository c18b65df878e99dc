"""What opening an archive behind a URL costs, and what is said where it cannot be read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container import spec
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.storage import RemoteFile
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, SourceError
from embdc_cli.remote.errors import MissingObject, unreadable
from tests.container.container_cases import Plan, header_of
from tests.remote.s3_server import Store, denied
from tests.remote.web_server import Web


def put(store: Store, key: str, data: bytes) -> str:
    fsspec.filesystem("s3").pipe_file(f"{store.bucket}/{key}", data)
    store.forget()
    return store.url(key)


def test_an_archive_in_s3_opens_with_one_request(store: Store, archive: Path) -> None:
    document = embdc.inspect(put(store, "a.embdc", archive.read_bytes()))
    assert document["io"] == {"requests": 1, "round_trips": 1, "bytes": RemoteFile.end_bytes}
    assert [(one.method, one.range) for one in store.requests] == [("GET", f"bytes=-{RemoteFile.end_bytes}")]
    assert document["file_bytes"] == archive.stat().st_size


def test_an_archive_on_the_web_opens_with_one_request(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    assert embdc.inspect(web.url("a.embdc"))["io"]["requests"] == 1
    assert web.asked == [f"bytes=-{RemoteFile.end_bytes}"]


def of_items(count: int) -> bytes:
    """An archive of so many items, of a chunk each, with what `cat` keeps of each: names, digests, sums and figures."""
    rng = np.random.default_rng(0)
    plain = header_of(Plan(bias=False))
    items = tuple(replace(plain.items[0], name=rng.bytes(6).hex()) for _ in range(count))
    streams = tuple(replace(plain.streams[0], item=number, rows=1) for number in range(count))
    out = io.BytesIO()
    writer = ArchiveWriter(out, replace(plain, items=items, streams=streams))
    for number in range(count):
        start = int(rng.integers(1 << 20))
        writer.times(number, 0, np.array([start]), np.array([start + 3000]))
        record = DataRecord(number, 0, 0, 1, 0, 0, mse=float(rng.random()), pts0=start, pts1=start + 3000)
        writer.data(record, rng.bytes(int(rng.integers(400, 800))))
    figures = ("channel_nmse", "cosine", "cosine_p1", "nmse")
    writer.finish(
        {
            "items": [
                {"source": {"ends_digest": rng.bytes(32).hex(), "size_bytes": int(rng.integers(1 << 32))}}
                for _ in range(count)
            ],
            "streams": [
                {
                    "achieved": {name: float(rng.random()) for name in figures},
                    "digest": rng.bytes(32).hex(),
                    "sums": {name: float(rng.random()) for name in ("cosine_sum", "energy", "sse")},
                }
                for _ in range(count)
            ],
        }
    )
    return out.getvalue()


def test_what_opening_brought_counts_as_held_until_it_is_let_go(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    with ArchiveReader(RemoteFile(web.url("a.embdc"))) as reader:
        held = reader.held_bytes
        reader.forget()
        assert held - reader.held_bytes == min(archive.stat().st_size, RemoteFile.end_bytes)


def test_an_archive_of_a_thousand_items_opens_with_one_request(store: Store, web: Web) -> None:
    data = of_items(1000)
    web.bodies["a.embdc"] = data
    for url in (put(store, "a.embdc", data), web.url("a.embdc")):
        with ArchiveReader.open(url) as reader:
            assert (len(reader.items), reader.complete) == (1000, True)
            assert (reader.reads, reader.bytes_read) == (1, RemoteFile.end_bytes)
            tail = reader.parts[0].tail
            assert tail is not None
            assert 190_000 < tail.opening_bytes < RemoteFile.end_bytes
    assert (store.asked(), len(web.asked)) == (1, 1)


def test_joining_keeps_small_objects_only(web: Web, tmp_path: Path) -> None:
    """What opening brought of a larger one would be most of the memory that thousands of parts take."""
    web.bodies = {"small.embdc": of_items(20), "middle.embdc": of_items(200)}
    assert len(web.bodies["small.embdc"]) < spec.OPENING_BYTES < len(web.bodies["middle.embdc"]) < RemoteFile.end_bytes
    assert embdc.cat([web.url(name) for name in web.bodies], tmp_path / "a.embdc", join="items")["items"] == 220
    assert len(web.asked) == 3  # the larger one again


def test_other_file_systems_are_asked_for_the_size_first(archive: Path) -> None:
    fsspec.filesystem("memory").pipe("/opening/a.embdc", archive.read_bytes())
    assert embdc.inspect("memory://opening/a.embdc")["io"]["requests"] == 2
    fsspec.filesystem("memory").rm("/opening", recursive=True)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_objects_smaller_than_an_opening(store: Store, web: Web, size: int) -> None:
    web.bodies["a.embdc"] = b"\x89" * size
    for url in (put(store, "a.embdc", b"\x89" * size), web.url("a.embdc")):
        with pytest.raises(CorruptArchive):
            ArchiveReader.open(url)


def test_what_is_not_there_or_not_allowed(store: Store, web: Web) -> None:
    with pytest.raises(SourceError, match=f"^{web.url('none')}: no such object$"):
        embdc.open(web.url("none"))
    with pytest.raises(SourceError, match=f"^{store.url('none')}: no such object$"):
        embdc.open(store.url("none"))
    with pytest.raises(SourceError, match=r"^s3://no-such-bucket-here/a: no such object$"):
        embdc.open("s3://no-such-bucket-here/a")
    store.faults.append(denied)
    with pytest.raises(SourceError, match="cannot be read, access is denied: Access Denied") as caught:
        embdc.open(store.url("a.embdc"))
    assert "credentials" in (caught.value.hint or "")


def test_credentials_that_are_not_there(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceError, match="access is denied: Unable to locate credentials"):
        ArchiveReader.open(store.url("a.embdc"), skip_instance_cache=True)


class Answered(OSError):
    """What a client makes of an answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}\nat length")
        self.status = status


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (None, "no such object"),
        (FileNotFoundError("a"), "no such object"),
        (Answered(404), "no such object"),
        (Answered(410), "no such object"),
        (Answered(500), "cannot be read, answered 500"),
        (Answered(403), "cannot be read, access is denied: answered 403"),
        (OSError("no route"), "cannot be read, no route"),
    ],
)
def test_what_fsspec_does_not_find_for_another_reason(cause: Exception | None, words: str) -> None:
    error = FileNotFoundError("a")
    error.__cause__ = cause
    found = unreadable("gs://b/a", error)
    assert found.message == f"gs://b/a: {words}"
    assert isinstance(found, MissingObject) == (words == "no such object")


@pytest.mark.parametrize(
    ("url", "package"), [("s3://b/a", "s3fs"), ("gs://b/a", "gcsfs"), ("https://127.0.0.1/a", "aiohttp")]
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, url: str, package: str) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError(f"Install {package} to access it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(SourceError, match="needs a package that is not installed") as caught:
        embdc.open(url)
    assert caught.value.hint == f"pip install {package}"
