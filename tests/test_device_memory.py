"""What an archive says that decoding takes of a device, against what torch takes: on the CPU all of it is seen."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import embdc_cli as embdc
from embdc_cli.device_decoding import DeviceDecoder
from tests.synthetic import embeddings
from tests.test_device_decoding import on, path

__all__ = ["path"]


class Live(TorchDispatchMode):
    """Bytes of the tensors that operations of this thread make, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak_bytes = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, torch.Tensor) and one.untyped_storage()._cdata not in self._seen:
                self._take(one.untyped_storage())
        return made

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._seen.add(key)
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)

        def gone() -> None:
            self._seen.discard(key)
            self.bytes -= size

        weakref.finalize(storage, gone)


@pytest.mark.parametrize("rows", [range(160), range(0, 160, 3)], ids=["whole", "parts"])
@pytest.mark.parametrize("effort", [0, 1])
def test_the_peak_bounds_what_is_taken(effort: int, rows: range, tmp_path: Path) -> None:
    embdc.encode(embeddings(160, 48, 48), tmp_path / "a.embdc", chunk_frames=32, target_nmse=0.05, effort=effort)
    with embdc.open(tmp_path / "a.embdc") as archive:
        decoder = DeviceDecoder("cpu")
        with Live() as live:
            decoder.rows(archive, archive["data"], rows)
        assert live.peak_bytes <= decoder.peak_bytes <= 3 * live.peak_bytes


@pytest.mark.parametrize("ragged", [False, True])
def test_the_peak_of_copying_back(ragged: bool, tmp_path: Path) -> None:
    x: Any = np.split(embeddings(1, 1600, 64)[0], 160) if ragged else embeddings(160, 48, 48)
    embdc.encode(x, tmp_path / "a.embdc", chunk_frames=32, target_nmse=0.05, effort=1)
    with embdc.open(tmp_path / "a.embdc") as archive:
        decoder, view = DeviceDecoder("cpu"), archive["data"]
        for _ in decoder.chunks(archive, view, list(view.pieces(range(160)))):
            pass
        rows = 2 * x.size if not ragged else 2 * sum(one.size for one in x)
        assert rows < decoder.peak_bytes < 20 * rows


def test_an_archive_tells_its_peak(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with embdc.open(path) as archive:
        archive["data"][:]
        assert archive.peak_device_bytes == 0
    archive = embdc.open(path, device=on("cpu", monkeypatch))
    assert archive.peak_device_bytes == 0
    one = archive["data"][3:5]
    first = archive.peak_device_bytes
    assert first > one.nbytes
    whole = archive["data"][:]
    assert archive.peak_device_bytes > max(first, whole.nbytes)
    most = archive.peak_device_bytes
    archive["data"][3:5]
    assert archive.peak_device_bytes == most
    archive.close()
    assert archive.peak_device_bytes == 0


@pytest.mark.gpu
def test_the_peak_bounds_what_a_gpu_gives(tmp_path: Path) -> None:
    """All but the last rows, which are the caller's, and what the allocator rounds up."""
    embdc.encode(embeddings(512, 64, 128), tmp_path / "a.embdc", target_nmse=0.05)
    with embdc.open(tmp_path / "a.embdc", device="cuda") as archive:
        archive["data"][:64]  # kernels are loaded, and have what they keep
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        archive["data"][:]
        assert torch.cuda.max_memory_allocated() - before <= archive.peak_device_bytes + (4 << 20)
