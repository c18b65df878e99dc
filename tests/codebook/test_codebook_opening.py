"""Inputs of training from disk: dumps, and archives item by item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli import pipeline
from embdc_cli.codebook import file
from embdc_cli.codebook.opening import open_any
from embdc_cli.codebook.training import TrainOptions, train
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Silent
from embdc_cli.values import Dump
from tests.codebook.sources import CHANNELS, dump_of, gaussian


def opened(path: Path, **options: Any) -> list[Dump]:
    return list(open_any(str(path), EncodeOptions(**options), Silent()))


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def encoded(folder: Path, name: str, array: np.ndarray, **options: Any) -> Path:
    source = saved(folder / f"{name}.npy", array)
    archive = folder / f"{name}.embdc"
    pipeline.encode(str(source), str(archive), EncodeOptions(**(options or {"lossless": True})))
    return archive


def test_a_dump_is_one_item(tmp_path: Path) -> None:
    array = gaussian(12)
    (dump,) = opened(saved(tmp_path / "a.npy", array))
    assert np.array_equal(dump.tensors[0].read(3, 12), array[3:])
    dump.close()


def test_an_archive_is_read_like_the_dump_it_was_made_from(tmp_path: Path) -> None:
    array = gaussian(150)
    (dump,) = opened(encoded(tmp_path, "a", array))
    (tensor,) = dump.tensors
    assert tensor.spec.shape == array.shape
    assert tensor.token_counts is None
    assert np.array_equal(tensor.read(60, 140), array[60:140])
    dump.close()


def test_a_ragged_archive_knows_the_tokens_of_its_rows(tmp_path: Path) -> None:
    rows = [gaussian(1, tokens=int(count), seed=int(count))[0] for count in np.arange(30) % 5 + 1]
    archive = tmp_path / "ragged.embdc"
    pipeline.encode(rows, str(archive), EncodeOptions(lossless=True, chunk_frames=8))
    (dump,) = opened(archive)
    (tensor,) = dump.tensors
    assert tensor.token_counts is not None
    assert tensor.token_counts.tolist() == [len(row) for row in rows]
    assert np.array_equal(tensor.read(7, 20), np.concatenate(rows[7:20]))
    assert train([str(archive)], str(tmp_path / "c.embdcb"), TrainOptions(holdout=0.2))["channels"] == CHANNELS
    dump.close()


def test_every_item_of_an_archive_is_a_dump_of_its_own(tmp_path: Path) -> None:
    arrays = [gaussian(20, seed=seed) for seed in range(2)]
    both = tmp_path / "both.embdc"
    both.write_bytes(b"".join(encoded(tmp_path, str(i), array).read_bytes() for i, array in enumerate(arrays)))
    dumps = opened(both)
    for dump, array in zip(dumps, arrays, strict=True):
        (tensor,) = dump.tensors
        assert np.array_equal(tensor.read(0, 20), array)
    for dump in dumps:
        dump.close()


def test_an_input_that_ends_early_is_used_only_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed: list[str] = []
    broken = dump_of(gaussian(9))
    broken.incomplete = "frame 9: data ends"
    broken.close = lambda: closed.append("broken")
    monkeypatch.setattr("embdc_cli.inputs.open_input", lambda *_: broken)
    path = saved(tmp_path / "a.npy", gaussian(9))
    with pytest.raises(SourceError, match="frame 9: data ends"):
        opened(path)
    assert closed == ["broken"]
    assert opened(path, keep_going=True) == [broken]


def test_a_missing_input_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        opened(tmp_path / "none.npy")


def test_archives_and_dumps_train_the_same_codebook(tmp_path: Path) -> None:
    arrays = [gaussian(30, seed=seed) for seed in range(3)]
    dumps = [str(saved(tmp_path / f"{i}.npy", array)) for i, array in enumerate(arrays)]
    archives = [str(encoded(tmp_path, f"a{i}", array)) for i, array in enumerate(arrays)]
    made = [train(inputs, str(tmp_path / f"{i}.embdcb"))["digest"] for i, inputs in enumerate((dumps, archives))]
    assert made[0] == made[1]
    assert file.read(tmp_path / "0.embdcb").channels == CHANNELS


def test_mixed_channels_of_real_files_are_listed(tmp_path: Path) -> None:
    names = [str(saved(tmp_path / f"{d}.npy", gaussian(9, channels=d))) for d in (8, 12)]
    with pytest.raises(UsageError, match=r"8 in .*8\.npy, 12 in .*12\.npy"):
        train(names, str(tmp_path / "c.embdcb"))


def test_options_say_how_inputs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "many.npz"
    np.savez(path, a=gaussian(9), b=gaussian(9, channels=8))
    options = TrainOptions(reading=EncodeOptions(key="b"))
    assert train([str(path)], str(tmp_path / "c.embdcb"), options)["channels"] == 8


def test_decoded_values_teach_a_basis_only(tmp_path: Path) -> None:
    archives = [str(encoded(tmp_path, str(i), gaussian(40, seed=i), target_nmse=0.02)) for i in range(3)]
    result = train(archives, str(tmp_path / "c.embdcb"))
    assert any("lossy archives" in warning for warning in result["warnings"])
    assert file.read(tmp_path / "c.embdcb").tables is None


def test_a_codebook_of_real_embeddings_is_small_and_never_does_harm(tmp_path: Path, shared_data: Path) -> None:
    names = []
    for clip in ("cars", "juggle", "nasa"):
        array = np.load(shared_data / "data" / "embeddings" / f"{clip}__vit-tiny__final.npy", mmap_mode="r")
        names.append(str(saved(tmp_path / f"{clip}.npy", array[::8])))
    result = train(names, str(tmp_path / "c.embdcb"))
    assert result["channels"] == result["rank"] == 192
    assert result["file_bytes"] < 45_000
    assert min(point["gain"] for point in result["heldout"]) > -0.01
