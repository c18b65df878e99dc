"""Stores that fail for a moment, for good, or answer with less than they were asked for."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container.storage import RemoteFile
from embdc_cli.errors import SourceError
from embdc_cli.remote import filesystem
from embdc_cli.remote import object as remote_object
from tests.remote.s3_server import Fault, Request, Store, broken_off, slow_down, times
from tests.remote.web_server import Web


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_object, "_PAUSES_SECONDS", (0.01, 0.02, 0.03))


def is_read(request: Request) -> bool:
    return request.method == "GET" and bool(request.range)


@pytest.mark.parametrize("fault", [slow_down, broken_off])
def test_s3_is_asked_again(store: Store, archive: Path, features: np.ndarray, fault: Fault) -> None:
    fsspec.filesystem("s3").put_file(str(archive), f"{store.bucket}/a.embdc")
    store.faults.append(times(2, fault, is_read))
    with embdc.open(store.url("a.embdc")) as opened:
        store.faults.append(times(2, fault, is_read))
        np.testing.assert_array_equal(opened["data"][100:110].numpy(), features[100:110])


@pytest.mark.parametrize("fault", [slow_down, broken_off])
def test_s3_that_fails_for_good_is_told_in_a_line(
    store: Store, archive: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("s3").put_file(str(archive), f"{store.bucket}/a.embdc")
    monkeypatch.setattr(type(fsspec.filesystem("s3")), "retries", 2)
    with embdc.open(store.url("a.embdc")) as opened:
        store.forget()
        store.faults.append(times(1000, fault, is_read))
        with pytest.raises(SourceError, match=f"^{store.url('a.embdc')}: cannot be read") as caught:
            opened["data"][100:110]
        assert "\n" not in caught.value.message
        assert store.asked("GET") <= 8


@pytest.mark.parametrize("fault", ["drop", "503", "429", "half", "short"])
def test_the_web_is_asked_again(web: Web, archive: Path, features: np.ndarray, fault: str) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    web.faults += [fault, fault]
    with embdc.open(web.url("a.embdc")) as opened:
        web.faults += [fault, fault]
        np.testing.assert_array_equal(opened["data"][100:110].numpy(), features[100:110])
        assert not web.faults


@pytest.mark.parametrize("fault", ["drop", "503", "half", "short"])
def test_the_web_that_fails_for_good_is_told_in_a_line(web: Web, archive: Path, fault: str) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    with embdc.open(web.url("a.embdc")) as opened:
        web.faults += [fault] * 100
        web.asked.clear()
        with pytest.raises(SourceError, match=f"^{web.url('a.embdc')}: cannot be read") as caught:
            opened["data"][100:110]
        assert "\n" not in caught.value.message
        assert len(web.asked) <= 8


def test_a_server_that_says_nothing_is_not_waited_for(
    web: Web, archive: Path, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "_SILENCE_SECONDS", 0.5)
    web.bodies["a.embdc"] = archive.read_bytes()
    with embdc.open(web.url("a.embdc")) as opened:
        web.faults += ["hang"]
        np.testing.assert_array_equal(opened["data"][100:110].numpy(), features[100:110])
        web.faults += ["hang"] * 8
        with pytest.raises(SourceError, match=r"cannot be read, .*[Tt]imeout"):
            opened["data"][200:210]
    web.released.set()


def test_what_changed_meanwhile_is_not_mixed(store: Store, web: Web, archive: Path) -> None:
    system = fsspec.filesystem("s3")
    system.put_file(str(archive), f"{store.bucket}/a.embdc")
    web.bodies["a.embdc"], web.tags["a.embdc"] = archive.read_bytes(), '"one"'
    web.bodies["untagged"] = archive.read_bytes()
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/faults/a", archive.read_bytes())
    files = [RemoteFile(url) for url in (store.url("a.embdc"), web.url("a.embdc"), web.url("untagged"))]
    short = RemoteFile("memory://faults/a")
    system.pipe_file(f"{store.bucket}/a.embdc", archive.read_bytes()[::-1])
    web.tags["a.embdc"] = '"two"'
    web.bodies["untagged"] += b"more"
    for one in files:
        with pytest.raises(SourceError, match="changed while it was read"):
            one.read(0, 10)
    memory.pipe_file("/faults/a", b"less")
    with pytest.raises(SourceError, match="cannot be read, expected 10 bytes at offset 0, found 4"):
        short.read(0, 10)


@pytest.mark.parametrize("fault", ["less", "elsewhere"])
def test_other_bytes_than_were_asked_for_are_not_taken(web: Web, archive: Path, fault: str) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    file = RemoteFile(web.url("a.embdc"))
    web.faults.append(fault)
    with pytest.raises(SourceError, match="cannot be read"):
        file.read(0, 10)


def test_a_tag_that_is_weak_says_nothing(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"], web.tags["a.embdc"] = archive.read_bytes(), 'W/"one"'
    file = RemoteFile(web.url("a.embdc"))
    web.tags["a.embdc"] = 'W/"two"'
    assert file.read(0, 10) == archive.read_bytes()[:10]


def test_of_several_ranges_only_what_failed_is_asked_for_again(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"] = data = archive.read_bytes()
    file = RemoteFile(web.url("a.embdc"))
    web.asked.clear()
    web.faults += ["", "503"]
    assert file.read_many([(0, 10), (20, 30)]) == [data[:10], data[20:30]]
    assert len(web.asked) == 3


@pytest.mark.parametrize(("fault", "words"), [("403", "access is denied"), ("400", "cannot be read")])
def test_what_will_not_change_is_asked_for_once(web: Web, archive: Path, fault: str, words: str) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    web.faults += [fault] * 9
    with pytest.raises(SourceError, match=words):
        RemoteFile(web.url("a.embdc"))
    assert len(web.asked) == 1


def test_a_flipped_bit_is_no_value(store: Store, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    with embdc.open(archive) as local:
        entry = local["data"].stream.entries[5]
    data[entry.offset + entry.length // 2] ^= 4
    fsspec.filesystem("s3").pipe_file(f"{store.bucket}/a.embdc", bytes(data))
    with embdc.open(store.url("a.embdc")) as opened, pytest.raises(embdc.CorruptArchive):
        opened["data"][:]
    assert embdc.verify(store.url("a.embdc"))["exit"] == 5


def test_ranges_that_a_server_does_not_know(web: Web, archive: Path, features: np.ndarray) -> None:
    web.bodies["a.embdc"], web.ranges = archive.read_bytes(), False
    with embdc.open(web.url("a.embdc")) as opened:
        np.testing.assert_array_equal(opened["data"][100:110].numpy(), features[100:110])
        threads = [threading.Thread(target=lambda: opened["data"][:50]) for _ in range(3)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert len(web.asked) == 2


def test_a_forked_process_has_connections_of_its_own(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"] = archive.read_bytes()
    file = RemoteFile(web.url("a.embdc"))
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(file.read(0, 10)))
    child.start()
    try:
        assert receiver.poll(30)
        assert receiver.recv() == archive.read_bytes()[:10]
    finally:
        child.kill()
        child.join()


def test_a_copy_that_breaks_off_begins_again_and_a_short_one_is_none(web: Web, archive: Path) -> None:
    web.bodies["a.embdc"], web.ranges = archive.read_bytes(), False
    web.faults += ["", "half"]
    file = RemoteFile(web.url("a.embdc"))
    assert file.read(0, 1 << 30) == archive.read_bytes()
    file.close()
    web.faults += ["", "short"]
    with pytest.raises(SourceError, match=f"cannot be read, expected {archive.stat().st_size} bytes, found"):
        RemoteFile(web.url("a.embdc"))


def test_a_server_that_sends_round_in_circles_is_told(web: Web) -> None:
    web.faults += ["loop"] * 40
    with pytest.raises(SourceError, match=r"/a\.embdc: cannot be read, TooManyRedirects$"):
        embdc.inspect(web.url("a.embdc"))
