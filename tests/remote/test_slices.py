"""Random slices of many archives in S3: what they cost."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container.storage import RemoteFile
from tests.remote.s3_server import Store

ROWS, LENGTH = 2400, 8


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory, features: np.ndarray) -> Path:
    """An archive with models far from most chunks, and too large for its opening."""
    path = tmp_path_factory.mktemp("slices") / "a.embdc"
    values = np.concatenate([features, features[::-1]] * 2)
    embdc.encode(values, path, chunk_frames=LENGTH, target_nmse=0.0001, effort=0)
    assert path.stat().st_size > 3 * RemoteFile.end_bytes
    return path


def check(store: Store, lossy: Path, archives: int, slices: int) -> None:
    """One request to open, at most two for a slice with its models, then one for each slice."""
    system, folder = fsspec.filesystem("s3"), f"{store.bucket}/{uuid.uuid4().hex}"
    for number in range(archives):
        system.put_file(str(lossy), f"{folder}/{number}.embdc")
    with embdc.open(lossy) as local:
        expected = local["data"][:].numpy()
    rng = random.Random(3)
    store.forget()
    for _ in range(slices):
        start = rng.randrange(ROWS // LENGTH) * LENGTH
        with embdc.open(f"s3://{folder}/{rng.randrange(archives)}.embdc") as opened:
            found = opened["data"][start : start + LENGTH].numpy()
            assert opened.reader.traffic.round_trips <= 2
        np.testing.assert_array_equal(found, expected[start : start + LENGTH])
    cold = store.asked() / slices
    opened_all = [embdc.open(f"s3://{folder}/{number}.embdc") for number in range(archives)]
    for one in opened_all:
        one["data"][0]
    store.forget()
    for _ in range(slices):
        start = rng.randrange(ROWS // LENGTH) * LENGTH
        opened_all[rng.randrange(archives)]["data"][start : start + LENGTH]
    warm = store.asked() / slices
    assert store.asked("GET") == store.asked()  # nothing but reads
    for one in opened_all:
        one.close()
    print(f"{slices} slices, {archives} archives: {cold} requests each, {warm} with models cached")
    assert cold <= 3.1
    assert warm <= 1.1


def test_slices_of_archives(store: Store, lossy: Path) -> None:
    check(store, lossy, archives=3, slices=20)


@pytest.mark.slow
def test_a_thousand_slices_of_a_hundred_archives(store: Store, lossy: Path) -> None:
    check(store, lossy, archives=100, slices=1000)
