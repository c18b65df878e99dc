"""Without a working numba the numpy kernels take over and give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest
from entropy_cases import drawn_levels, mixed_classes
from numba.core.errors import NumbaError

from embdc_cli.entropy import backend
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.levels import encode_levels

PROGRAM = """
import sys
{setup}
import numpy as np
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.levels import decode_levels, encode_levels
levels = np.frombuffer(bytes.fromhex(sys.argv[1]), np.int32)
classes = np.frombuffer(bytes.fromhex(sys.argv[2]), np.uint8)
assert "numba" not in sys.modules or {setup!r}
data = encode_levels(levels, classes)
assert np.array_equal(decode_levels(data, classes), levels)
print(kernels("embdc_cli.entropy.rans").__name__, kernels("embdc_cli.entropy.levels").__name__, data.hex())
"""


@pytest.mark.parametrize(
    ("setup", "variables", "kernel"),
    [
        ("", {}, "cpu"),
        ("sys.modules['numba'] = None", {}, "reference"),
        ("", {"NUMBA_DISABLE_JIT": "1"}, "reference"),
        ("import types; sys.modules['numba'] = types.ModuleType('numba')", {}, "reference"),
    ],
    ids=["numba", "no numba", "numba switched off", "broken numba"],
)
def test_bytes_do_not_depend_on_numba(setup: str, variables: dict[str, str], kernel: str) -> None:
    classes = mixed_classes(500)
    levels = drawn_levels(classes)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup), levels.tobytes().hex(), classes.tobytes().hex()],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    rans_kernel, levels_kernel, data = result.stdout.split()
    assert rans_kernel.endswith(kernel)
    assert levels_kernel.endswith(kernel)
    assert bytes.fromhex(data) == encode_levels(levels, classes)


def test_a_kernel_that_does_not_compile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> ModuleType:
        if name.endswith("cpu"):
            raise NumbaError("no such type")
        return import_module(name)

    monkeypatch.setattr(backend, "import_module", refuse)
    chosen = kernels.__wrapped__("embdc_cli.entropy.rans")
    assert chosen.__name__ == "embdc_cli.entropy.rans.reference"


def test_compiled_kernels_are_in_use_here() -> None:
    assert kernels("embdc_cli.entropy.rans").__name__.endswith("cpu")
