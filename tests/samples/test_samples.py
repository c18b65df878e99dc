"""The committed samples are what their script makes, small, and as their README says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import open_video

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", SAMPLES / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_video_shows_what_the_script_draws(render: ModuleType) -> None:
    video = open_video(SAMPLES / "shapes.mp4", EncodeOptions())
    frames = list(video)
    video.close()
    assert len(frames) == 72
    assert [frame.start for frame in frames] == [512 * n for n in range(72)]
    assert video.timebase == 1 / (24 * render.Fraction(512))
    assert video.source["colour"]["assumed"] == []
    for number in (0, 17, 40, 71):
        error = np.mean((frames[number].pixels.astype(float) - render.draw(number)) ** 2)
        assert 10 * np.log10(255**2 / error) > 33


def test_the_dump_is_what_the_script_draws(render: ModuleType) -> None:
    tokens = np.load(SAMPLES / "tokens.npy")
    assert tokens.dtype == np.float16
    assert tokens.shape == (72, 16, 96)
    # a matrix product may differ in its last bit, and with it the rounding to float16
    assert np.allclose(tokens.astype(float), render.draw_tokens().astype(float), rtol=2e-3, atol=1e-3)


def test_rendering_twice_gives_the_same_bytes(render: ModuleType, tmp_path: Path) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    render.render_video(first)
    render.render_video(second)
    assert first.read_bytes() == second.read_bytes()


def test_samples_are_small_and_no_package() -> None:
    assert (SAMPLES / "shapes.mp4").stat().st_size < 200_000
    assert (SAMPLES / "tokens.npy").stat().st_size < 300_000
    # PyNvVideoCodec installs a top-level package of the same name
    assert not list(SAMPLES.rglob("__init__.py"))


def test_the_readme_names_every_file() -> None:
    words = (SAMPLES / "README.md").read_text()
    for name in ("shapes.mp4", "tokens.npy", "render.py", "slurm/encode.sbatch", "kubernetes/encode.yaml"):
        assert name in words
