"""Kernels in Triton compile for a device that is not here: what the interpreter takes, the compiler may not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

class Device:
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", 90, 32)

def compile_only(kernel, *arguments, grid, warmup, **options):
    compiled = original(kernel, *arguments, grid=grid, warmup=True, **options)
    assert compiled.asm["cubin"]
    print(kernel.fn.__name__)

triton.runtime.driver.set_active(Device())
original, JITFunction.run = JITFunction.run, compile_only

from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.entropy.dependent import cuda as dependent
from embdc_cli.entropy.dependent.tables import coefficient_path_tables
from embdc_cli.entropy.levels import cuda as levels
from embdc_cli.entropy.levels import cuda_encode
from embdc_cli.entropy.tables import static_tables

device = torch.device("cpu")
tables = rans.tables_on(static_tables(), device)
data, ranges = torch.zeros(100, dtype=torch.uint8), torch.zeros((3, 2), dtype=torch.int64)
rans.encode(data, data, ranges, rans.lane_counts(data, data, ranges, tables), tables)
levels.decode_levels(data, ranges, data, ranges, 5000, levels.tables_on(None, device))
cuda_encode.encode_levels(data.int(), data, ranges, 5000, levels.tables_on(None, device))
path_tables = dependent.tables_on(coefficient_path_tables(), device)
dependent.decode(data, ranges, data, ranges, 5000, ranges[:0], ranges, path_tables)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_every_kernel_compiles_for_hopper(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**variables, "TRITON_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = ["count_coded", "find_parts", "keep_coded"]
    raw = ["count_raw", "keep_orders", "read_escapes", "merge"]
    encode = ["_count_parts", "_clear", "_write_parts", "_encode"]
    plain, paths = [*parts, "_decode", *raw], [*parts, "_keep_tracks", "_decode", "_spread", *raw]
    assert done.stdout.split() == ["_lane_counts", "_encode", *plain, *encode, *paths]
