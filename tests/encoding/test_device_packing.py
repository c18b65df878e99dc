"""Whole archives whose codes never leave the device: the bytes of those whose codes the CPU packs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import embdc_cli as embdc
from embdc_cli.codec.device import packing
from embdc_cli.codec.device.encoder import DeviceEncoder
from embdc_cli.codec.device.packing import ByCpu
from embdc_cli.codec.stage import ChunkRows
from embdc_cli.codec.table import ChunkKind
from tests.codec.device.packing_cases import packed_there
from tests.encoding.test_device_encoding import on
from tests.encoding.test_same_bytes import interrupt_at
from tests.entropy.device_cases import DEVICES
from tests.synthetic import embeddings

__all__ = ["packed_there"]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of chunks of every batch. The interpreter has one thread, so they take turns."""
    found: list[int] = []
    one_by_one = threading.Lock()
    coded = DeviceEncoder._coded

    def counted(self: DeviceEncoder, chunks: Sequence[ChunkRows]) -> Any:
        with one_by_one:
            found.append(len(chunks))
            return coded(self, chunks)

    monkeypatch.setattr(DeviceEncoder, "_coded", counted)
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.usefixtures("packed_there")
def test_bytes_are_the_same_wherever_codes_are_packed(
    effort: int, device: str, tmp_path: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"target_nmse": 0.1, "effort": effort, "chunk_frames": 4, "force": True}
    options["device"] = on(device, monkeypatch)
    x, path = embeddings(22, 9, 16), tmp_path / "a.embdc"
    with monkeypatch.context() as patch:
        patch.setattr(packing, "kernels_on", lambda _: None)
        embdc.encode(x, str(path), **options)
    whole = path.read_bytes()
    assert set(batches) == {1}
    monkeypatch.setattr(ByCpu, "packed", None)
    with embdc.open(str(path)) as archive:
        entries = archive["data"].stream.entries
        assert {entry.record.kind for entry in entries} == {ChunkKind.TRANSFORM}
    for jobs, largest in ((1, 6), (2, 3))[effort:]:
        batches.clear()
        embdc.encode(x, str(path), jobs=jobs, **options)
        assert path.read_bytes() == whole
        assert batches[-1] == max(batches) == largest
    if effort:
        return
    with monkeypatch.context() as patch:
        interrupt_at(patch, entries[2].offset + 1)
        with pytest.raises(embdc.Stopped):
            embdc.encode(x, str(path), **options)
    batches.clear()
    embdc.encode(x, str(path), resume=True, **options)
    assert path.read_bytes() == whole
    assert batches == [4]
    assert embdc.verify(str(path), deep=True)["ok"]
