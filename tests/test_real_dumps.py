"""Real embeddings of real clips: lossless size, targets, special tokens, and a real vision tower end to end."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

import embdc_cli as embdc
from tests.synthetic import errors

DUMPS = (
    "cars__mobilenetv2__map",
    "cars__mobilenetv2__pooled",
    "cars__vit-tiny__final",
    "cars__vit-tiny__penultimate",
    "images__vit-tiny__penultimate197",
    "juggle__deit-tiny__penultimate",
    "nasa__vit-tiny__final",
)


@pytest.mark.parametrize("name", DUMPS)
def test_lossless_is_exact_and_not_larger_than_zstd_9(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "data/embeddings" / f"{name}.npy"
    x = np.load(path)
    out = str(tmp_path / "a.embdc")
    result = embdc.encode(str(path), out, lossless=True)
    np.testing.assert_array_equal(embdc.open(out)["data"][:].numpy().view(np.uint8), x.view(np.uint8))
    assert result["file_bytes"] <= len(zstandard.ZstdCompressor(9).compress(x.tobytes()))


@pytest.mark.parametrize("name", DUMPS)
@pytest.mark.parametrize("part", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["part", "whole"])
def test_targets_on_real_dumps(name: str, part: bool, shared_data: Path, tmp_path: Path) -> None:
    """A part of each stands for the whole, which takes minutes."""
    x = np.load(shared_data / "data/embeddings" / f"{name}.npy")
    if part and x.ndim == 3:
        x = x[:16, ::3, :192]
    out = str(tmp_path / "a.embdc")
    embdc.encode(x, out, target_nmse=0.03)
    assert 0.03 * 0.97 <= errors(x, embdc.open(out)["data"][:].numpy())["nmse"] <= 0.03
    result = embdc.encode(x, out, target_bpv=0.4, force=True)
    assert 0.4 * 0.97 <= 8 * result["file_bytes"] / x.size <= 0.4


def test_special_tokens_are_coded_apart_and_come_back_in_place(shared_data: Path, tmp_path: Path) -> None:
    x = np.load(shared_data / "data/embeddings/images__vit-tiny__penultimate197.npy")[:16, :99]
    sizes = {}
    for tokens in ("0", "auto"):
        out = str(tmp_path / f"{tokens}.embdc")
        sizes[tokens] = embdc.encode(x, out, target_nmse=0.02, special_tokens=tokens)["file_bytes"]
        y = embdc.open(out)["data"][:].numpy()
        assert y.shape == x.shape
        assert errors(x, y)["nmse"] <= 0.02
    assert sizes["auto"] != sizes["0"]


def test_a_clip_through_a_vision_tower(shared_data: Path, tmp_path: Path) -> None:
    archive, out = str(tmp_path / "j.embdc"), tmp_path / "j.npy"
    result = embdc.encode(
        str(shared_data / "data/clips/juggle.mp4"),
        archive,
        encoder=str(shared_data / "models/vit-tiny-patch16-224"),
        fps="2",
        time="1s..4s",
    )
    assert result["achieved"]["cosine"] >= 0.97
    embdc.decode(archive, str(out))
    assert np.load(out).shape == (6, 196, 192)
    document = embdc.inspect(archive)
    assert document["encoder"]["name"]
    assert len(document["encoder"]["weights_sha256"]) == 64
    opened = embdc.open(archive)
    assert opened.at(0.6) == 1
    timeline = opened["patch"].timeline
    assert timeline is not None
    assert [round(timeline.seconds(row), 3) for row in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def bytes_at_nmse(x: np.ndarray, nmse: float, folder: Path, **options: object) -> int:
    return int(embdc.encode(x, str(folder / "a.embdc"), target_nmse=nmse, force=True, **options)["file_bytes"])


@pytest.mark.parametrize(
    ("part", "shares"),
    [(np.s_[:32, ::4], (0.9, 0.95, 0.99)), pytest.param(np.s_[:], (0.85, 0.97, 1.005), marks=pytest.mark.slow)],
    ids=["part", "whole"],
)
def test_more_effort_takes_fewer_bytes_for_the_same_error(
    part: Any, shares: tuple[float, ...], shared_data: Path, tmp_path: Path
) -> None:
    """A mixture and rounding by rate over one KLT and a dead zone, a trellis over rounding, more modes over fewer."""
    x = np.ascontiguousarray(np.load(shared_data / "data/embeddings/cars__vit-tiny__final.npy")[part])
    sizes = [bytes_at_nmse(x, 0.05, tmp_path, effort=effort) for effort in range(4)]
    assert all(more < share * less for (less, more), share in zip(pairwise(sizes), shares, strict=True)), sizes


@pytest.mark.slow
@pytest.mark.parametrize("nmse", [0.1, 0.02])
def test_two_scenes_in_one_file_cost_no_more_than_apart(nmse: float, shared_data: Path, tmp_path: Path) -> None:
    names = ("cars__vit-tiny__final", "juggle__vit-tiny__final")
    scenes = [np.load(shared_data / f"data/embeddings/{name}.npy")[:64] for name in names]
    both = bytes_at_nmse(np.concatenate(scenes), nmse, tmp_path)
    # the same error in each half as in both together, which is one quantiser's
    with embdc.open(str(tmp_path / "a.embdc")) as archive:
        y = archive["data"][:].numpy()
    parts = zip(scenes, (y[:64], y[64:]), strict=True)
    apart = sum(bytes_at_nmse(scene, errors(scene, part)["nmse"], tmp_path) for scene, part in parts)
    assert both <= 1.005 * apart
