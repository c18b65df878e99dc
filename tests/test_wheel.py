"""The wheel of this tree, installed by itself: it reads what earlier commits wrote, and says why not what is newer.

There is no earlier release to test against: what earlier commits wrote is kept in `golden/`, and archives as a later
version may write them are among the vectors in `conformance/`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "tests" / "conformance" / "vectors"
GOLDEN = sorted((ROOT / "tests" / "golden").glob("*.embdc"))
NEWER = {
    "version-2": "format version 2.0, this embdc reads versions 0 and 1",
    "reader-newer": "needs reader level 1, this embdc has 0",
    "feature-unknown": "needs feature 'x'",
    "critical-chunk": "XTRA",
    "limits-too-large": "max_chunk_values, expected at most 1073741824, found 1099511627776",
    "dtype-unknown": "dtype 'float8' is unknown",
    "kind-unknown": "chunk kind 99 is unknown",
    "method-unknown": "lossless method 9 is unknown",
    "stage-unknown": "id 127 version 1 is unknown",
    "stage-version-newer": "version 2, expected at most 1",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as the wheel has it, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed program, from a folder without this tree."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "embdc_cli", *arguments]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)


def test_it_is_the_installed_package(installed: Path) -> None:
    code = "import embdc_cli; print(embdc_cli.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=installed, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(installed)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_it_reads_what_earlier_commits_wrote(path: Path, installed: Path, tmp_path: Path) -> None:
    codebooks = [part for one in GOLDEN[0].parent.glob("*.embdcb") for part in ("--codebook", str(one))]
    done = run(installed, "decode", str(path), "-o", str(tmp_path / "x.npz"), "--format", "npz", *codebooks)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NEWER)
def test_it_says_why_it_does_not_read_what_is_newer(name: str, installed: Path, tmp_path: Path) -> None:
    done = run(installed, "decode", str(VECTORS / f"{name}.embdc"), "-o", str(tmp_path / "x.npy"))
    assert done.returncode == 6, done.stderr
    assert NEWER[name] in done.stderr
    assert "hint: " in done.stderr
