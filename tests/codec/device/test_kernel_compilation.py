"""The kernels of stages compile for a device that is not here: what the interpreter takes, the compiler may not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.entropy.test_cuda_compilation import PROGRAM

KERNELS = """
from embdc_cli.codec.device import cuda, cuda_codes

numbers = torch.zeros(5, dtype=torch.float64)
cuda.points(torch.zeros(3, dtype=torch.int32), numbers, rounds_twice=True)
for dtype in (torch.float16, torch.bfloat16):
    cuda.store(torch.zeros(2, 3, 4), torch.zeros((2, 5, 4), dtype=dtype)[:, 1:4], 65504.0)
data, blocks = torch.zeros(9, dtype=torch.uint8), torch.zeros((2, 7), dtype=torch.int64)
cuda.track_classes(data, data, blocks, torch.zeros(2, dtype=torch.int32), 9)
codes = torch.zeros((3, 2, 5), dtype=torch.int32)
cuda_codes.plane_levels(codes, 2)
cuda_codes.remainders(codes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_every_kernel_compiles_for_hopper(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.partition("from embdc_cli")[0] + KERNELS],
        capture_output=True,
        text=True,
        env={**variables, "TRITON_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["_points", "_store", "_store", "_track_classes", "_plane_levels", "_remainders"]
