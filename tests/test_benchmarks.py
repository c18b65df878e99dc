"""The coders that embdc is measured against are whole, and the README shows what was measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import curves
import equal_error
import faults
import loaders
import numpy as np
import peers
import pytest
import rate_distortion
from peers.coder import Coder, normalised
from peers.tiles import channels, tiled, untiled

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BENCH = ROOT / "tests/bench"


def source(seed: int) -> np.ndarray:
    """(8, 64, 24) float16: smooth in time, a few strong directions, the same for every seed, and means."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((24, 24)) / np.arange(1, 25)[:, None]
    x = rng.standard_normal((8, 64, 24)).cumsum(axis=0) @ mixing + np.arange(24)
    return x.astype(np.float16)


CODERS = [channels(), *peers.self_contained(), *peers.trained([source(1), source(2)], scaled=True)]


@pytest.mark.parametrize("coder", CODERS, ids=lambda coder: coder.name)
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
def test_finer_setting_means_less_error(coder: Coder) -> None:
    if coder.package:
        pytest.importorskip(coder.package)
    x = source(3)
    coarse, fine = (normalised(coder, scaled=True).coded(x, coder.settings[number]) for number in (0, -1))
    errors = [curves.error("channel_nmse", x, coded.decoded) for coded in (coarse, fine)]
    if len(coder.settings) == 1:
        assert errors == [0, 0]
        return
    assert errors[1] < 0.8 * errors[0]
    assert errors[1] < 0.5
    assert 0 < coarse.bits < fine.bits


@pytest.mark.parametrize("tokens", [49, 30, 7])
def test_tiles_come_back(tokens: int) -> None:
    planes = np.random.default_rng(0).integers(256, size=(3, tokens, 5), dtype=np.uint8)
    frames = tiled(planes)
    assert all(side % 8 == 0 and side >= 64 for side in frames.shape[1:])
    assert np.array_equal(untiled(frames, tokens, 5), planes)


def test_absent_package_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    there, absent = (Coder(name, (), None, None, package) for name, package in (("a", "csv"), ("b c", "no_such_one")))
    assert peers.present([there, absent]) == [there]
    assert "left out: b c: No module named 'no_such_one'" in capsys.readouterr().err


def test_ratios_are_taken_where_both_reach_the_error() -> None:
    names = ("coder", "dump", "bits_at_0.1", "bits_at_0.01")
    cells = [
        ("embdc-1", "x", "1", "2"),
        ("embdc-1", "y", "1", "1"),
        ("other", "x", "2", ""),
        ("other", "y", "2", "0.5"),
    ]
    found = equal_error.curves_of(dict(zip(names, row, strict=True)) for row in cells)
    over = equal_error.ratio(found["other"], found["embdc-1"])
    assert over is not None
    assert over.mean == pytest.approx(2**0.5)  # of 2 on x, and of 2 and 1/2 on y
    assert (over.points, over.fewer) == (3, 1)
    assert equal_error.winners(found, list(found)) == "embdc-1 3, other 1"


def test_readme_has_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rate_distortion.py", "--table"])
    rate_distortion.main()
    shown = README.partition("<!-- rate_distortion.py --table -->\n")[2].partition("<!-- end of table -->")[0]
    assert shown == capsys.readouterr().out


def test_readme_has_the_table_of_damage() -> None:
    shown = README.partition("<!-- faults.py --table -->\n")[2].partition("\n<!-- end of faults -->")[0]
    assert shown == faults.table()


def test_readme_has_the_table_of_loaders() -> None:
    shown = README.partition("<!-- loaders.py --table -->\n")[2].partition("\n<!-- end of loaders -->")[0]
    assert shown == loaders.table()
    assert "nan" not in shown


def test_figure_is_that_of_the_rows() -> None:
    drawn = rate_distortion.figure(rate_distortion.rows_of(BENCH / "rate_distortion.csv"))
    assert (BENCH / "rate_distortion.svg").read_text("utf-8") == drawn


def test_verdicts_on_damage(tmp_path: Path) -> None:
    """A reader that notices, one that does not, and one that ends the process."""
    x = faults.source()
    path = str(tmp_path / "x")

    def read(name: str) -> np.ndarray:
        data = Path(name).read_bytes()
        if data[0] & 1:
            raise ValueError("noticed")
        if data[0] & 2:
            os._exit(9)
        return np.frombuffer(data[1:], np.float16)

    form = faults.Format("test", "numpy", lambda _, name: name, read)
    good = bytes(1) + x.tobytes()
    counts = faults.verdicts(form, path, good, [0, 1, 2, 8, 9], x.reshape(-1))
    assert counts == {"d": 1, "c": 1, "h": 1, "s": 2}
    Path(path).write_bytes(good)
    assert faults.share_back(form, path, x.reshape(-1)) == 1
    chunked = faults.Format(
        "test", "numpy", form.write, read, lambda _: iter([(slice(0, 16), x[:16]), (slice(16, 32), x[:16])])
    )
    assert faults.share_back(chunked, path, x) == 0.25


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_every_part_of_the_gpu_bench_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "gpu.py"), "--device", "cpu", "--small", "--show"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = [line.split("  ")[0] for line in done.stdout.splitlines()]
    for figure in (
        "copy",
        "pcie",
        "disk",
        "rans decode",
        "rans encode",
        "decode 0",
        "encode 1",
        "pack 0",
        "pack 1",
        "first chunk 1",
        "encoder",
    ):
        assert f"figure={figure}" in found
