"""What opening an archive behind a URL costs, and what is said where it cannot be read."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

import embdc_cli as embdc
from embdc_cli.container import spec
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.errors import CorruptArchive, SourceError
from embdc_cli.remote.errors import MissingObject, unreadable
from tests.remote.s3_server import Store, denied
from tests.remote.web_server import Web


def put(store: Store, key: str, data: bytes) -> str:
    fsspec.filesystem("s3").pipe_file(f"{store.bucket}/{key}", data)
    store.forget()
    return store.url(key)


def test_an_archive_in_s3_opens_with_one_request(store: Store, archive: Path) -> None:
    document = embdc.inspect(put(store, "a.embdc", archive.read_bytes()))
    assert document["io"] == {"requests": 1, "round_trips": 1, "bytes": spec.OPENING_BYTES}
    assert [(one.method, one.range) for one in store.requests] == [("GET", f"bytes=-{spec.OPENING_BYTES}")]
    assert document["file_bytes"] == archive.stat().st_size


def test_an_archive_on_the_web_opens_with_one_request(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    assert embdc.inspect(web.url("a.embdc"))["io"]["requests"] == 1
    assert web.asked == [f"bytes=-{spec.OPENING_BYTES}"]


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
