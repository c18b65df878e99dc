"""Reading a dump much larger than its rows needs little memory, and reads from any thread."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.source.dump_files import RNG, npy_bytes, opened

ROW = (1024, 1024)  # 2 MiB of float16
GROWTH_KIB = 100 << 10

READ_ALL = """
import resource, sys
from embdc_cli.options import EncodeOptions
from embdc_cli.source import open_dump
dump = open_dump(sys.argv[1], EncodeOptions())
tensor = dump.tensors[0]
total = float(tensor.read(0, 1).sum())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(0, tensor.spec.rows, 8):
    total += float(tensor.read(start, min(start + 8, tensor.spec.rows))[-1, -1, -1])
print(tensor.spec.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, total)
"""


def sparse(path: Path, form: str, rows: int) -> Path:
    """A file with one dataset of zeros that takes no space on the disk; its very last value is 1."""
    size = rows * ROW[0] * ROW[1] * 2
    if form == "h5":
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("x", (rows, *ROW), "f2")
            dataset[-1, -1, -1] = 1
        return path
    if form == "npy":
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(out, {"descr": "<f2", "fortran_order": False, "shape": (rows, *ROW)})
        start = out.getvalue()
    elif form == "safetensors":
        header = json.dumps({"x": {"dtype": "F16", "shape": [rows, *ROW], "data_offsets": [0, size]}}).encode()
        start = struct.pack("<Q", len(header)) + header
    else:
        # untouched pages of a large allocation are holes too, as far as memory goes
        tensor = torch.from_file(str(path) + ".x", shared=True, size=size // 2, dtype=torch.float16)
        tensor[-1] = 1
        torch.save(tensor.view(rows, *ROW), path)
        return path
    with open(path, "wb") as out_file:
        out_file.write(start)
        out_file.truncate(len(start) + size)
        out_file.seek(-2, 2)
        out_file.write(np.float16(1).tobytes())
    return path


@pytest.mark.parametrize("form", ["npy", "h5", "safetensors", "pt"])
@pytest.mark.parametrize("rows", [200, pytest.param(1500, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, form: str, rows: int) -> None:
    path = sparse(tmp_path / f"a.{form}", form, rows)
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(path)], capture_output=True, text=True, check=True)
    path.unlink()
    found, growth, total = done.stdout.split()
    assert int(found) == rows
    assert float(total) == 1
    assert int(growth) < GROWTH_KIB


@pytest.mark.parametrize("form", ["npy", "fortran", "h5"])
def test_threads_read_at_once(tmp_path: Path, form: str) -> None:
    array = RNG.standard_normal((200, 30)).astype(np.float32)
    path = tmp_path / "a"
    if form == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=array, chunks=(7, 30), compression="gzip")
    else:
        path.write_bytes(npy_bytes(np.asfortranarray(array) if form == "fortran" else array))
    dump = opened(path)
    spans = [(start, min(start + 9, 200)) for start in range(0, 200, 3)] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda span: dump.tensors[0].read(*span), spans))
    for (start, stop), rows in zip(spans, found, strict=True):
        np.testing.assert_array_equal(rows, array[start:stop])
    dump.close()
