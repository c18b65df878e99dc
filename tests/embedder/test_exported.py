"""Exported programs: shapes, fixed and free batches, and no way to run code from the file."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from embdc_cli.embedder.exported_file import check_exported
from embdc_cli.embedder.open import open_embedder
from embdc_cli.embedder.protocol import FrameEmbedder
from embdc_cli.errors import MissingModel, UsageError
from embdc_cli.options import EncodeOptions
from tests.embedder.encoder_folders import some_frames

SIZE = (24, 32)


class Patches(torch.nn.Module):
    """A patch embedding whose output has 2, 3 or 4 dimensions."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.dims = dims
        self.patches = torch.nn.Conv2d(3, 6, 8, 8)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = self.patches(pixels)
        return {2: lambda: maps.mean((2, 3)), 3: lambda: maps.flatten(2).transpose(1, 2), 4: lambda: maps}[self.dims]()


def export(
    path: Path, module: torch.nn.Module, *, batch: int = 2, free: bool = False, size: tuple[int, ...] = SIZE
) -> Path:
    free_batch = {0: torch.export.Dim("batch", min=1, max=64)}
    shapes = {"pixels": free_batch} if free else None
    program = torch.export.export(module.eval(), (torch.zeros(2, 3, *size),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def opened(path: Path, **options: object) -> FrameEmbedder:
    chosen = EncodeOptions(encoder=str(path), device="cpu", **options)  # type: ignore[arg-type]  # a table of mixed types
    return open_embedder(chosen).for_size(45, 60)


@pytest.mark.parametrize("dims", [2, 3, 4])
@pytest.mark.parametrize("free", [False, True])
def test_tokens_equal_the_module_called_directly(tmp_path: Path, dims: int, free: bool) -> None:
    module = Patches(dims)
    embedder = opened(export(tmp_path / "m.pt2", module, free=free))
    frames = some_frames(5)
    tokens = embedder.embed(frames)["patch"]
    resized = [np.asarray(Image.fromarray(frame).resize((32, 24), resample=3)) for frame in frames]
    with torch.inference_mode():
        out = module(torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2) / 255)
    wanted = (out.flatten(2).transpose(1, 2) if dims == 4 else out).numpy()
    assert tokens.shape == wanted.shape
    assert np.abs(tokens - wanted).max() < 1e-3
    assert np.array_equal(embedder.embed([torch.from_numpy(frame) for frame in frames])["patch"], tokens)
    assert embedder.specs[0].axes == ("t,c" if dims == 2 else "t,n,c")
    assert embedder.specs[0].row_shape == wanted.shape[1:]
    assert embedder.batch_size == (8 if free else 2)
    assert str(tmp_path) not in json.dumps(embedder.provenance())


def test_a_fixed_batch_cannot_be_changed_and_a_free_one_can(tmp_path: Path) -> None:
    fixed = export(tmp_path / "fixed.pt2", Patches(3))
    with pytest.raises(UsageError, match="--batch-size: the program was exported for 2, found 4"):
        opened(fixed, batch_size=4)
    assert opened(export(tmp_path / "free.pt2", Patches(3), free=True), batch_size=4).batch_size == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [({"layer": -2}, "--layer: an exported program has one output"), ({"streams": ("cls",)}, "has patch, found cls")],
)
def test_what_a_program_does_not_have_is_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        opened(export(tmp_path / "m.pt2", Patches(3)), **options)


class TwoInputs(torch.nn.Module):
    def forward(self, pixels: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return pixels + other


class FiveDimensions(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[None]


def save_two_inputs(path: Path) -> None:
    example = torch.zeros(2, 3, 8, 8)
    torch.export.save(torch.export.export(TwoInputs(), (example, example)), path)


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (save_two_inputs, "expected one input, found 2"),
        (lambda path: export(path, FiveDimensions()), "one output tensor of 2 to 4 dimensions, found 5"),
        (lambda path: export(path, torch.nn.Flatten(), size=(8,)), "expected an input of B x 3 x H x W"),
    ],
)
def test_programs_of_another_shape_are_refused(tmp_path: Path, save: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "m.pt2"
    save(path)
    with pytest.raises(MissingModel, match=words):
        opened(path)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


def rewritten(path: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None) -> None:
    """The zip at `path` with every member as `change` gives it, and `extra` members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(members)).split("/")[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))
        for name, data in (extra or {}).items():
            archive.writestr(f"{root}/{name}", data)


def pickled_weight(name: str, data: bytes) -> bytes:
    if name.endswith("data/weights/model_weights_config.json"):
        config = json.loads(data)
        for entry in config["config"].values():
            entry["use_pickle"] = True
        return json.dumps(config).encode()
    return EVIL if "data/weights/weight_" in name else data


def opaque_constant(name: str, data: bytes) -> bytes:
    if name.endswith("data/constants/model_constants_config.json"):
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        return json.dumps({"config": {"x": entry}}).encode()
    return data


def sample_inputs(name: str, data: bytes) -> bytes:
    if "data/sample_inputs/" not in name:
        return data
    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    return buffer.getvalue()


EVIL = pickle.dumps(Evil())


@pytest.mark.parametrize(
    ("change", "extra", "words"),
    [
        (pickled_weight, {}, "holds a pickled object, weight_0, which could run code"),
        (
            opaque_constant,
            {"data/constants/opaque_obj_0": EVIL},
            "holds a pickled object, opaque_obj_0",
        ),
        (sample_inputs, {}, r"holds a pickled object, .*sample_inputs/model.pt, which could run code"),
        (
            lambda name, data: data,
            {"data/weights/model.pt": EVIL},
            "pickled object, .*weights/model.pt",
        ),
        (lambda name, data: data, {"data/aotinductor/model/x.so": b"\x7fELF"}, "holds compiled code"),
    ],
)
def test_a_file_that_could_run_code_is_refused(
    tmp_path: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes], words: str
) -> None:
    path = export(tmp_path / "m.pt2", Patches(3))
    check_exported(path)
    rewritten(path, change, extra)
    with pytest.raises(MissingModel, match=words) as refusal:
        opened(path)
    assert refusal.value.exit_code == 6


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    with pytest.raises(MissingModel, match="no such file"):
        opened(path)
    path.write_text("not a zip")
    with pytest.raises(MissingModel, match="expected an exported program"):
        opened(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(MissingModel, match="found another zip file"):
        opened(path)
    data = export(tmp_path / "good.pt2", Patches(3)).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MissingModel, match="expected an exported program"):
        opened(path)
