"""Every recipe of the user guide runs, as it stands there, in one shell from the first to the last."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests import man_pages, preloaded
from tests.embedder import encoder_folders
from tests.handoff import models

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
GUIDE = (man_pages.MAN / "embdc.7").read_text("utf-8")
RECIPES = [found.replace("\\e\n", "\\\n") for found in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", GUIDE, re.M | re.S)]


def prepare(folder: Path) -> None:
    """What the recipes take as given."""
    (folder / "videos").mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(SAMPLES / "shapes.mp4", folder / "videos" / f"{name}.mp4")
    shutil.copy(SAMPLES / "tokens.npy", folder / "features.npy")
    rng = np.random.default_rng(5)
    save_file(
        {"layer.weight": rng.normal(size=(384, 128)).astype(np.float32), "layer.bias": np.zeros(384, np.float32)},
        folder / "model.safetensors",
    )
    np.savez(folder / "cache.npz", **{name: rng.normal(size=(64, 4, 32)).astype(np.float16) for name in "kv"})
    encoder_folders.build("clip", folder / "tower")
    models.build("qwen2_5_vl", folder / "assistant")
    (folder / "assistant" / "preprocessor_config.json").write_text(json.dumps(encoder_folders.QWEN))
    (folder / "bin").mkdir()


def test_recipes_run(tmp_path: Path) -> None:
    prepare(tmp_path)
    job = [recipe for recipe in RECIPES if recipe.startswith("#!")]
    assert len(job) == 1
    (tmp_path / "array.sh").write_text(job[0])
    lines = ["set -eu", *(recipe if recipe != job[0] else "export ENCODER\nsh array.sh" for recipe in RECIPES)]
    environment = {
        **os.environ,
        "ENCODER": str(tmp_path / "tower"),
        "MODEL": str(tmp_path / "assistant"),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    with preloaded.programs(tmp_path / "bin", embdc=["-m", "embdc_cli"], python=[]):
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr + done.stdout
    for name in (
        "plan.html",
        "quality.html",
        "clip.embdcb",
        "archives/c.embdc",
        "index/a.npy",
        "rescued.npy",
        "k.npy",
        "seen.safetensors",
    ):
        assert (tmp_path / name).stat().st_size > 0, name
    rescued, whole = np.load(tmp_path / "rescued.npy"), np.load(tmp_path / "features.npy")
    assert 0 < len(rescued) < len(whole)
    assert np.load(tmp_path / "k.npy").shape == (32, 4, 32)
