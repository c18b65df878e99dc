"""Servers on loopback: an S3 store with a bucket for each test, and a web server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container.storage import RemoteFile
from tests.remote import hub_server, s3_server, web_server
from tests.remote.s3_server import Store
from tests.remote.web_server import Web
from tests.synthetic import embeddings


@pytest.fixture(scope="session")
def s3() -> Iterator[Store]:
    """The server, and an environment that leads every client to it, in this process and in those it starts."""
    with s3_server.running() as store, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", store.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # s3fs tries again by itself
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield store


@pytest.fixture
def store(s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A new bucket, and a folder for unfinished work."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("EMBDC_TMPDIR", str(tmp_path / "scratch"))
    s3.bucket = f"b-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3").mkdir(s3.bucket)
    s3.forget()
    yield s3
    s3.faults.clear()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server.running() as server:
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A hub, and settings that lead its client there in this process."""
    from huggingface_hub import constants

    with web_server.running(hub_server.Hub) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # which tests of encoders set
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": server.address, "token": False})
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


@pytest.fixture(scope="session")
def features() -> np.ndarray:
    """(600, 9, 64) float16."""
    return embeddings(600, 9, 64).astype(np.float16)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, features: np.ndarray) -> Path:
    """An archive of `features` of several chunks, larger than what opening reads, the rest than a gap."""
    path = tmp_path_factory.mktemp("remote") / "a.embdc"
    embdc.encode(features, path, lossless=True, chunk_frames=16)
    assert path.stat().st_size > RemoteFile.end_bytes + 2 * RemoteFile.gap_bytes
    return path


def contents(store: Store) -> dict[str, bytes]:
    """Every object of the bucket by its key."""
    system = fsspec.filesystem("s3")
    system.invalidate_cache()
    return {name.split("/", 1)[1]: system.cat_file(name) for name in system.find(store.bucket)}


def unfinished(store: Store) -> list[str]:
    """Keys of uploads that were begun and neither completed nor aborted."""
    found = fsspec.filesystem("s3").call_s3("list_multipart_uploads", Bucket=store.bucket)
    return [one["Key"] for one in found.get("Uploads") or ()]
