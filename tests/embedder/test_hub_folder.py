"""Hub names without a network: what is in the cache is used, and what is not is told."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from embdc_cli.embedder.hub_folder import open_folder
from embdc_cli.embedder.open import open_embedder
from embdc_cli.errors import MissingModel
from embdc_cli.options import EncodeOptions
from tests.embedder.encoder_folders import build

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no way to the hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put(cache: Path, name: str) -> Path:
    """The files of an encoder where the hub's client keeps those of `name`."""
    snapshot = cache / ("models--" + name.replace("/", "--")) / "snapshots" / COMMIT
    build("dinov2", snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    return snapshot


def test_a_name_that_is_not_in_the_cache(cache: Path) -> None:
    with pytest.raises(
        MissingModel, match="google/siglip2: no such folder, not in the hub's cache, and HF_HUB_OFF"
    ) as e:
        open_folder("google/siglip2")
    assert e.value.exit_code == 6
    assert "HF_HUB_OFFLINE" in str(e.value.hint)
    assert not list(cache.iterdir())


def test_a_cached_encoder_is_used_offline_and_recorded_by_name_and_commit(cache: Path) -> None:
    snapshot = put(cache, "someone/tiny")
    facts = open_embedder(EncodeOptions(encoder="someone/tiny", device="cpu")).for_size(40, 40).provenance()
    assert facts["name"] == "someone/tiny"
    assert facts["revision"] == COMMIT
    assert facts["weights_sha256"] == hashlib.sha256((snapshot / "model.safetensors").read_bytes()).hexdigest()


def test_a_half_cached_encoder_is_missing(cache: Path) -> None:
    snapshot = put(cache, "someone/half")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(MissingModel, match="someone/half"):
        open_folder("someone/half")


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c", "no such", "", "..", "~/models"])
def test_what_can_only_be_a_path_is_not_asked_of_the_hub(name: str) -> None:
    with pytest.raises(MissingModel, match=r"no such folder|expected config\.json"):
        open_folder(name)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    with pytest.raises(MissingModel, match=r"expected a folder or a \.pt2 file"):
        open_folder(str(path))


def test_weights_elsewhere_than_in_the_folder_are_not_read(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(put(cache, "someone/odd"), folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../../secret.safetensors"}}')
    with pytest.raises(MissingModel, match=r"expected secret\.safetensors, found none"):
        open_folder(str(folder))
