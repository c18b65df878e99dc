"""What a vision tower gives goes through the model's own projector, where its weights are here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import embdc_cli as embdc
from tests.handoff import models
from tests.handoff.test_real_models import archived, logits

SIDE, LAYER, TOLERANCE = 5, -2, 1e-5
CASES = [
    ("llava", "image"), ("llava_onevision", "image"), ("llava_onevision", "video"), ("llava_next_video", "image"),
    ("llava_next_video", "video"),
]  # fmt: skip
KEY = "multi_modal_projector.linear_1.weight"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with the models of CASES, and these."""
    folder = tmp_path_factory.mktemp("projector")
    return folder, {name: models.build(name, folder / name) for name in dict.fromkeys(name for name, _ in CASES)}


def frames() -> torch.Tensor:
    return torch.randn(3, 3, 40, 40, generator=torch.Generator().manual_seed(4))


def tower_output(model: Any, pixels: torch.Tensor) -> np.ndarray:
    """(T, N, 32) at the layer that the projector takes, without special tokens."""
    with torch.inference_mode():
        states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
    return np.asarray(states[LAYER][:, -SIDE * SIDE :].numpy())


def arguments(name: str, modality: str, pixels: torch.Tensor) -> dict[str, Any]:
    """What the model's `forward` takes for the same pixels, each picture as a single view."""
    if modality == "video":
        return {"pixel_values_videos": pixels[None]}
    more = {} if name == "llava" else {"image_sizes": torch.tensor([[40, 40]] * len(pixels))}
    if name == "llava_onevision":
        more["batch_num_images"] = torch.tensor([len(pixels)])
    return {"pixel_values": pixels, **more}


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_logits_are_those_of_pixels(
    name: str, modality: str, built: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embdc_cli.handoff.projector._FRAMES", 2)  # of 3: the last part is shorter
    folder, found = built
    model, pixels = found[name], frames()
    archive = archived(tmp_path / "a.embdc", {"patch": tower_output(model, pixels)})
    handed = embdc.hand_over(archive, f"hf:{folder / name}", modality=modality, dtype="f32")
    tokens = handed["mm_encoder_outputs"][modality].pooler_output
    if (name, modality) == ("llava_next_video", "image"):  # of a picture its `forward` takes tiles as well
        with torch.inference_mode():
            projected = model.model.multi_modal_projector(torch.from_numpy(tower_output(model, pixels)))
        assert all(
            torch.allclose(one[:-1], expected, atol=TOLERANCE) for one, expected in zip(tokens, projected, strict=True)
        )
        return
    text = models.prompt({"image": models.IMAGE, "video": models.VIDEO}[modality], [len(one) for one in tokens])
    del text["mm_token_type_ids"]
    expected = logits(model, {**text, **arguments(name, modality, pixels)})
    assert torch.allclose(logits(model, {**text, **handed}), expected, rtol=0, atol=TOLERANCE)
    assert float(expected.std()) > 100 * TOLERANCE  # else anything would be as close


def test_the_type_is_that_of_the_weights_and_nothing_else_is_read(
    built: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Weights in bfloat16 and two files; that of the projector has nothing else, and the other cannot be read."""
    folder, found = built
    model = tmp_path / "model"
    shutil.copytree(folder / "llava", model, ignore=shutil.ignore_patterns("*.safetensors"))
    whole = {name: one.bfloat16() for name, one in load_file(folder / "llava" / "model.safetensors").items()}
    projector = {name: one for name, one in whole.items() if "multi_modal_projector" in name}
    assert len(projector) == 4
    save_file(projector, model / "b.safetensors")
    (model / "a.safetensors").write_bytes(b"no safetensors")
    places = {name: "b.safetensors" if name in projector else "a.safetensors" for name in whole}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    tower = tower_output(found["llava"], frames())
    archive = archived(tmp_path / "a.embdc", {"patch": tower})
    handed = embdc.hand_over(archive, f"vllm:{model}", modality="image", dtype="f32")["image"]
    own = found["llava"].model.multi_modal_projector
    with torch.inference_mode():
        state = {name.rpartition("projector.")[2]: one for name, one in projector.items()}
        expected = torch.func.functional_call(own, state, torch.from_numpy(tower).bfloat16()).float()
    assert torch.equal(handed, expected)


def test_without_weights_it_is_said_which(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, found = built
    model = tmp_path / "model"
    shutil.copytree(folder / "llava", model)
    archive = archived(tmp_path / "a.embdc", {"patch": tower_output(found["llava"], frames())})
    whole = load_file(model / "model.safetensors")
    key = next(name for name in whole if name.endswith(KEY))
    save_file({**whole, key: whole[key][:, 1:].contiguous()}, model / "model.safetensors")
    with pytest.raises(embdc.MissingModel, match=rf"{KEY}, expected \[24, 32\], found \[24, 31\]"):
        embdc.hand_over(archive, f"vllm:{model}", modality="image")
    del whole[key]
    save_file(whole, model / "model.safetensors")
    for _ in range(2):
        with pytest.raises(embdc.UsageError, match="expected 24 channels, found 32") as error:
            embdc.hand_over(archive, f"vllm:{model}", modality="image")
        assert f"expected the weight {KEY} in the safetensors of model, found none" in str(error.value.hint)
        (model / "model.safetensors").unlink(missing_ok=True)
    (model / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(embdc.MissingModel, match=r"model\.safetensors cannot be read"):
        embdc.hand_over(archive, f"vllm:{model}", modality="image")


def test_tokens_of_a_tower_are_pooled_where_the_model_does(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Before the projector an archive may hold them pooled, but what is pooled after it has to be whole."""
    folder, found = built
    model = found["llava_next_video"].model
    tower = torch.from_numpy(tower_output(found["llava_next_video"], frames()))
    with torch.inference_mode():
        pooled = model.vision_resampler(tower)
        expected = model.multi_modal_projector(pooled)
    archive = archived(tmp_path / "a.embdc", {"patch": pooled.numpy()})
    handed = embdc.hand_over(archive, f"llava:{folder / 'llava_next_video'}", dtype="f32")["video_features"]
    assert torch.allclose(handed[0], expected.flatten(0, 1), rtol=0, atol=TOLERANCE)
    archive = archived(tmp_path / "b.embdc", {"patch": tower.numpy()[:, :9]})
    with pytest.raises(embdc.UsageError, match="onevision, expected 25 to be pooled, found 9"):
        embdc.hand_over(archive, f"hf:{folder / 'llava_onevision'}")
    archive = archived(tmp_path / "c.embdc", {"patch": tower.numpy()[..., :24]})
    with pytest.raises(embdc.UsageError, match="video, expected 4 tokens a frame, found 25"):
        embdc.hand_over(archive, f"hf:{folder / 'llava_next_video'}")


LAYERS: list[tuple[str, Any, bool]] = [  # layer 1 of 2 (-2), recorded by another tower
    ("other", -2, True), ("other", 1, True), ("other", -3, True), ("other", -1, False), ("other", 2, False),
    ("other", None, False), ("llava", -2, True), ("llava", -3, False), ("llava", "x", False),
]  # fmt: skip


def test_the_layer_that_is_recorded_is_checked(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, found = built
    path = archived(tmp_path / "a.embdc", {"patch": tower_output(found["llava"], frames())})
    for name, layer, fits in LAYERS:
        with embdc.open(path) as archive:
            header = archive["patch"].item.header
            object.__setattr__(header, "encoder", {"name": name, "kind": "huggingface", "layer": layer})
            if fits:
                assert embdc.hand_over(archive, f"hf:{folder / 'llava'}", modality="image")
                continue
            with pytest.raises(embdc.UsageError, match="expected layer -2 of its vision tower, found"):
                embdc.hand_over(archive, f"hf:{folder / 'llava'}", modality="image")
