"""--encoder-dtype and --compile: what the network computes in, what of it the archive says, and who is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.device import network_dtype
from embdc_cli.embedder import compiling
from embdc_cli.embedder.open import open_embedder
from embdc_cli.embedder.protocol import FrameEmbedder
from embdc_cli.errors import ResourceError, UsageError
from embdc_cli.options import EncodeOptions
from tests.embedder.encoder_folders import FRAME_SIZE, build, some_frames

SHAPES = Path(__file__).parents[2] / "samples" / "shapes.mp4"


def opened(encoder: Path, device: str = "cpu", **options: Any) -> FrameEmbedder:
    return open_embedder(EncodeOptions(encoder=str(encoder), device=device, **options)).for_size(*FRAME_SIZE)


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("towers")

    def get(name: str) -> Path:
        if not (root / name).exists():
            (convnext if name == "convnext" else partial(build, name))(root / name)
        return root / name

    return get


def convnext(folder: Path) -> None:
    """A convolutional tower, which does not cast its pixels itself."""
    from transformers import ConvNextConfig, ConvNextModel

    torch.manual_seed(2)
    config = ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], image_size=32)
    ConvNextModel(config).eval().save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", "size": 64}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of tokens (..., D)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1))


@pytest.mark.parametrize(
    ("word", "device", "here", "knows_bfloat16", "dtype"),
    [
        ("auto", "cpu", True, True, "float32"),
        ("auto", "auto", False, False, "float32"),
        ("auto", "auto", True, True, "bfloat16"),
        ("auto", "cuda:0", True, True, "bfloat16"),
        ("auto", "cuda", True, False, "float16"),
        ("f32", "cuda", True, True, "float32"),
        ("bf16", "cpu", False, False, "bfloat16"),
        ("float16", "auto", False, False, "float16"),
    ],
)
def test_what_a_network_computes_in(
    word: str, device: str, here: bool, knows_bfloat16: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: knows_bfloat16)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    assert network_dtype(word, device) == dtype


def test_other_types_are_refused() -> None:
    for word in ("f64", "int8", "f8"):
        with pytest.raises(UsageError, match=f"--encoder-dtype: expected one of auto, f32, bf16, f16, found '{word}'"):
            network_dtype(word, "cpu")


@pytest.mark.parametrize("name", ["clip", "qwen2_5_vl", "convnext"])
@pytest.mark.parametrize(("word", "dtype"), [("bf16", "bfloat16"), ("f16", "float16")])
def test_every_kind_of_tower_takes_half_precision(
    tower: Callable[[str], Path], name: str, word: str, dtype: str
) -> None:
    frames = some_frames(3)
    half = opened(tower(name), encoder_dtype=word)
    assert half.provenance()["dtype"] == {"compute": dtype, "storage": "float16"}
    ours, full = (one.embed(frames)["patch"] for one in (half, opened(tower(name))))
    assert ours.dtype == np.float16
    assert cosines(ours, full).min() > (0.999 if word == "bf16" else 0.99999)
    assert not np.array_equal(ours, full)


def test_bfloat16_of_a_real_vit_keeps_directions(shared_data: Path) -> None:
    """Tokens lie within a cosine of 0.99 of those in float32, of 0.999 on average; float16 is 8 times as precise."""
    folder = shared_data / "models" / "vit-tiny-patch16-224"
    frames = some_frames(2, seed=9)
    full, bfloat16, float16 = (
        opened(folder, encoder_dtype=word, layer=-2, batch_size=2).embed(frames)["patch"]
        for word in ("f32", "bf16", "f16")
    )
    near = cosines(bfloat16, full)
    assert near.min() > 0.99
    assert near.mean() > 0.999
    assert cosines(float16, full).min() > 0.9999


def encoded(encoder: Path, out: Path, **options: Any) -> dict[str, Any]:
    return embdc.encode(SHAPES, out, encoder=encoder, fps=2, device="cpu", **options)


def test_the_recipe_knows_the_type(tower: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "a.embdc"
    encoded(tower("clip"), out)
    assert "encoder_dtype" not in embdc.inspect(out)["codec"]["recipe"]
    for word in ("auto", "f32", "float32"):
        assert encoded(tower("clip"), out, skip_existing=True, encoder_dtype=word)["status"] == "skipped"
    with pytest.raises(embdc.OutputExists):
        encoded(tower("clip"), out, skip_existing=True, encoder_dtype="bf16")
    encoded(tower("clip"), out, force=True, encoder_dtype="bf16")
    found = embdc.inspect(out)
    assert found["codec"]["recipe"]["encoder_dtype"] == "bfloat16"
    assert found["encoder"]["dtype"]["compute"] == "bfloat16"
    assert encoded(tower("clip"), out, skip_existing=True, encoder_dtype="bfloat16")["status"] == "skipped"


def test_the_recipe_knows_what_auto_comes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from embdc_cli.encoding import recipe

    monkeypatch.setattr(recipe, "network_dtype", lambda word, device: "bfloat16")
    found = {name: recipe.recipe_of(EncodeOptions(encoder=name), None) for name in ("openai/clip", "a.pt2", None)}
    assert [found[name].get("encoder_dtype") for name in found] == ["bfloat16", None, None]


class Patches(torch.nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.patches = torch.nn.Conv2d(3, 6, 8, 8, dtype=dtype)
        self.dtype = dtype

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.patches(pixels.to(self.dtype))


def exported(path: Path, dtype: torch.dtype = torch.float32, batch: tuple[int, int] = (1, 64)) -> Path:
    shapes = {"pixels": {0: torch.export.Dim("batch", min=batch[0], max=batch[1])}}
    example = torch.zeros(batch[0] + 1, 3, 24, 32)
    torch.export.save(torch.export.export(Patches(dtype), (example,), dynamic_shapes=shapes), path)
    return path


def test_a_program_has_a_type_of_its_own(tmp_path: Path) -> None:
    path = exported(tmp_path / "m.pt2", torch.bfloat16)
    assert opened(path).provenance()["dtype"] == {"compute": "bfloat16", "storage": "float16"}
    with pytest.raises(UsageError, match="--encoder-dtype: an exported program has its own, found f32"):
        opened(path, encoder_dtype="f32")


def test_a_program_takes_the_batches_it_was_exported_for(tmp_path: Path) -> None:
    for limits, size in (((1, 64), 8), ((3, 5), 5), ((12, 20), 12)):
        embedder = opened(exported(tmp_path / "m.pt2", batch=limits))
        open_embedder.__globals__["_load"].cache_clear()
        assert embedder.batch_size == size
        assert len(embedder.embed(some_frames(2))["patch"]) == 2
    with pytest.raises(UsageError, match="--batch-size: the program was exported for 12 to 20, found 8"):
        opened(tmp_path / "m.pt2", batch_size=8)


@pytest.mark.parametrize(
    ("options", "flag"), [({"encoder_dtype": "f32"}, "--encoder-dtype"), ({"compile": True}, "--compile")]
)
def test_the_built_in_encoder_is_no_network(options: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=f"{flag}: patch-dct is no network"):
        open_embedder(EncodeOptions(**options))


@pytest.mark.parametrize("kind", ["clip", "exported"])
def test_compiled_networks_give_the_values_of_the_others(
    tower: Callable[[str], Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def compiler(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
        compiled.extend(one.shape[0] for one in example if isinstance(one, torch.Tensor) and one.ndim == 4)
        return graph.forward

    path = exported(tmp_path / "m.pt2") if kind == "exported" else tower(kind)
    frames = some_frames(5)
    plain = opened(path, batch_size=2)
    monkeypatch.setattr(compiling, "COMPILER", compiler)
    embedder = opened(path, batch_size=2, compile=True)
    assert not compiled  # nothing for shapes that only tell what comes out
    assert np.array_equal(embedder.embed(frames)["patch"], plain.embed(frames)["patch"])
    assert 2 in compiled
    assert 1 not in compiled
    assert embedder.provenance()["compiled"] == "inductor"
    assert "compiled" not in plain.provenance()


def test_what_cannot_be_compiled_is_a_resource_error(
    tower: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiler(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
        raise OSError("no compiler")

    monkeypatch.setattr(compiling, "COMPILER", compiler)
    embedder = opened(tower("vit"), compile=True)
    with pytest.raises(ResourceError, match=r"--compile: the network cannot be compiled, .*no compiler") as refusal:
        embedder.embed(some_frames(1))
    assert refusal.value.hint == "leave it out"


@pytest.mark.gpu
@pytest.mark.parametrize("word", ["auto", "f32", "bf16", "f16"])
def test_a_device_computes_in_every_type(tower: Callable[[str], Path], word: str) -> None:
    frames = some_frames(3)
    embedder = opened(tower("clip"), "cuda", encoder_dtype=word)
    assert embedder.provenance()["dtype"]["compute"] == network_dtype(word, "cuda")
    assert cosines(embedder.embed(frames)["patch"], opened(tower("clip")).embed(frames)["patch"]).min() > 0.999


@pytest.mark.gpu
def test_a_device_compiles(tower: Callable[[str], Path]) -> None:
    frames = some_frames(3)
    plain, compiled = (opened(tower("clip"), "cuda", batch_size=4, compile=asked) for asked in (False, True))
    assert cosines(compiled.embed(frames)["patch"], plain.embed(frames)["patch"]).min() > 0.999
