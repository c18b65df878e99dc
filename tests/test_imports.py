"""Imports point one way, and starting the program loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "embdc_cli"

PLAIN = {"errors", "dtypes", "values", "options", "reporter", "scratch", "dump_formats", "parallel", "metrics"}
"""Plain values and means that any part may use."""

ALLOWED = {
    "container": PLAIN | {"container"},
    "entropy": {"errors", "entropy"},
    "codec": PLAIN | {"codec", "entropy"},
    "codebook": PLAIN | {"codebook", "codec", "entropy", "output", "inputs", "archive", "source"},
    "source": PLAIN | {"source"},
    "sink": PLAIN | {"sink", "output"},
    "embedder": PLAIN | {"embedder", "source"},
}
"""What each folder may import; cli and the modules that join the parts may import anything below them."""


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


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_folder_imports_only_what_lies_below_it(folder: str) -> None:
    wrong = {
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in (PACKAGE / folder).rglob("*.py")
        for name in imported(path) - ALLOWED[folder]
    }
    assert not wrong


def test_nothing_imports_the_command_line() -> None:
    above = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("cli", "__main__.py")]
    assert not {str(path) for path in above if "cli" in imported(path)}


def test_only_nvdec_imports_pynvvideocodec() -> None:
    users = {path.name for path in PACKAGE.rglob("*.py") if "import PyNvVideoCodec" in path.read_text("utf-8")}
    assert users <= {"nvdec.py"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import embdc_cli", ("torch", "numpy", "av", "h5py", "numba")),
        ("from embdc_cli.cli.app import main; main(['--help'])", ("torch", "numpy", "av", "h5py", "numba")),
        ("from embdc_cli.cli.app import main; main(['--version'])", ("torch", "numpy", "av", "h5py", "typer")),
        ("from embdc_cli.cli.app import main; main(['encode', '--help'])", ("torch", "av", "h5py", "numba")),
        ("import embdc_cli.container.reader, embdc_cli.container.writer", ("torch", "numba", "h5py", "av")),
        ("import embdc_cli.pipeline", ("torch", "numba", "av", "transformers")),
    ],
)
def test_what_stays_out(code: str, absent: tuple[str, ...]) -> None:
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('LOADED', [m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
