"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_configure() -> None:
    # a shell starts background jobs with SIGINT ignored, which the program respects and every child inherits
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not cuda_device_is_here():
        os.environ["TRITON_INTERPRET"] = "1"  # Triton looks at it when it is imported, by torch perhaps


def cuda_device_is_here() -> bool:
    """Whether torch can use a CUDA device. Where there is no driver torch is not asked: it takes seconds to load."""
    if not any(Path("/dev", name).exists() for name in ("nvidiactl", "dxg")):
        return False
    import torch

    return torch.cuda.is_available()


def pytest_collection() -> None:
    """Kernels are compiled where they are imported: each worker begins at others, and finds the rest compiled."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    kernels = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "embdc_cli").rglob("cpu.py"))
    first = len(kernels) * int(worker.removeprefix("gw")) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for path in (*kernels[first:], *kernels[:first]):
        importlib.import_module(".".join(path.parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("EMBDC_REQUIRE_GPU"):
        raise pytest.UsageError("EMBDC_REQUIRE_GPU is set, and torch finds no CUDA device")
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips, embeddings and models that $EMBDC_TEST_DATA names; skips where it is not there."""
    folder = os.environ.get("EMBDC_TEST_DATA")
    if not folder:
        pytest.skip("EMBDC_TEST_DATA is not set: no real clips, embeddings and models")
    path = Path(folder).resolve()
    if not (path / "data").is_dir():
        pytest.skip(f"EMBDC_TEST_DATA: {path} has no folder data/")
    return path
