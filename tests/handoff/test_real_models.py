"""Models of transformers give the same logits from what is handed over as from pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import embdc_cli as embdc
from tests.handoff import models

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
GRIDS = {"image": [[1, 4, 6], [1, 4, 6], [1, 4, 6]], "video": [[3, 4, 6]]}
TOKEN = {"image": models.IMAGE, "video": models.VIDEO}
SECONDS = 0.5


def logits(model: Any, arguments: dict[str, Any]) -> torch.Tensor:
    with torch.inference_mode():
        return model(**arguments).logits


def encoder_output(model: Any, modality: str, pixels: torch.Tensor, **more: Any) -> Any:
    """What the model's own tower gives, projected, with DeepStack layers where it has them."""
    with torch.inference_mode():
        return getattr(model, f"get_{modality}_features")(pixels, **more, return_dict=True)


def archived(path: Path, arrays: dict[str, np.ndarray], seconds: float | None = None) -> Path:
    """The arrays in a lossless archive, with a time per row where they have some."""
    dump = path.with_suffix(".npz")
    times = {} if seconds is None else {"timestamps": np.arange(len(next(iter(arrays.values())))) * seconds}
    np.savez(dump, **arrays, **times)
    embdc.encode(dump, path, lossless=True)
    return path


@pytest.mark.parametrize("modality", ["image", "video"])
@pytest.mark.parametrize("name", QWEN)
def test_qwen_takes_tokens_of_its_own_tower(name: str, modality: str, tmp_path: Path) -> None:
    model = models.build(name, tmp_path / "model")
    torch.manual_seed(1)
    grid = torch.tensor(GRIDS[modality])
    pixels = torch.randn(int(grid.prod(dim=1).sum()), 3 * 2 * 4 * 4)
    found = encoder_output(model, modality, pixels, **{f"{modality}_grid_thw": grid})
    layers = getattr(found, "deepstack_features", None) or []
    shape = (3, 2, 3, 24)  # rows of the archive, tokens down and across, channels
    arrays = {"patch": torch.cat(found.pooler_output).reshape(shape).numpy()}
    arrays |= {f"deepstack{at}": torch.cat(list(one)).reshape(shape).numpy() for at, one in enumerate(layers)}
    archive = archived(tmp_path / "a.embdc", arrays, SECONDS if modality == "video" else None)

    handed = embdc.hand_over(archive, f"hf:{tmp_path / 'model'}", modality=modality, dtype="f32")
    assert torch.equal(handed[f"{modality}_grid_thw"], grid)
    counts = [int(one.prod()) // 4 for one in grid]
    if (name, modality) == ("qwen3_vl", "video"):  # its prompt has a time before every frame
        counts = [6, 6, 6]
    text = models.prompt(TOKEN[modality], counts)
    key = {"image": "pixel_values", "video": "pixel_values_videos"}[modality]
    more = {"second_per_grid_ts": torch.tensor([SECONDS])} if (name, modality) == ("qwen2_5_vl", "video") else {}
    expected = logits(model, {**text, key: pixels, f"{modality}_grid_thw": grid, **more})
    assert torch.equal(logits(model, {**text, **handed}), expected)
    handed[f"{modality}_grid_thw"] = handed[f"{modality}_grid_thw"][:, [0, 2, 1]]
    assert not torch.equal(logits(model, {**text, **handed}), expected), "positions do not depend on the grid"


@pytest.mark.parametrize(("name", "modality"), [
    ("llava", "image"), ("llava_onevision", "image"), ("llava_onevision", "video"), ("llava_next_video", "video"),
])  # fmt: skip
def test_llava_takes_tokens_of_its_own_tower(name: str, modality: str, tmp_path: Path) -> None:
    model = models.build(name, tmp_path / "model")
    torch.manual_seed(2)
    frames = torch.randn(3, 3, 40, 40)
    if modality == "image":
        more = {"image_sizes": torch.tensor([[40, 40]] * 3)} if name != "llava" else {}
        if name == "llava_onevision":
            more["batch_num_images"] = torch.tensor([3])  # several pictures: a single view of each
        found = encoder_output(model, modality, frames, **more).pooler_output
        arguments = {"pixel_values": frames, **more}
        tokens = torch.stack([one[:25] for one in found])
    else:
        found = encoder_output(model, modality, frames[None]).pooler_output
        arguments = {"pixel_values_videos": frames[None]}
        tokens = found[0, : 3 * (9 if name == "llava_onevision" else 4)].reshape(3, -1, 24)
    archive = archived(tmp_path / "a.embdc", {"patch": tokens.numpy()})
    counts = [len(one) for one in found]
    text = models.prompt(TOKEN[modality], counts)
    del text["mm_token_type_ids"]
    handed = embdc.hand_over(archive, f"hf:{tmp_path / 'model'}", modality=modality, dtype="f32")
    assert torch.equal(logits(model, {**text, **handed}), logits(model, {**text, **arguments}))


def test_frames_are_pooled_as_the_model_pools_them(tmp_path: Path) -> None:
    model = models.build("llava_onevision", tmp_path / "model")
    torch.manual_seed(3)
    unpooled = torch.randn(3, 25, 24)
    with torch.inference_mode():
        pooled = model.model.apply_pooling(unpooled)
    archive = archived(tmp_path / "a.embdc", {"patch": unpooled.numpy()})
    out = tmp_path / "o.safetensors"
    embdc.decode(archive, out, consumer=f"hf:{tmp_path / 'model'}", dtype="f32")
    (video,) = load_file(out)["video_embeds"]
    assert torch.equal(video[:-1], pooled.reshape(27, 24))
    assert torch.equal(video[-1], model.model.image_newline.detach())


def test_a_video_encoded_by_embdc_gives_what_the_model_makes_of_it(tmp_path: Path) -> None:
    from tests.embedder import encoder_folders

    encoder = encoder_folders.build("qwen2_5_vl", tmp_path / "model")
    sample = Path(__file__).parent.parent.parent / "samples" / "shapes.mp4"
    embdc.encode(sample, tmp_path / "a.embdc", encoder=str(encoder.folder), fps="2", lossless=True, record_name=True)
    consumer = f"vllm:{encoder.folder}"
    # the tower of that test model gives 24 channels, its language model takes 32
    with pytest.raises(embdc.UsageError, match=r"expected 32 channels, found 24"):
        embdc.hand_over(tmp_path / "a.embdc", consumer)
    config = encoder.folder / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 32', '"hidden_size": 24'))
    handed = embdc.hand_over(tmp_path / "a.embdc", consumer, dtype="f32")["video"]
    with embdc.open(tmp_path / "a.embdc") as archive:
        whole = archive["patch"][:]
        rows, columns = archive["patch"].item.header.encoder["grid"]
    assert torch.equal(handed["video_embeds"], whole.float().flatten(0, 1))
    assert handed["video_grid_thw"].tolist() == [[len(whole), 2 * rows, 2 * columns]]
    assert handed["second_per_grid_ts"].tolist() == [pytest.approx(0.5)]
