"""Names, shapes and types that the stacks document, for archives of all layouts; their tables are in the modules.

vLLM and SGLang are not installed here: the schema below is what their pages and sources say (see the docstrings of
embdc_cli/handoff/consumers).
"""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.handoff import handover
from embdc_cli.handoff.model import read_model

ROWS, SECONDS = 6, 0.25


def save_config(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with nothing but a config, as real ones have it; 16 channels, at most 4096 tokens."""
    folder = tmp_path_factory.mktemp("models")
    text = {"hidden_size": 16, "max_position_embeddings": 4096, "num_attention_heads": 2, "num_key_value_heads": 2}
    save_config(folder / "qwen2", model_type="qwen2_vl", torch_dtype="bfloat16", **text, vision_config={})
    save_config(folder / "qwen25", model_type="qwen2_5_vl", text_config=text, dtype="bfloat16", vision_config={})
    qwen3 = {"deepstack_visual_indexes": [0, 1]}
    save_config(folder / "qwen3", model_type="qwen3_vl", text_config=text, dtype="bfloat16", vision_config=qwen3)
    vision = {"model_type": "siglip_vision_model", "image_size": 40, "patch_size": 8}
    llava = {"text_config": {"model_type": "qwen2", **text}, "vision_config": vision, "dtype": "float16"}
    save_config(folder / "onevision", model_type="llava_onevision", **llava)
    save_config(folder / "llava15", model_type="llava", **llava)
    original = {
        "model_type": "llava_qwen", "hidden_size": 16, "torch_dtype": "bfloat16", "mm_vision_tower": "x-patch8-40",
        "mm_patch_merge_type": "spatial_unpad", "mm_spatial_pool_stride": 2,
    }  # fmt: skip
    for position in ("one_token", "frame", "grid", "no_token"):
        save_config(folder / position, **original, mm_newline_position=position)
    save_config(folder / "average", **original, mm_newline_position="no_token", mm_spatial_pool_mode="average")
    save_config(folder / "bert", model_type="bert", hidden_size=16)
    return folder


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def archived(folder: Path, name: str, arrays: dict[str, np.ndarray], *, timed: bool = False) -> Path:
    times = {"timestamps": np.arange(ROWS) * SECONDS} if timed else {}
    np.savez(folder / f"{name}.npz", **arrays, **times)
    embdc.encode(folder / f"{name}.npz", folder / f"{name}.embdc", lossless=True)
    return folder / f"{name}.embdc"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dumps of every layout, in lossless archives."""
    folder = tmp_path_factory.mktemp("archives")
    archived(folder, "grid", {"patch": rows(ROWS, 2, 3, 16)}, timed=True)
    archived(folder, "flat", {"patch": rows(ROWS, 6, 16)})
    archived(folder, "deep", {"patch": rows(ROWS, 2, 3, 16), "ds1": rows(ROWS, 2, 3, 16, seed=2),
                              "ds0": rows(ROWS, 2, 3, 16, seed=1)})  # fmt: skip
    archived(folder, "joined", {"patch": rows(ROWS, 2, 3, 48)})
    thw = np.array([[1, 4, 6], [2, 4, 4]])
    archived(folder, "dump", {"image_embeds": rows(6 + 8, 16), "image_grid_thw": thw})
    archived(folder, "short", {"image_embeds": rows(6 + 7, 16), "image_grid_thw": thw})
    archived(folder, "odd", {"image_embeds": rows(6, 16), "image_grid_thw": np.array([[1, 3, 8]])})
    archived(folder, "extra", {"image_embeds": rows(6 + 9, 16), "image_grid_thw": thw})
    archived(folder, "empty", {"image_embeds": rows(6, 16), "image_grid_thw": np.array([[1, 4, 6], [0, 4, 6]])})
    timed = {"video_embeds": rows(ROWS, 16), "video_grid_thw": np.array([[1, 4, 6]])}
    archived(folder, "timed", timed, timed=True)
    pictures = {"image_embeds": [rows(6, 16), rows(8, 16)], "image_grid_thw": thw}
    embdc.encode(pictures, folder / "ragged.embdc", lossless=True)
    archived(folder, "frames", {"patch": rows(ROWS, 25, 16), "image_newline": rows(16, seed=3)})
    archived(folder, "fewer", {"patch": rows(4, 25, 16), "image_newline": rows(16, seed=3)})
    embdc.cat([folder / "frames.embdc", folder / "fewer.embdc"], folder / "lengths.embdc", join="items")
    archived(folder, "pooled", {"patch": rows(ROWS, 9, 16), "image_newline": rows(16, seed=3)})
    archived(folder, "plain", {"patch": rows(ROWS, 25, 16)})
    archived(folder, "newline", {"patch": rows(ROWS, 25, 16), "image_newline": rows(8)})
    archived(folder, "cls", {"patch": rows(ROWS, 26, 16)})
    archived(folder, "narrow", {"patch": rows(ROWS, 2, 3, 8)})
    archived(folder, "two", {"a": rows(ROWS, 2, 3, 16), "b": rows(ROWS, 2, 3, 16)})
    archived(
        folder, "uneven", {"patch": rows(ROWS, 2, 3, 16), "ds0": rows(ROWS, 2, 3, 16), "ds1": rows(ROWS, 3, 2, 16)}
    )
    archived(folder, "vectors", {"patch": rows(ROWS, 16)})
    archived(folder, "long", {"patch": rows(700, 2, 3, 16)})
    for name, value in (("nan", np.nan), ("large", 1e5), ("huge", 3.4e38)):
        x = rows(ROWS, 2, 3, 16)
        x[4, 1, 2, 5] = value
        archived(folder, name, {"patch": x})
    np.save(folder / "sound.npy", rows(40, 12, seed=4))
    add = f"audio={folder / 'sound.npy'}@25hz"
    embdc.encode(folder / "grid.npz", folder / "heard.embdc", lossless=True, add=add)
    np.savez(folder / "seen.npz", seen=rows(ROWS, 2, 3, 16), timestamps=np.arange(ROWS) * SECONDS)
    add = f"patch={folder / 'sound.npy'}@25hz"
    embdc.encode(folder / "seen.npz", folder / "seen.embdc", key="seen", lossless=True, add=add)
    embdc.cat([folder / "grid.embdc", folder / "flat.embdc"], folder / "items.embdc", join="items")
    return folder


SCHEMA: list[tuple[str, str, dict[str, Any], dict[str, tuple[str, list[int]]]]] = [
    ("grid", "vllm:qwen2", {}, {"video_embeds": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3])}),
    ("grid", "vllm:qwen25", {}, {"video_embeds": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3]),
                                 "second_per_grid_ts": ("F32", [1])}),
    ("heard", "vllm:qwen2", {}, {"video_embeds": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3])}),
    ("seen", "vllm:qwen2", {}, {"video_embeds": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3])}),
    ("heard", "vllm:qwen2", {"stream": "patch", "item": "0"},
     {"video_embeds": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3])}),
    ("grid", "vllm:qwen2", {"modality": "image", "dtype": "f16"},
     {"image_embeds": ("F16", [36, 16]), "image_grid_thw": ("I64", [6, 3])}),
    ("flat", "vllm:qwen25", {"grid": "3x2"}, {"video_embeds": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3])}),
    ("items", "vllm:qwen2", {"grid": "2x3", "frames": ":2"},
     {"video_embeds": ("BF16", [24, 16]), "video_grid_thw": ("I64", [2, 3])}),
    ("dump", "vllm:qwen25", {"modality": "image"},
     {"image_embeds": ("BF16", [14, 16]), "image_grid_thw": ("I64", [2, 3])}),
    ("ragged", "vllm:qwen25", {"modality": "image"},
     {"image_embeds": ("BF16", [14, 16]), "image_grid_thw": ("I64", [2, 3])}),
    ("deep", "vllm:qwen3", {"modality": "image"},
     {"image_embeds": ("BF16", [36, 48]), "image_grid_thw": ("I64", [6, 3])}),
    ("frames", "vllm:onevision", {"modality": "image"}, {"image_embeds": ("F16", [6, 26, 16])}),
    ("plain", "vllm:llava15", {"modality": "image"}, {"image_embeds": ("F16", [6, 25, 16])}),
    ("grid", "sglang:qwen25", {"frames": "2:3"}, {"feature": ("BF16", [6, 16]), "video_grid_thw": ("I64", [1, 3]),
                                                  "second_per_grid_ts": ("F32", [1])}),
    ("joined", "sglang:qwen3", {}, {"feature": ("BF16", [36, 48]), "video_grid_thw": ("I64", [1, 3])}),
    ("joined", "hf:qwen3", {}, {"video_embeds": ("BF16", [36, 16]), "deepstack0": ("BF16", [36, 16]),
                                "deepstack1": ("BF16", [36, 16]), "video_grid_thw": ("I64", [1, 3])}),
    ("frames", "hf:onevision", {}, {"video_embeds": ("F16", [1, 6 * 9 + 1, 16])}),
    ("pooled", "llava:one_token", {}, {"video_features": ("BF16", [6 * 9 + 1, 16]), "token_counts": ("I64", [1])}),
    ("frames", "llava:frame", {}, {"video_features": ("BF16", [6 * (9 + 1), 16]), "token_counts": ("I64", [1])}),
    ("frames", "llava:grid", {}, {"video_features": ("BF16", [6 * 3 * (3 + 1), 16]), "token_counts": ("I64", [1])}),
    ("plain", "llava:no_token", {}, {"video_features": ("BF16", [6 * 9, 16]), "token_counts": ("I64", [1])}),
    ("plain", "llava:average", {}, {"video_features": ("BF16", [6 * 4, 16]), "token_counts": ("I64", [1])}),
    ("frames", "llava:one_token", {"modality": "image", "frames": "::3"},
     {"image_features": ("BF16", [2 * 26, 16]), "token_counts": ("I64", [2])}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "consumer", "options"), [case[:3] for case in SCHEMA])
