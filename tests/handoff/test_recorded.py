"""`--for vllm` without a model: that of the archive's encoder, where one is recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants

import embdc_cli as embdc
from tests.embedder import encoder_folders

THEN, NOW = "0" * 39 + "a", "0" * 39 + "b"
SAMPLE = Path(__file__).parent.parent.parent / "samples" / "shapes.mp4"


def put(cache: Path, name: str, kind: str) -> Path:
    """The encoder `kind` where the hub's client keeps commit THEN of `name`, its newest."""
    repository = cache / ("models--" + name.replace("/", "--"))
    snapshot = repository / "snapshots" / THEN
    encoder_folders.build(kind, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(THEN)
    return snapshot


def widen(model: Path, channels: int) -> None:
    """Let the language model take `channels`, as its config says it."""
    config = json.loads((model / "config.json").read_text())
    config["text_config"]["hidden_size"] = channels
    (model / "config.json").write_text(json.dumps(config))


def encoded(folder: Path, name: str, encoder: str, layer: int | None = None) -> None:
    embdc.encode(SAMPLE, folder / name, encoder=encoder, layer=layer, fps="1", lossless=True, record_name=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of encoders on the hub and in a folder, and `hub`, a cache of the hub that has the former."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        widen(put(folder / "hub", "some/vlm", "qwen2_5_vl"), 24)  # what its tower gives; the test model takes 32
        put(folder / "hub", "some/tower", "siglip")
        encoded(folder, "vlm.embdc", "some/vlm")
        encoded(folder, "tower.embdc", "some/tower")
        put(folder / "hub", "some/llava", "llava")
        for layer in (-1, -2):
            encoded(folder, f"layer{layer}.embdc", "some/llava", layer)
    encoder_folders.build("qwen2_5_vl", folder / "local")
    encoded(folder, "local.embdc", str(folder / "local"))
    embdc.encode(np.ones((2, 2, 3, 24), np.float32), folder / "dump.embdc", lossless=True)
    both = (folder / "vlm.embdc").read_bytes() + (folder / "tower.embdc").read_bytes()
    (folder / "both.embdc").write_bytes(both)
    return folder


@pytest.fixture
def offline(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the hub's cache, and no way to the hub."""
    shutil.copytree(place / "hub", tmp_path / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_the_recorded_model_is_taken_as_it_was(place: Path, offline: Path) -> None:
    repository = offline / "models--some--vlm"
    shutil.copytree(repository / "snapshots" / THEN, repository / "snapshots" / NOW)
    widen(repository / "snapshots" / NOW, 32)
    (repository / "refs" / "main").write_text(NOW)
    named = f"vllm:{repository / 'snapshots' / THEN}"
    expected = embdc.hand_over(place / "vlm.embdc", named)["video"]
    found = embdc.hand_over(place / "vlm.embdc", "vllm")["video"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    with pytest.raises(embdc.UsageError, match="expected 32 channels, found 24"):  # the newest is another
        embdc.hand_over(place / "vlm.embdc", "vllm:some/vlm")
    document = embdc.decode(place / "vlm.embdc", offline / "o.safetensors", consumer="sglang")
    assert (document["consumer"], document["model"]) == ("sglang", "some/vlm")
    assert embdc.hand_over(place / "vlm.embdc", "hf")["mm_encoder_outputs"]


def test_the_recorded_tower_goes_through_its_own_projector(place: Path, offline: Path) -> None:
    """Its tokens have as many channels as those of the language model, yet are none."""
    from transformers import LlavaForConditionalGeneration

    handed = embdc.hand_over(place / "layer-2.embdc", "vllm", modality="image", dtype="f32")["image"]
    model = LlavaForConditionalGeneration.from_pretrained(offline / "models--some--llava" / "snapshots" / THEN)
    with embdc.open(place / "layer-2.embdc") as archive, torch.inference_mode():
        tower = archive["patch"][:].float()
        assert torch.allclose(handed, model.model.multi_modal_projector(tower), rtol=0, atol=1e-6)
    assert tower.shape == handed.shape
    with pytest.raises(embdc.UsageError, match="expected layer -2 of its vision tower, found layer -1"):
        embdc.hand_over(place / "layer-1.embdc", "vllm", modality="image")


@pytest.mark.parametrize(("name", "consumer", "words"), [
    ("dump", "vllm", "--for vllm: expected the encoder that the archive records, found none"),
    ("local", "sglang", "found qwen2_5_vl[a-z_]*, which was no model of the hub"),
    ("tower", "hf", "no language model that is known, model some/tower: .* found 'siglip'"),
    ("both", "vllm", "expected one encoder in all items, found some/tower at 0+a, some/vlm at 0+a"),
    ("vlm", "llava", "--for llava: model some/vlm, expected one of llava_qwen, .*, found qwen2_5_vl"),
    ("vlm", "vllm:", "--for: expected one of vllm.:MODEL., .*, found 'vllm:'"),
])  # fmt: skip
def test_what_is_not_recorded_is_said(name: str, consumer: str, words: str, place: Path, offline: Path) -> None:
    with pytest.raises(embdc.UsageError, match=words) as error:
        embdc.hand_over(place / f"{name}.embdc", consumer)
    assert "\n" not in error.value.message
    if consumer in ("vllm", "sglang", "hf"):
        assert f"--for {consumer}:MODEL" in str(error.value.hint)


def test_a_recorded_model_that_is_not_here(place: Path, offline: Path) -> None:
    shutil.rmtree(offline / "models--some--vlm")
    with pytest.raises(embdc.MissingModel, match="model some/vlm: no such folder, not in the hub's cache"):
        embdc.hand_over(place / "vlm.embdc", "vllm")
