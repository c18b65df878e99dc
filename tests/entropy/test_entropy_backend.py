"""Without a working numba the numpy kernels take over and give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest
from numba.core.errors import NumbaError

from embdc_cli.entropy import backend
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.levels import encode_levels
from tests.entropy.entropy_cases import drawn_levels, mixed_classes

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
    ("setup", "variables", "kernel", "reason"),
    [
        ("", {}, "cpu", ""),
        ("sys.modules['numba'] = None", {}, "reference", "No module named 'numba"),
        ("", {"NUMBA_DISABLE_JIT": "1"}, "reference", "NUMBA_DISABLE_JIT"),
        ("import types; sys.modules['numba'] = types.ModuleType('numba')", {}, "reference", "numba"),
        ("", {"NUMBA_CACHE_LOCATOR_CLASSES": "Nowhere"}, "reference", "cache locator"),
    ],
    ids=["numba", "no numba", "numba switched off", "broken numba", "no cache"],
)
def test_bytes_do_not_depend_on_numba(setup: str, variables: dict[str, str], kernel: str, reason: str) -> None:
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
    assert result.stderr.count("RuntimeWarning: compiled kernels are not used") == (kernel == "reference")
    assert reason in result.stderr


def refuse_compiled(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(name: str) -> ModuleType:
        if name.endswith("cpu"):
            raise error
        return import_module(name)

    monkeypatch.setattr(backend, "import_module", refuse)


def test_a_kernel_that_does_not_compile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_compiled(monkeypatch, NumbaError("no such type"))
    with pytest.warns(RuntimeWarning, match="many times slower: no such type"):
        chosen = kernels.__wrapped__("embdc_cli.entropy.rans")
    assert chosen.__name__ == "embdc_cli.entropy.rans.reference"


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("module 'numba' has no attribute 'jti'"),
        RuntimeError("wrong"),
        OSError("wrong"),
        ImportError("cannot import name 'Tabels'", name="embdc_cli.entropy.tables"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_in_a_kernel_is_an_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    refuse_compiled(monkeypatch, error)
    with pytest.raises(type(error)) as caught:
        kernels.__wrapped__("embdc_cli.entropy.rans")
    assert caught.value is error


def test_compiled_kernels_are_in_use_here() -> None:
    assert kernels("embdc_cli.entropy.rans").__name__.endswith("cpu")