def test_as_many_tokens_as_the_model_takes_and_no_more(
    name: str, consumer: str, options: dict[str, Any], archives: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted before anything is decoded is what comes out."""
    stack, _, model = consumer.partition(":")
    model = f"{stack}:{models / model}"
    out = archives / "o.safetensors"
    tokens = sum(embdc.decode(archives / f"{name}.embdc", out, consumer=model, force=True, **options)["tokens"])
    for most in (tokens, tokens - 1):
        monkeypatch.setattr(handover, "read_model", lambda name, most=most: replace(read_model(name), max_tokens=most))
        if most == tokens:
            embdc.hand_over(archives / f"{name}.embdc", model, **options)
            continue
        with pytest.raises(embdc.UsageError, match=f"expected at most {most} tokens, found {tokens}"):
            embdc.hand_over(archives / f"{name}.embdc", model, **options)


@pytest.mark.parametrize(("name", "consumer", "options", "expected"), SCHEMA)
def test_tensors_are_those_of_the_stack(
    name: str, consumer: str, options: dict[str, Any], expected: Any, archives: Path, models: Path, tmp_path: Path
) -> None:
    stack, _, model = consumer.partition(":")
    out = tmp_path / "o.safetensors"
    document = embdc.decode(archives / f"{name}.embdc", out, consumer=f"{stack}:{models / model}", **options)
    with out.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    metadata = header.pop("__metadata__")
    assert {key: (one["dtype"], one["shape"]) for key, one in header.items()} == expected
    assert [(one["name"], one["shape"]) for one in document["streams"]] == [
        (key, shape) for key, (_, shape) in expected.items()
    ]
    assert sum(document["tokens"]) == sum(item["tokens"] for item in document["items"])
    assert (metadata["consumer"], metadata["model"]) == (stack, model)
    with embdc.open(archives / f"{name}.embdc") as archive:
        roots = [part.tail.root.hex() for part in archive.reader.parts if part.tail is not None]
    assert metadata["archive_root"].split(",") == roots
    assert json.loads(metadata["items"]) == document["items"]
    tensors = load_file(out)  # what the library accepts
    grid = next((tensors[key] for key in tensors if key.endswith("grid_thw")), None)
    if grid is not None:
        assert int(grid.prod(dim=1).sum()) // 4 == sum(document["tokens"])


def test_values_and_places_of_tokens(archives: Path, models: Path) -> None:
    """Raster order within a frame, frames one after the other, DeepStack layers by their numbers behind a token."""
    whole = rows(ROWS, 2, 3, 16)
    part = embdc.hand_over(archives / "grid.embdc", f"vllm:{models / 'qwen25'}", dtype="f32", frames="1:4")["video"]
    assert torch.equal(part["video_embeds"], torch.from_numpy(whole[1:4]).reshape(-1, 16))
    assert part["video_grid_thw"].tolist() == [[3, 4, 6]]
    assert part["second_per_grid_ts"].tolist() == [SECONDS]
    np.savez(archives / "jumps.npz", patch=whole, timestamps=[0, 0.1, 0.5, 0.6, 0.9, 1.5])
    embdc.encode(archives / "jumps.npz", archives / "jumps.embdc", lossless=True, force=True)
    jumps = embdc.hand_over(archives / "jumps.embdc", f"vllm:{models / 'qwen25'}")["video"]
    assert jumps["second_per_grid_ts"].tolist() == [pytest.approx(0.3)]  # the mean
    (deep,) = embdc.hand_over(archives / "deep.embdc", f"sglang:{models / 'qwen3'}", dtype="f32")["video_data"]
    layers = [whole, rows(ROWS, 2, 3, 16, seed=1), rows(ROWS, 2, 3, 16, seed=2)]
    assert torch.equal(deep["feature"], torch.from_numpy(np.concatenate(layers, axis=-1)).reshape(-1, 48))
    assert {name: deep[name] for name in ("format", "modality")} == {
        "format": "precomputed_embedding", "modality": "VIDEO",
    }  # fmt: skip
    newline = torch.from_numpy(rows(16, seed=3))
    for position, places in (("one_token", [54]), ("frame", [9, 59]), ("grid", [3, 7, 71])):
        (video,) = embdc.hand_over(archives / "pooled.embdc", f"llava:{models / position}", dtype="f32")[
            "video_features"
        ]
        assert all(torch.equal(video[place], newline) for place in places)
        assert int((video == newline).all(dim=1).sum()) == {"one_token": 1, "frame": 6, "grid": 18}[position]
    with embdc.open(archives / "grid.embdc") as archive:  # a server keeps it open
        again = embdc.hand_over(archive, f"vllm:{models / 'qwen25'}", dtype="f32", frames="1:4")["video"]
        assert all(torch.equal(again[name], part[name]) for name in part)


def test_default_type_is_that_of_the_weights(archives: Path, models: Path) -> None:
    for model, dtype in (("qwen2", torch.bfloat16), ("average", torch.bfloat16)):
        stack, name = ("vllm", "grid") if model == "qwen2" else ("llava", "plain")
        handed = embdc.hand_over(archives / f"{name}.embdc", f"{stack}:{models / model}")
        found = handed["video"]["video_embeds"] if stack == "vllm" else handed["video_features"][0]
        assert found.dtype == dtype


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("grid", "vllm", {}, 2, "expected the encoder that the archive records, found none"),
    ("grid", "tgi:qwen2", {}, 2, r"expected one of vllm\[:MODEL\], sglang\[:MODEL\], hf\[:MODEL\], .* found 'tgi:"),
    ("grid", "vllm:nowhere", {}, 6, "no such folder"),
    ("grid", "vllm:bert", {}, 6, "model_type, expected one of qwen2_vl, .* found 'bert'"),
    ("narrow", "vllm:qwen2", {}, 2, "'patch' for model qwen2, expected 16 channels, found 8"),
    ("grid", "vllm:qwen3", {"modality": "image"}, 2,
     "expected 16 channels and 2 streams deepstack0, ..., or 48 channels, found 16 and 0 such"),
    ("deep", "vllm:qwen2", {}, 2, "expected 16 channels and no DeepStack streams, found 16 and 2"),
    ("deep", "vllm:qwen3", {}, 2, "qwen3_vl takes embeddings of images there, found --modality video"),
    ("plain", "vllm:onevision", {}, 2, "llava_onevision takes embeddings of images there"),
    ("plain", "vllm:grid", {}, 2, "expected the format of transformers, found llava_qwen"),
    ("plain", "hf:grid", {}, 2, "expected the format of transformers, found llava_qwen"),
    ("plain", "sglang:onevision", {}, 2, "expected one of qwen2_vl, .*, found llava_onevision"),
    ("grid", "llava:qwen2", {}, 2, "expected one of llava_qwen, .*, found qwen2_vl"),
    ("plain", "hf:llava15", {}, 2, "llava15, llava, takes no video"),
    ("flat", "vllm:qwen2", {}, 2, "does not say how the 6 tokens of a row of 'patch' lie"),
    ("flat", "vllm:qwen2", {"grid": "2x2"}, 2, "expected 6 tokens of 'patch', found 2x2 = 4"),
    ("flat", "vllm:qwen2", {"grid": "6"}, 2, "expected HxW, such as 14x14, found '6'"),
    ("vectors", "vllm:qwen2", {}, 2, r"expected \[T,N,D\] or \[T,H,W,D\], or a stream video_grid_thw .* found neither"),
    ("dump", "vllm:qwen2", {}, 2, "or a stream video_grid_thw"),
    ("dump", "vllm:qwen2", {"modality": "image", "frames": ":6"}, 2, "rows are tokens of whole pictures"),
    ("timed", "vllm:qwen2", {"time": "0s..1s"}, 2, "rows are tokens of whole pictures"),
    ("dump", "vllm:qwen2", {"modality": "image", "on_damage": "skip"}, 2, "rows would not belong together"),
    ("deep", "sglang:qwen3", {"on_damage": "skip"}, 2, "rows would not belong together"),
    ("deep", "sglang:qwen3", {"stream": "ds0"}, 2, "or 48 channels, found 16 and 1 such"),
    ("uneven", "sglang:qwen3", {}, 2, r"stream 'ds1', expected the shape \[6, 2, 3, 16\] of 'patch', found"),
    ("dump", "vllm:qwen2", {"stream": "image_grid_thw"}, 2, "expected embeddings, found int64"),
    ("extra", "vllm:qwen2", {"modality": "image"}, 2, "expected 14 tokens by 'image_grid_thw', found 15"),
    ("empty", "vllm:qwen2", {"modality": "image"}, 2, "expected edges in multiples of 2 patches"),
    ("ragged", "hf:onevision", {"modality": "image"}, 2, "expected equally many tokens in every row"),
    ("newline", "hf:onevision", {}, 2, "stream 'image_newline', expected 16 values, found 8"),
    ("plain", "hf:onevision", {"grid": "4x4"}, 2, "expected 25 tokens of 'patch', found 4x4 = 16"),
    ("short", "vllm:qwen2", {"modality": "image"}, 2, "expected 14 tokens by 'image_grid_thw', found 13"),
    ("odd", "vllm:qwen2", {"modality": "image"}, 2, "expected edges in multiples of 2 patches"),
    ("cls", "hf:onevision", {}, 2, "expected 9 tokens a frame, or 25 to be pooled, found 26"),
    ("pooled", "vllm:onevision", {"modality": "image"}, 2, "expected 25 tokens a picture, found 9"),
    ("plain", "llava:one_token", {}, 6, "expected the weight image_newline, found none"),
    ("two", "vllm:qwen2", {}, 2, "expected one of a, b, found 2 that could be meant"),
    ("two", "vllm:qwen2", {"stream": "c"}, 2, "expected one of a, b, found 'c'"),
    ("grid", "vllm:qwen2", {"frames": "6:"}, 2, "no rows of 'patch' are asked for, it has 6"),
    ("long", "vllm:qwen2", {}, 2, "expected at most 4096 tokens, found 4200"),
    ("nan", "vllm:qwen2", {}, 4, "'patch', row 4, channel 5: expected a finite bfloat16, found nan"),
    ("huge", "vllm:qwen2", {}, 4, r"row 4, channel 5: expected a finite bfloat16, found 3.4e\+38"),
    ("lengths", "hf:onevision", {}, 2, "expected videos with equally many tokens, found 37 and 55"),
    ("large", "vllm:qwen2", {"dtype": "f16"}, 4, "row 4, channel 5: expected a finite float16, found 100000"),
    ("grid", "vllm:qwen2", {"on_damage": "nan"}, 2, "expected fail or skip with --for, found nan"),
    ("grid", "vllm:qwen2", {"modality": "audio"}, 2, "--modality: expected one of image, video, found 'audio'"),
    ("grid", "vllm:qwen2", {"dtype": "int8"}, 2, "--dtype: expected one of f16, bf16, f32"),
    ("grid", "vllm:qwen2", {"format": "pt"}, 2, "expected safetensors, found pt, which is pickle"),
    ("grid", "vllm:qwen2", {"format": "npz"}, 2, "expected safetensors, found npz"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "consumer", "options", "code", "words"), REFUSED)
def test_wrong_things_are_refused_before_an_engine_sees_them(
    name: str, consumer: str, options: dict[str, Any], code: int, words: str, archives: Path, models: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    stack, colon, model = consumer.partition(":")
    with pytest.raises(embdc.EmbdcError, match=words) as error:
        embdc.decode(
            archives / f"{name}.embdc", tmp_path / "o.safetensors", consumer=f"{stack}{colon}{models / model}"
            if colon else stack, **options,
        )  # fmt: skip
    assert error.value.exit_code == code
    assert "\n" not in error.value.message
    assert not list(tmp_path.iterdir())


def test_a_grid_that_the_archive_records_has_to_fit(archives: Path, models: Path) -> None:
    """It is that of one of an encoder's streams, and an archive may say anything."""
    with embdc.open(archives / "flat.embdc") as archive:
        header = archive["patch"].item.header
        for grid in ([2, 2], [2, 3, 1], ["2", "3"], [None, 6], 6):
            object.__setattr__(header, "encoder", {"grid": grid})
            with pytest.raises(embdc.UsageError, match="does not say how the 6 tokens of a row of 'patch' lie"):
                embdc.hand_over(archive, f"vllm:{models / 'qwen2'}")
        object.__setattr__(header, "encoder", {"grid": [3, 2]})
        found = embdc.hand_over(archive, f"vllm:{models / 'qwen2'}")["video"]
        assert found["video_grid_thw"].tolist() == [[6, 6, 4]]


def test_the_command_writes_a_file_or_standard_output(
    archives: Path, models: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    consumer = ["--for", f"vllm:{models / 'qwen25'}", "--modality", "image", "--frames", "1:3"]
    shutil.copy(archives / "grid.embdc", tmp_path / "a.embdc")
    assert main(["decode", str(tmp_path / "a.embdc"), *consumer, "--json"]) == 0
    document = json.loads(capsysbinary.readouterr().out)
    assert document["streams"] == [
        {"name": "image_embeds", "shape": [12, 16], "dtype": "bfloat16"},
        {"name": "image_grid_thw", "shape": [2, 3], "dtype": "int64"},
    ]
    assert document["items"] == [
        {"item": "0", "stream": "patch", "encoder": None, "rows": [1, 2], "seconds": [0.25, 0.5], "tokens": 12}
    ]
    assert main(["decode", str(tmp_path / "a.embdc"), *consumer, "-o", "-", "-q"]) == 0
    assert capsysbinary.readouterr().out == (tmp_path / "a.safetensors").read_bytes()
    assert main(["decode", str(tmp_path / "a.embdc"), *consumer, "-o", str(tmp_path / "a.pt")]) == 2
    words = capsysbinary.readouterr().err.decode()
    assert words.startswith("embdc: --for: expected safetensors, found pt, which is pickle")
    assert words.count("\n") == 2  # and a hint


def test_what_lies_beside_an_item_is_told_by_the_name_that_item_takes(
    archives: Path, models: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "view.npy", rows(ROWS, 2, 3, 16))
    add = f"view={tmp_path / 'view.npy'}@4hz"
    embdc.encode(archives / "seen.npz", tmp_path / "a.embdc", key="seen", lossless=True, add=add)
    options: dict[str, Any] = {"consumer": f"vllm:{models / 'qwen2'}", "stream": "view", "item": "0"}
    (item,) = embdc.decode(tmp_path / "a.embdc", tmp_path / "a.safetensors", **options)["items"]
    assert (item["item"], item["stream"]) == ("0", "view")


def test_names_of_other_formats_are_refused(archives: Path, models: Path, tmp_path: Path) -> None:
    same = shutil.copy(archives / "grid.embdc", tmp_path / "grid.safetensors")
    with pytest.raises(embdc.UsageError, match="is also the input"):
        embdc.decode(same, same, consumer=f"vllm:{models / 'qwen2'}", force=True)
    with pytest.raises(embdc.UsageError) as error:
        embdc.hand_over(archives / "cls.embdc", f"hf:{models / 'onevision'}")
    assert error.value.hint == "1 more than the grid: leave special tokens out when encoding"
    for name in ("o.pt", "o.npy", "o"):
        with pytest.raises(embdc.UsageError, match="expected safetensors, found"):
            embdc.decode(archives / "grid.embdc", tmp_path / name, consumer=f"vllm:{models / 'qwen2'}")


def test_damage_is_an_error_or_left_out_and_told(archives: Path, models: Path, tmp_path: Path) -> None:
    embdc.encode(rows(ROWS, 2, 3, 16), tmp_path / "a.embdc", lossless=True, chunk_frames=2)
    chunk = embdc.inspect(tmp_path / "a.embdc", chunks=True)["chunks"][1]
    bad = bytearray((tmp_path / "a.embdc").read_bytes())
    bad[chunk["offset"] + chunk["bytes"] // 2] ^= 1
    (tmp_path / "bad.embdc").write_bytes(bad)
    consumer, out = f"vllm:{models / 'qwen2'}", tmp_path / "o.safetensors"
    with pytest.raises(embdc.CorruptArchive):
        embdc.decode(tmp_path / "bad.embdc", out, consumer=consumer)
    document = embdc.decode(tmp_path / "bad.embdc", out, consumer=consumer, on_damage="skip", dtype="f32")
    assert document["exit"] == 3
    assert [loss["rows"] for loss in document["lost"]] == [[2, 4]]
    with safe_open(out, "pt") as found:
        assert found.get_tensor("video_grid_thw").tolist() == [[4, 4, 6]]
        kept = rows(ROWS, 2, 3, 16)[[0, 1, 4, 5]].reshape(-1, 16)
        assert torch.equal(found.get_tensor("video_embeds"), torch.from_numpy(kept))
    (tmp_path / "cut.embdc").write_bytes(bad[: chunk["offset"] + 10])
    document = embdc.decode(tmp_path / "cut.embdc", out, consumer=consumer, force=True)
    assert (document["exit"], document["frames"]) == (3, 2)
    document = embdc.decode(tmp_path / "cut.embdc", out, consumer=consumer, force=True, frames=":2")
    assert (document["exit"], document["lost"]) == (3, [])  # all that was asked for, of what is not whole
    with pytest.raises(embdc.IncompleteError):
        embdc.hand_over(tmp_path / "cut.embdc", consumer)


def test_a_hub_name_is_not_fetched_offline(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(embdc.MissingModel, match="not in the hub's cache, and HF_HUB_OFFLINE is set"):
        embdc.hand_over(archives / "grid.embdc", "vllm:Qwen/Qwen2.5-VL-7B-Instruct")
