"""Archives decoded on a device where kernels decode their codes: interpreted, and on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli import device_decoding
from embdc_cli.codec.device import plane_coders
from embdc_cli.entropy.levels import cuda
from embdc_cli.entropy.rans import cuda as rans
from tests.entropy.device_cases import DEVICES, INTERPRETED  # skips where there is no Triton
from tests.synthetic import embeddings
from tests.test_device_decoding import near, on, path

__all__ = ["path"]
pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True)
def _on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entropy coders on the device: also on the CPU, where they are interpreted."""
    monkeypatch.setattr(plane_coders, "kernels_on", lambda _: cuda)
    monkeypatch.setattr(device_decoding, "why_not", lambda _: None)
    if INTERPRETED:  # the interpreter takes long for a step, however much there is in it
        monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
        monkeypatch.setattr(rans, "_TOGETHER", 64)


def never(*asked: object) -> None:
    raise AssertionError(f"read {asked}")


@pytest.mark.parametrize("effort", [0, 2])
def test_a_resident_archive_needs_no_file(
    effort: int, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = embeddings(16, 12, 8).astype(np.float32)
    x[3, 2] = np.nan
    embdc.encode({"a": x}, tmp_path / "a.embdc", chunk_frames=8, target_nmse=0.1, effort=effort, nonfinite="keep")
    expected = embdc.open(tmp_path / "a.embdc")
    with embdc.open(tmp_path / "a.embdc", resident=on(device, monkeypatch)) as archive:
        payload = sum(entry.length for name in archive for entry in archive[name].stream.entries)
        assert archive.resident_bytes > payload / 2
        for name in ("fetch", "start"):
            monkeypatch.setattr(archive.reader, name, never)
        for index in (slice(3, 15, 2), slice(None), 10):
            found, wanted = archive["a"][index], expected["a"][index]
            assert found.device.type == device
            assert torch.equal(found.isnan().cpu(), wanted.isnan())
            assert near(found.nan_to_num(), wanted.nan_to_num())


@pytest.mark.parametrize("options", [{"codec": "vq"}, {"codec": "lossless"}], ids=str)
def test_what_the_cpu_decodes_is_not_resident(
    options: dict[str, Any], device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embdc.encode(embeddings(8, 5, 4), tmp_path / "a.embdc", **options)
    with pytest.raises(embdc.UsageError, match="stream 'data' has chunks whose codes are decoded on the CPU"):
        embdc.open(tmp_path / "a.embdc", resident=on(device, monkeypatch))


@pytest.mark.parametrize("resident", [False, True])
def test_too_little_memory_is_told(path: str, resident: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nMore words")

    monkeypatch.setattr("embdc_cli.codec.device.staging.Staging.copied", full)
    with pytest.raises(embdc.ResourceError, match=r"^[a-z0:]*: CUDA out of memory. Tried to allocate 20 MiB.$"):
        embdc.open(path, **{"resident" if resident else "device": on(device, monkeypatch)})["data"][:]
