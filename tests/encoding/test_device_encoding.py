"""Whole archives encoded on a device: torch on the CPU stands for it, and a GPU where there is one.

They are ordinary archives: the CPU reads them, finds the errors that they say, and the integers that they sum up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.codec.device.encoder import DeviceEncoder
from embdc_cli.codec.transform.codec import TransformCodec
from tests.codec.device.device_cases import DEVICES
from tests.codec.mixture.mixture_cases import populations
from tests.encoding.test_same_bytes import interrupt_at
from tests.synthetic import embeddings, errors

on_devices = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture
def coded_there(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by an entry for every chunk that is encoded on a device."""
    found: list[int] = []
    code = DeviceEncoder.code

    def counted(self: DeviceEncoder, *arguments: Any) -> Any:
        found.append(1)
        return code(self, *arguments)

    monkeypatch.setattr(DeviceEncoder, "code", counted)
    return found


def on(device: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The option for encoding by torch on `device`."""
    if device == "cpu":  # no word of --device, so that torch is used
        monkeypatch.setattr("embdc_cli.encoding.planning.computing_device", lambda _: "cpu:0")
    return device


def decoded(path: Path) -> np.ndarray:
    with embdc.open(str(path)) as archive:
        return archive["data"].numpy(range(len(archive["data"])))


@on_devices
@pytest.mark.parametrize(
    "options",
    [
        {"target_nmse": 0.05, "effort": 0},
        {"target_nmse": 0.05, "effort": 1},
        {"target_cosine": 0.97, "effort": 0},
        {"target_bpv": 1.0, "effort": 1},
        {"target_nmse": 0.02, "effort": 0, "weighting": "token"},
        {"target_nmse": 0.05, "effort": 0, "one_pass": True},
        {"target_nmse": 0.05, "effort": 0, "jobs": 3},
    ],
    ids=str,
)
def test_archives_are_read_by_the_cpu(
    options: dict[str, Any], device: str, tmp_path: Path, coded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets hold from the good side, and reported is the error of what the CPU decodes."""
    x = populations((70, 40, 24), 3, motion=0.05)[0].astype(np.float16)
    path = tmp_path / "a.embdc"
    expected = embdc.encode(x, str(path), chunk_frames=32, device="cpu", **options)
    assert not coded_there
    result = embdc.encode(x, str(path), chunk_frames=32, device=on(device, monkeypatch), force=True, **options)
    assert len(coded_there) >= 3
    assert embdc.verify(str(path), deep=True)["ok"]
    found = errors(x, decoded(path))
    for key in ("nmse", "channel_nmse", "cosine"):
        assert result["achieved"][key] == pytest.approx(found[key], rel=1e-4)
    target = result["target"]
    reached = result["bits_per_value"] if target["kind"] == "bpv" else found[target["kind"]]
    assert reached >= target["value"] if target["kind"] == "cosine" else reached <= target["value"]
    assert result["file_bytes"] == pytest.approx(expected["file_bytes"], rel=0.02)


@on_devices
def test_bytes_are_the_same_whatever_the_jobs_and_after_a_stop(
    device: str, tmp_path: Path, coded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"target_nmse": 0.05, "chunk_frames": 8, "device": on(device, monkeypatch)}
    x, path = embeddings(100), tmp_path / "a.embdc"
    embdc.encode(x, str(path), **options)
    whole = path.read_bytes()
    embdc.encode(x, str(path), force=True, jobs=3, **options)
    assert path.read_bytes() == whole
    with monkeypatch.context() as patched:
        interrupt_at(patched, len(whole) * 2 // 3)
        with pytest.raises(embdc.Stopped):
            embdc.encode(x, str(path), force=True, **options)
    kept: list[int] = []
    measure = DeviceEncoder.measure

    def counted(self: DeviceEncoder, *arguments: Any) -> Any:
        kept.append(1)
        return measure(self, *arguments)

    monkeypatch.setattr(DeviceEncoder, "measure", counted)
    coded_there.clear()
    embdc.encode(x, str(path), force=True, resume=True, **options)
    assert path.read_bytes() == whole
    assert kept  # by the CPU sums would differ in their last bits
    assert len(kept) + len(coded_there) == 13


@on_devices
@pytest.mark.parametrize("options", [{"effort": 2}, {"codec": "vq"}, {"codec": "h264"}], ids=str)
def test_what_has_no_way_on_a_device_is_as_on_the_cpu(
    options: dict[str, Any], device: str, tmp_path: Path, coded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = embeddings(24, 9, 8)
    paths = [tmp_path / name for name in ("cpu.embdc", "device.embdc")]
    embdc.encode(x, str(paths[0]), target_nmse=0.1, device="cpu", **options)
    embdc.encode(x, str(paths[1]), target_nmse=0.1, device=on(device, monkeypatch), **options)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert not coded_there


@on_devices
def test_nothing_but_a_named_device_is_used(
    device: str, tmp_path: Path, coded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` and `cpu` are numpy, also where there is a device."""
    encode = TransformCodec.encode
    monkeypatch.setattr(
        TransformCodec, "encode", lambda self, *given: (coded_there.append(-1), encode(self, *given))[1]
    )
    for word in ("auto", "cpu"):
        embdc.encode(embeddings(9), str(tmp_path / f"{word}.embdc"), target_nmse=0.05, device=word)
    assert set(coded_there) == {-1}
    coded_there.clear()
    embdc.encode(embeddings(9), str(tmp_path / "a.embdc"), target_nmse=0.05, device=on(device, monkeypatch))
    assert set(coded_there) == {1}


@on_devices
def test_what_is_lost_goes_into_the_next_one(
    device: str, tmp_path: Path, coded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Error feedback: the residual is that of what the archive decodes to."""
    x, path, lost = embeddings(30), tmp_path / "a.embdc", tmp_path / "lost.npy"
    embdc.encode(x, str(path), target_bpv=1, device=on(device, monkeypatch), residual_out=str(lost))
    assert coded_there
    np.testing.assert_array_equal(np.load(lost), x.astype(np.float32) - decoded(path).astype(np.float32))


@on_devices
def test_nan_and_padding(device: str, tmp_path: Path, coded_there: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    x, path = embeddings(40), tmp_path / "a.embdc"
    x[5, 3, 2] = np.nan
    x[20:, 9:] = 0
    result = embdc.encode(x, str(path), target_nmse=0.05, nonfinite="keep", device=on(device, monkeypatch))
    assert coded_there
    assert embdc.verify(str(path), deep=True)["ok"]
    found = decoded(path)
    assert found[20:, 9:].tobytes() == x[20:, 9:].tobytes()
    assert found[5, 3, 2].tobytes() == x[5, 3, 2].tobytes()
    lost = np.nansum((x.astype(np.float64) - found) ** 2)
    energy = np.nansum((x - np.nanmean(x.astype(np.float64), axis=(0, 1))) ** 2)
    assert 0.04 < result["achieved"]["nmse"] == pytest.approx(lost / energy, rel=1e-4)
