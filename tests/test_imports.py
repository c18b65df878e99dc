"""Imports point one way, and starting the program loads nothing heavy."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "embdc_cli"

PLAIN = {
    "device",
    "dtypes",
    "dump_formats",
    "errors",
    "metrics",
    "options",
    "parallel",
    "printed",
    "recent",
    "remote",
    "reporter",
    "scratch",
    "tokens",
    "traffic",
    "unfinished",
    "values",
}
"""Plain values and means that any part may use; they import only each other."""

ALLOWED = {
    "container": PLAIN | {"container"},
    "entropy": {"errors", "entropy"},
    "codec": PLAIN | {"codec", "entropy"},
    "distribution": PLAIN | {"distribution", "comparison", "codec", "archive", "output", "source"},
    "comparison": PLAIN | {"comparison", "archive", "inputs", "source"},
    "codebook": PLAIN
    | {"codebook", "codec", "comparison", "entropy", "output", "inputs", "archive", "stream_view", "source"},
    "encoding": PLAIN | {"encoding", "codebook", "codec", "container", "output", "source"},
    "forecast": PLAIN | {"forecast", "comparison", "encoding", "codec", "container", "inputs", "output", "source"},
    "listing": PLAIN | {"listing", "container", "encoding", "failure", "item_streams", "worklist"},
    "source": PLAIN | {"source"},
    "handoff": PLAIN
    | {"handoff", "archive", "container", "decoding", "embedder", "item_streams", "output", "sink", "slicing"}
    | {"stream_view"},
    "distributed": PLAIN | {"__version__", "distributed", "batch", "codebook", "failure", "pipeline", "source"},
    "data": PLAIN | {"data", "archive", "output", "slicing", "stream_view"},
    "sink": PLAIN | {"sink", "output"},
    "embedder": PLAIN | {"embedder", "source"},
    "output.py": PLAIN,
    "failure.py": PLAIN,
    "item_streams.py": PLAIN | {"container"},
    "worklist.py": PLAIN,
    "batch.py": PLAIN | {"failure"},
    "remote": {"errors", "remote", "scratch", "traffic"},
    **{f"{name}.py": PLAIN for name in PLAIN - {"remote"}},
}
"""What each folder and module may import; cli and the modules that join the parts may import anything below them."""


def imported(path: Path) -> set[str]:
    """First-level names under embdc_cli that a module imports, lazily or not, for checking types or not."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module] if node.module != "embdc_cli" else [f"embdc_cli.{one.name}" for one in node.names]
        elif isinstance(node, ast.Import):
            modules = [one.name for one in node.names]
        names |= {module.split(".")[1] for module in modules if module.startswith("embdc_cli.")}
    return names


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_part_imports_only_what_lies_below_it(part: str) -> None:
    paths = [PACKAGE / part] if part.endswith(".py") else list((PACKAGE / part).rglob("*.py"))
    assert paths
    wrong = {f"{path.relative_to(PACKAGE)} imports {name}" for path in paths for name in imported(path) - ALLOWED[part]}
    assert not wrong


def test_nothing_imports_the_command_line() -> None:
    above = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("cli", "__main__.py")]
    assert not {str(path) for path in above if "cli" in imported(path)}


@functools.cache
def libraries(path: Path) -> frozenset[str]:
    """What a module imports, whole or in part, lazily or not, or by name through importlib."""
    names: list[object] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [one.name for one in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names += [one.value for one in node.args if isinstance(one, ast.Constant)]
    return frozenset(str(name).partition(".")[0] for name in names)


def importers(library: str) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if library in libraries(path)}


def test_only_hardware_backends_import_pynvvideocodec() -> None:
    assert importers("PyNvVideoCodec") <= {"source/nvdec.py", "codec/video/nvidia.py"}


def test_only_compiled_kernels_and_their_chooser_import_numba() -> None:
    compiled = (
        "codec/halves",
        "codec/transform/mixture/code_classes",
        "codec/transform/mixture/search",
        "codec/transform/mixture/walk",
        "codec/transform/points",
        "codec/transform/rdoq",
        "codec/transform/reflections",
        "codec/transform/sticky",
        "codec/transform/time_context",
        "codec/transform/trellis",
        "codec/vq/scores",
        "codec/vq/search",
        "entropy/dependent",
        "entropy/levels",
        "entropy/rans",
    )
    parts = {"entropy/backend.py", "codec/transform/time_context/cpu_contexts.py", "codec/vq/search/cpu_loops.py"}
    assert importers("numba") == parts | {f"{package}/cpu.py" for package in compiled}


def test_only_the_pool_of_workers_imports_ray() -> None:
    assert importers("ray") == {"distributed/cluster.py"}


def test_only_kernels_for_cuda_import_triton() -> None:
    contexts = {f"cuda_{part}.py" for part in ("contexts", "decode", "encode", "fields", "tables")}
    levels = {f"entropy/levels/cuda_{part}.py" for part in ("encode", "kernels")}
    entropy = {"entropy/dependent/cuda.py", *levels, "entropy/rans/cuda.py"}
    assert importers("triton") == {
        "codec/device/cuda.py",
        "codec/device/cuda_codes.py",
        *(f"codec/transform/time_context/{name}" for name in contexts),
        *entropy,
    }


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import embdc_cli", ("torch", "numpy", "av", "h5py", "numba")),
        ("from embdc_cli.cli.app import main; main(['--help'])", ("torch", "numpy", "av", "h5py", "numba")),
        ("from embdc_cli.cli.app import main; main(['--version'])", ("torch", "numpy", "av", "h5py", "typer")),
        ("from embdc_cli.cli.app import main; main(['encode', '--help'])", ("torch", "av", "h5py", "numba")),
        ("import embdc_cli.container.reader, embdc_cli.container.writer", ("torch", "numba", "h5py", "av")),
        ("import embdc_cli.entropy.cuda, embdc_cli.entropy.dependent", ("torch", "triton", "numba")),
        ("import embdc_cli.pipeline", ("torch", "numba", "av", "transformers")),
    ],
)
def test_what_stays_out(code: str, absent: tuple[str, ...]) -> None:
    script = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [m for m in {absent!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
