"""Vision towers: what comes out equals the model called directly on what transformers' own processor gives it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embdc_cli.embedder.huggingface import HuggingFaceEmbedder
from embdc_cli.embedder.open import open_embedder
from embdc_cli.embedder.protocol import FrameEmbedder, Request
from embdc_cli.errors import MissingModel, UsageError
from embdc_cli.options import EncodeOptions
from tests.embedder.encoder_folders import BUILDERS, FRAME_SIZE, Encoder, build, some_frames


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Encoder]:
    """Builds each tiny encoder once."""
    root = tmp_path_factory.mktemp("encoders")
    built: dict[str, Encoder] = {}

    def get(name: str) -> Encoder:
        if name not in built:
            built[name] = build(name, root / name)
        return built[name]

    return get


def opened(folder: Path, **options: Any) -> FrameEmbedder:
    return open_embedder(EncodeOptions(encoder=str(folder), device="cpu", **options)).for_size(*FRAME_SIZE)


def direct(name: str, vision: Any, frame: np.ndarray) -> Any:
    """The output of the module in memory on the pixels that transformers' processor gives for `frame`."""
    settings: dict[str, Any]
    if name == "siglip2":
        from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil as Patches

        inputs = dict(Patches(patch_size=8, max_num_patches=16)(frame, return_tensors="pt"))
        return vision(**inputs, output_hidden_states=True)
    if name.startswith("qwen"):
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as Grid

        settings = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 64, "longest_edge": 2048}}
        inputs = Grid(**settings)(frame, return_tensors="pt")
        return vision(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"], output_hidden_states=True)
    if name == "dinov3":
        scaled = torch.from_numpy(frame).permute(2, 0, 1)[None] * (1 / 255)
        resized = torch.nn.functional.interpolate(scaled, (32, 32), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return vision(pixel_values=(resized - mean) / std, output_hidden_states=True)
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as Plain

    settings = {"size": {"shortest_edge": 32}, "crop_size": 32}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_center_crop": False}
    if name in ("siglip", "vit", "internvl"):
        settings = {**half, "size": {"height": 32, "width": 32}, "resample": 3 if name == "internvl" else 2}
    if name == "dinov2":
        settings["size"] = {"shortest_edge": 37}
    pixels = Plain(**settings)(frame, return_tensors="pt")["pixel_values"]
    return vision(pixel_values=pixels, output_hidden_states=True)


def close(stored: np.ndarray, wanted: torch.Tensor) -> bool:
    """Equal up to rounding to float16, and to the order in which a batch of eight adds."""
    expected = wanted.to(torch.float32).numpy().astype(np.float64)
    return bool(np.abs(stored - expected).max() <= 2e-5 + np.abs(expected).max() * 2.0**-11)


SPECIAL = {"clip": 1, "vit": 1, "dinov2": 1, "dinov2_registers": 5, "dinov3": 5, "internvl": 1, "llava": 1}


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("layer", [None, -2, 1])
def test_patch_tokens_equal_the_model_called_directly(
    encoder: Callable[[str], Encoder], name: str, layer: int | None
) -> None:
    made = encoder(name)
    frames = some_frames(3)
    embedder = opened(made.folder, layer=layer)
    tokens = embedder.embed(frames)["patch"]
    assert tokens.dtype == np.float16
    assert tokens.shape[1:] == embedder.specs[0].row_shape
    with torch.inference_mode():
        out = direct(name, made.vision, frames[1])
        if name.startswith("qwen"):
            wanted = out.pooler_output if layer is None else raster(name, made.vision, out.hidden_states[layer])
        else:
            wanted = (out.last_hidden_state if layer is None else out.hidden_states[layer])[0, SPECIAL.get(name, 0) :]
        if name == "siglip2":
            wanted = wanted[: tokens.shape[1]]  # the processor pads to max_num_patches
    assert close(tokens[1], wanted)
    assert np.abs(tokens[0].astype(float) - tokens[1]).max() > 0.01  # frames are told apart


def raster(name: str, vision: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Qwen's patch tokens in raster order, found by sending numbered patches through the model's own reordering."""
    rows, columns = 8, 12  # 45 x 60 becomes 32 x 48 pixels of 4 x 4 patches: see the test below
    numbers = torch.arange(rows * columns, dtype=torch.float32)
    blocks = numbers.reshape(rows // 2, 2, columns // 2, 2).transpose(1, 2).reshape(-1, 4)
    if name == "qwen2_5_vl":
        from transformers.vision_utils import get_vision_window_index

        grid = torch.tensor([[1, rows, columns]])
        order, _ = get_vision_window_index(grid, spatial_merge_size=2, window_size=16, patch_size=4, kwargs={})
        blocks = blocks[order]
    return hidden[torch.argsort(blocks.reshape(-1))]


@pytest.mark.parametrize(
    ("name", "streams"),
    [
        ("clip", ["patch", "cls", "pooled"]),
        ("siglip", ["patch", "pooled"]),
        ("siglip2", ["patch", "pooled"]),
        ("vit", ["patch", "cls"]),  # saved without a pooler
        ("dinov2", ["patch", "cls", "pooled"]),
        ("dinov2_registers", ["patch", "cls", "reg", "pooled"]),
        ("dinov3", ["patch", "cls", "reg", "pooled"]),
        ("internvl", ["patch", "cls"]),
        ("llava", ["patch", "cls", "pooled"]),
        ("qwen2_5_vl", ["patch"]),
        ("qwen3_vl", ["patch"]),
    ],
)
def test_streams_are_what_the_tower_has(encoder: Callable[[str], Encoder], name: str, streams: list[str]) -> None:
    made = encoder(name)
    frame = some_frames(1, seed=4)[0]
    embedder = opened(made.folder, streams=tuple(streams))
    arrays = embedder.embed([frame])
    assert list(arrays) == streams == [spec.name for spec in embedder.specs]
    for spec in embedder.specs:
        assert arrays[spec.name].shape == (1, *spec.row_shape)
        assert spec.axes == ("t,n,c" if len(spec.row_shape) == 2 else "t,c")
    with torch.inference_mode():
        out = direct(name, made.vision, frame)
    if "cls" in streams:
        assert close(arrays["cls"][0], out.last_hidden_state[0, 0])
    if "reg" in streams:
        assert close(arrays["reg"][0], out.last_hidden_state[0, 1:5])
    if "pooled" in streams:
        assert close(arrays["pooled"][0], out.pooler_output[0])
    absent = next(stream for stream in ("reg", "cls", "pooled", "text") if stream not in streams)
    with pytest.raises(UsageError, match=f"--streams: {made.folder} has {', '.join(streams)}, found {absent}"):
        opened(made.folder, streams=("patch", absent))


def test_layers_out_of_range_are_refused_with_the_range(encoder: Callable[[str], Encoder]) -> None:
    for layer in (4, -5):
        with pytest.raises(UsageError, match=f"--layer: expected -4 to 3, found {layer}"):
            opened(encoder("clip").folder, layer=layer)


def test_neither_batch_nor_place_in_it_matters(encoder: Callable[[str], Encoder]) -> None:
    frames = some_frames(11)
    embedder = opened(encoder("clip").folder, batch_size=4)
    assert embedder.batch_size == 4
    together = embedder.embed(frames)["patch"]
    one_by_one = np.concatenate([embedder.embed([frame])["patch"] for frame in frames])
    backwards = embedder.embed(frames[::-1])["patch"][::-1]
    assert np.array_equal(together, one_by_one)
    assert np.array_equal(together, backwards)


def test_the_provenance_names_everything_but_the_folder(encoder: Callable[[str], Encoder]) -> None:
    folder = encoder("clip").folder
    facts = opened(folder, layer=-2, streams=("cls", "patch")).provenance()
    assert str(folder) not in json.dumps(facts)
    assert folder.parent.name not in json.dumps(facts)
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    known = {
        "name": "clip_vision_model", "architecture": "CLIPVisionModel", "weights_sha256": weights, "layer": -2,
        "device": "cpu", "dtype": {"compute": "float32", "storage": "float16"}, "grid": [4, 4],
        "size": [32, 32], "revision": None,
    }  # fmt: skip
    assert {key: facts[key] for key in known} == known
    assert set(facts["libraries"]) == {"torch", "transformers"}
    assert facts["preprocess"]["resize"] == {"rule": "shortest_edge", "edge": 32}


def test_pixels_of_another_size_than_trained_for_interpolate_positions(
    encoder: Callable[[str], Encoder], tmp_path: Path
) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    made = encoder("clip")
    folder = tmp_path / "larger"
    shutil.copytree(made.folder, folder)
    settings: dict[str, Any] = {"size": {"shortest_edge": 40}, "crop_size": 40}
    config = {"image_processor_type": "CLIPImageProcessor", **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    embedder = opened(folder)
    frame = some_frames(1)[0]
    pixels = CLIPImageProcessorPil(**settings)(frame, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        wanted = made.vision(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[0, 1:]
    assert embedder.provenance()["grid"] == [5, 5]
    assert close(embedder.embed([frame])["patch"][0], wanted)


def test_sharded_weights_are_hashed_as_one(encoder: Callable[[str], Encoder], tmp_path: Path) -> None:
    from transformers import AutoModel

    source = encoder("dinov2").folder
    AutoModel.from_pretrained(source).save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(source / "preprocessor_config.json", tmp_path)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    embedder = opened(tmp_path)
    digest = hashlib.sha256(b"".join(shard.read_bytes() for shard in shards)).hexdigest()
    assert embedder.provenance()["weights_sha256"] == digest
    frames = some_frames(1)
    assert np.array_equal(embedder.embed(frames)["patch"], opened(source).embed(frames)["patch"])


def test_settings_nested_in_processor_config_come_first(encoder: Callable[[str], Encoder], tmp_path: Path) -> None:
    folder = tmp_path / "nested"
    shutil.copytree(encoder("siglip").folder, folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": {**settings, "resample": 3}}))
    assert opened(folder).provenance()["preprocess"]["filter"] == "bicubic"


def drop_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layers.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def pickle_weights(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def language_model(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**TINY_TEXT)).save_pretrained(folder)


TINY_TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "expected config.json"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "expected preprocessor_config.json"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("[]"), "expected a JSON object, found list"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "expected model.safetensors, found none"),
        (pickle_weights, "expected model.safetensors, found pytorch_model.bin"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 50), "cannot be loaded"),
        (drop_weights, "weights of its vision tower are not in the checkpoint"),
        (language_model, "no vision tower for model type 'bert'"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "unheard_of"}'), "cannot be loaded"),
    ],
)
def test_a_folder_that_cannot_be_used_is_a_missing_model(
    encoder: Callable[[str], Encoder], tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    folder = tmp_path / "spoiled"
    shutil.copytree(encoder("clip").folder, folder)
    spoil(folder)
    with pytest.raises(MissingModel, match=words) as refusal:
        opened(folder)
    assert "\n" not in refusal.value.message


def test_code_in_the_folder_is_never_run(encoder: Callable[[str], Encoder], tmp_path: Path) -> None:
    folder = tmp_path / "code"
    shutil.copytree(encoder("clip").folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(MissingModel):
        opened(folder)
    assert not (tmp_path / "ran").exists()


def test_nothing_is_written_to_stderr_while_loading(
    encoder: Callable[[str], Encoder], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = encoder("vit").folder
    capfd.readouterr()
    HuggingFaceEmbedder.open(str(folder), Request(device="cpu"))
    assert capfd.readouterr() == ("", "")


def test_a_real_vit_equals_the_model_called_directly(shared_data: Path) -> None:
    from transformers import ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    folder = shared_data / "models" / "vit-tiny-patch16-224"
    processor = ViTImageProcessorPil(**json.loads((folder / "preprocessor_config.json").read_text()))
    frames = some_frames(2, seed=9)
    embedder = opened(folder, layer=-2, streams=("patch", "cls"))
    arrays = embedder.embed(frames)
    assert arrays["patch"].shape == (2, 196, 192)
    pixels = processor(frames, return_tensors="pt")["pixel_values"]
    sized: Any = embedder
    ours = torch.stack([sized.pixels(frame) for frame in frames])
    assert torch.equal(ours, pixels)
    model = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.inference_mode():
        hidden = model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    # float16 of values up to 500 in one channel: half a unit in the last place is 0.25
    assert np.abs(arrays["patch"] - hidden[:, 1:].numpy()).max() <= 0.25
    others = [channel for channel in range(192) if channel != 41]
    assert np.abs(arrays["patch"] - hidden[:, 1:].numpy())[:, :, others].max() < 0.02
    assert np.abs(arrays["cls"] - hidden[:, 0].numpy())[:, others].max() < 0.02
