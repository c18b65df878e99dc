"""Dumps behind URLs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.remote import blocks
from embdc_cli.source import detect_format
from tests.source.dump_files import FEATURES, arrays, npy_bytes, opened


@pytest.fixture
def memory() -> Iterator[str]:
    """A URL of a small npy file in fsspec's memory."""
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/dumps/a.npy", npy_bytes(FEATURES))
    yield "memory://dumps/a.npy"
    filesystem.rm("/dumps", recursive=True)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        del format, args


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server without byte ranges over `tmp_path`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_object_is_a_dump(memory: str, tmp_path: Path) -> None:
    assert detect_format(memory) == "npy"
    (tmp_path / "a.npy").write_bytes(npy_bytes(FEATURES))
    dump, of_file = opened(memory), opened(tmp_path / "a.npy")
    assert dump.source == of_file.source
    of_file.close()
    np.testing.assert_array_equal(arrays(dump)["data"], FEATURES)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 32)
    dump = opened(memory, spool_max=1)
    for _ in range(2):  # blocks that were dropped are fetched again
        np.testing.assert_array_equal(dump.tensors[0].read(0, len(FEATURES)), FEATURES)
    dump.close()


def test_what_has_to_be_copied_is_bounded(web: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes(FEATURES))
    with pytest.raises(ResourceError, match=f"{web}/a.npy: more than 10 bytes to spool"):
        opened(f"{web}/a.npy", spool_max=10)


def test_what_is_not_there(memory: str) -> None:
    for url, words in [
        (memory + "x", "no such object"),
        ("nonsense://x", "cannot be opened"),
        ("http://127.0.0.1:9/a.npy", "cannot be read, .*127.0.0.1"),
    ]:
        for ask in (detect_format, opened):
            with pytest.raises(SourceError, match=words) as caught:
                ask(url)
            assert "\n" not in caught.value.message


class EndpointConnectionError(Exception):
    """Named as botocore's own."""


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (FileNotFoundError("x"), None, "no such object"),
        (FileNotFoundError("x"), FileNotFoundError("y"), "no such object"),
        (FileNotFoundError("x"), KeyError("NoSuchKey"), "no such object"),
        (FileNotFoundError("x"), ConnectionRefusedError(111, "Connection refused"), "cannot be read, .*refused"),
        (FileNotFoundError("x"), ValueError(), "cannot be read, ValueError"),
        (PermissionError("Forbidden"), None, "cannot be read, access is denied: Forbidden"),
        (EndpointConnectionError("no endpoint"), None, "cannot be read, no endpoint"),
    ],
)
def test_what_happened_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None, words: str
) -> None:
    client = SimpleNamespace(BotoCoreError=EndpointConnectionError)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", client)  # type: ignore[arg-type]

    def fail(*_: object, **__: object) -> None:
        raise error from cause

    monkeypatch.setattr(fsspec.filesystem("memory"), "info", fail)
    with pytest.raises(SourceError, match=f"^memory://x: {words}"):
        detect_format("memory://x")


def test_a_web_server_without_ranges(web: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes(FEATURES))
    (tmp_path / "empty.npy").write_bytes(b"")
    assert detect_format(f"{web}/a.npy") == "npy"
    np.testing.assert_array_equal(arrays(opened(f"{web}/a.npy"))["data"], FEATURES)
    with pytest.raises(SourceError, match="no such object"):
        opened(f"{web}/b.npy")
    with pytest.raises(SourceError, match="empty"):
        opened(f"{web}/empty.npy")
