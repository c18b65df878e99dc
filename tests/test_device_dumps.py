"""`decode --device`: dumps of rows that a device has decoded; torch on the CPU stands for it, or a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli import device_decoding
from embdc_cli.archive import Archive
from embdc_cli.cli.app import main
from embdc_cli.codec.device import codec as device_codec
from embdc_cli.device_decoding import DeviceDecoder
from tests.codec.device.device_cases import DEVICES
from tests.synthetic import embeddings
from tests.test_device_decoding import ROWS, near, on, path

__all__ = ["path"]
on_devices = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture
def decoded_there(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of every batch that a device decodes, how many chunks it has."""
    found: list[int] = []
    original = DeviceDecoder._decoded

    def counted(self: DeviceDecoder, batch: Any, targets: Any) -> Any:
        found.append(len(batch))
        return original(self, batch, targets)

    monkeypatch.setattr(DeviceDecoder, "_decoded", counted)
    return found


def damaged(path: str, folder: Path, *chunks: int) -> str:
    """A copy of an archive in which these chunks are broken."""
    with embdc.open(path) as archive:
        entries = [archive["data"].stream.entries[number] for number in chunks]
    data = bytearray(Path(path).read_bytes())
    for entry in entries:
        data[entry.offset + entry.length // 2] ^= 4
    (folder / "damaged.embdc").write_bytes(data)
    return str(folder / "damaged.embdc")


@on_devices
@pytest.mark.parametrize("frames", [None, "3:30", "1::4", "9:10", "5:5"])
def test_dumps_have_the_bits_of_slices(
    path: str,
    frames: str | None,
    device: str,
    tmp_path: Path,
    decoded_there: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And are those of the CPU but for the last bit."""
    word = on(device, monkeypatch)
    ends = (None,) if frames is None else tuple(int(end) if end else None for end in frames.split(":"))
    embdc.decode(path, tmp_path / "a.npy", device=word, frames=frames)
    assert bool(decoded_there) == (frames != "5:5")
    found = torch.from_numpy(np.load(tmp_path / "a.npy"))
    with embdc.open(path, device=word) as archive:
        assert torch.equal(found, archive["data"][slice(*ends)].cpu())
    assert near(found, embdc.open(path)["data"][slice(*ends)])


@on_devices
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_types(
    dtype: str, device: str, tmp_path: Path, decoded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.from_numpy(embeddings(20).astype(np.float32)).to(getattr(torch, dtype))
    embdc.encode(x, tmp_path / "a.embdc", target_nmse=0.05)
    embdc.decode(tmp_path / "a.embdc", tmp_path / "a.pt", device=on(device, monkeypatch))
    embdc.decode(tmp_path / "a.embdc", tmp_path / "a.npy", device=on(device, monkeypatch), dtype="f32")
    found = torch.load(tmp_path / "a.pt")
    expected = embdc.open(tmp_path / "a.embdc")["data"][:]
    assert found.dtype == x.dtype
    assert torch.allclose(found.float(), expected.float(), rtol=2.0**-7, atol=1e-3)
    assert torch.equal(torch.from_numpy(np.load(tmp_path / "a.npy")), found.float())
    assert decoded_there


@on_devices
def test_all_kinds_of_streams(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the CPU alone decodes goes through there as well."""
    rng = np.random.default_rng(0)
    tensors = {
        "x": embeddings(20),
        "count": np.arange(20, dtype=np.int64),
        "flag": rng.random(20) < 0.5,
    }
    embdc.encode(tensors, tmp_path / "a.embdc", chunk_frames=8, target_nmse=0.05)
    embdc.encode(np.split(embeddings(1, 40, 6)[0], 10), tmp_path / "r.embdc", chunk_frames=4, target_nmse=0.05)
    embdc.encode(embeddings(20), tmp_path / "v.embdc", chunk_frames=8, codec="vq")
    for name in "arv":
        for place, word in (("cpu", "cpu"), ("there", on(device, monkeypatch))):
            embdc.decode(tmp_path / f"{name}.embdc", tmp_path / f"{name}-{place}.npz", device=word)
        with np.load(tmp_path / f"{name}-cpu.npz") as expected, np.load(tmp_path / f"{name}-there.npz") as found:
            assert list(found) == list(expected)
            for key in expected:
                assert found[key].dtype == expected[key].dtype
                np.testing.assert_allclose(found[key], expected[key], rtol=2.0**-9, atol=1e-3)


@on_devices
def test_batches_are_as_large_as_the_budget_allows(
    path: str, device: str, tmp_path: Path, decoded_there: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the rows the same."""
    monkeypatch.setattr(device_codec.OnDevice, "together", True)
    word = on(device, monkeypatch)
    embdc.decode(path, tmp_path / "a.npy", device=word)
    monkeypatch.setattr(device_decoding, "_BATCHES_OF_CHUNKS", 1 << 40)
    embdc.decode(path, tmp_path / "b.npy", device=word)
    assert decoded_there == [6, 1, 1, 1, 1, 1, 1]
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@on_devices
@pytest.mark.parametrize("on_damage", ["skip", "nan"])
@pytest.mark.parametrize("chunks", [(0,), (2, 3), (1, 5)], ids=str)
def test_damage_costs_what_it_costs_on_the_cpu(
    path: str, chunks: tuple[int, ...], on_damage: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = damaged(path, tmp_path, *chunks)
    told = [
        embdc.decode(broken, tmp_path / f"{place}.npy", device=word, on_damage=on_damage, frames="1::2")
        for place, word in (("cpu", "cpu"), ("there", on(device, monkeypatch)))
    ]
    assert told[0]["exit"] == told[1]["exit"] == 3
    assert len(told[0]["lost"]) == len(chunks)
    own = ("output", "io")  # a device keeps what it decoded apart from the cache of the host
    first, second = ({name: one for name, one in document.items() if name not in own} for document in told)
    assert first == second
    expected, found = (np.load(tmp_path / f"{place}.npy") for place in ("cpu", "there"))
    np.testing.assert_allclose(found, expected, rtol=2.0**-9, atol=1e-3)
    assert np.isnan(found).any() == (on_damage == "nan")


@on_devices
def test_damage_fails_as_on_the_cpu(path: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, told = damaged(path, tmp_path, 2, 4), []
    for word in ("cpu", on(device, monkeypatch)):
        with pytest.raises(embdc.CorruptArchive) as error:
            embdc.decode(broken, tmp_path / "a.npy", device=word)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert not (tmp_path / "a.npy").exists()


@on_devices
def test_what_only_the_device_finds_corrupt(
    path: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = device_codec.write_rows, []

    def second_is_not(*given: Any) -> torch.Tensor:
        calls.append(1)
        return original(*given) * (float("nan") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(device_codec, "write_rows", second_is_not)
    told = embdc.decode(path, tmp_path / "a.npy", device=on(device, monkeypatch), on_damage="nan")
    ((start, stop),) = [one["rows"] for one in told["lost"]]
    assert (start % 8, stop) == (0, min(start + 8, ROWS))
    is_lost = np.isnan(np.load(tmp_path / "a.npy")).all(axis=(1, 2))
    assert is_lost.tolist() == [start <= row < stop for row in range(ROWS)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_status_9(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", path, "-o", str(tmp_path / "a.npy"), "--device", "cuda:1"]) == 9
    out, words = capsys.readouterr()
    assert out == ""
    assert words.splitlines()[0].endswith("--device cuda:1: not here, 0 CUDA devices found")
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize(
    ("word", "worth_bytes", "why_not", "decodes"),
    [
        ("auto", 1, None, "cuda"),
        ("auto", 1, "there is none", "cpu"),
        ("auto", 1 << 30, None, "cpu"),
        ("cpu", 1, None, "cpu"),
    ],
)
def test_auto_is_a_device_for_large_archives(
    word: str, worth_bytes: int, why_not: str | None, decodes: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the slice, so that all slices have the same bits."""
    monkeypatch.setattr("embdc_cli.archive._WORTH_BYTES", worth_bytes)
    monkeypatch.setattr("embdc_cli.entropy.cuda.why_not", lambda device: why_not)
    made: list[str] = []

    class Decoder:
        def __init__(self, device: str) -> None:
            made.append(device)

    monkeypatch.setattr(device_decoding, "DeviceDecoder", Decoder)
    archive = Archive(path, device=word)
    assert (archive.device_decoder is not None) == (decodes == "cuda")
    assert made == ["cuda"] * (decodes == "cuda")
