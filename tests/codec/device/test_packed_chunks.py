"""Chunks that are packed on a device are those whose codes the CPU packs, byte for byte, in batches of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.codec.device import packing
from embdc_cli.codec.device.encoder import DeviceEncoder, device_encoder
from embdc_cli.codec.device.packing import ByCpu
from embdc_cli.codec.stage import ChunkRows
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.errors import SourceError
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import rows_of, smooth, spec_of
from tests.codec.device.packing_cases import packed_there
from tests.codec.device.test_encoder import fitted
from tests.codec.mixture.mixture_cases import populations
from tests.entropy.device_cases import DEVICES

__all__ = ["packed_there"]
on_devices = pytest.mark.parametrize("device", DEVICES)


def encoder_of(codec: TransformCodec, device: str) -> DeviceEncoder:
    encoder = device_encoder(codec, device)
    assert encoder is not None
    return encoder


def given(rows: np.ndarray, counts: np.ndarray | None = None) -> ChunkRows:
    return ChunkRows(lambda: rows, rows.size, counts)


def check(
    codec: TransformCodec, chunks: Sequence[ChunkRows], device: str, monkeypatch: pytest.MonkeyPatch
) -> DeviceEncoder:
    """All chunks at once against one after the other, packed by the CPU."""
    with monkeypatch.context() as patch:
        patch.setattr(packing, "kernels_on", lambda _: None)
        by_cpu = encoder_of(codec, device)
        assert by_cpu.at_once(1) == 1
        expected = [one for chunk in chunks for one in by_cpu.code([chunk])]
    with monkeypatch.context() as patch:
        patch.setattr(ByCpu, "packed", None)
        encoder = encoder_of(codec, device)
        found = encoder.code(chunks)
    for one, other in zip(found, expected, strict=True):
        assert (one.payload, one.symbol_crc, one.sides) == (other.payload, other.symbol_crc, other.sides)
        assert one.sums.channel_sse.tobytes() == other.sums.channel_sse.tobytes()
        assert (one.sums.cosine_sum, one.sums.cosine_min) == (other.sums.cosine_sum, other.sums.cosine_min)
    return encoder


@on_devices
@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.parametrize("shape", [(9, 3, 2), (2, 1, 1), (5,), (17, 2, 3, 4), (3, 0, 4)], ids=str)
@pytest.mark.usefixtures("packed_there")
def test_efforts_at_odd_shapes(
    shape: tuple[int, ...], effort: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of("moving", shape, "float16")
    codec = fitted(rows, spec_of(shape, "float16"), FitOptions(effort=effort))
    check(codec, [given(rows), given(rows[:0]), given(rows[:1]), given(rows * np.float16(30))], device, monkeypatch)


@on_devices
@pytest.mark.usefixtures("packed_there")
def test_tracks_of_a_mixture(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = populations((24, 30, 12), 3, motion=0.05)[0]
    codec = fitted(x, spec_of(x.shape), FitOptions())
    assert any(isinstance(stage, Mixture) and len(stage.modes) > 1 for stage in codec.models.groups[0].chain)
    check(codec, [given(x), given(x[3:8])], device, monkeypatch)


@on_devices
@pytest.mark.usefixtures("packed_there")
def test_token_groups_weights_and_values_that_are_kept(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = smooth((12, 5, 6))
    rows[3, 1, 2:4] = np.nan, -np.inf
    rows[7:9, 3:] = 0
    options = FitOptions(effort=0, nonfinite_keep=True, padding=True)
    codec = fitted(rows, spec_of(rows.shape, special_tokens=1), options)
    assert len(codec.models.groups) == 2
    check(codec, [given(rows), given(rows[:4])], device, monkeypatch)


@on_devices
@pytest.mark.usefixtures("packed_there")
def test_ragged_rows(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([3, 0, 5, 1])
    rows = rows_of("moving", (9, 6))
    spec = StreamSpec("data", "float32", "t,n,c", (6,), 4, ragged=True)
    fit = Fit(spec, [rows], [counts], FitOptions(effort=0))
    codec = TransformCodec(spec, fit.models(fit.rms * 0.2))
    check(codec, [given(rows, counts), given(rows[3:8], counts[1:3])], device, monkeypatch)


@on_devices
@pytest.mark.parametrize("name", ["juggle__vit-tiny__final", "cars__mobilenetv2__map"])
@pytest.mark.usefixtures("packed_there")
def test_real_embeddings(name: str, device: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.load(shared_data / "data" / "embeddings" / f"{name}.npy", mmap_mode="r")
    rows = np.ascontiguousarray(rows[:16, ..., :3, :32] if rows.ndim == 3 else rows[:16, :32, :2, :2])
    for effort in (0, 1):
        codec = fitted(rows, spec_of(rows.shape, str(rows.dtype)), FitOptions(effort=effort), 0.5)
        check(codec, [given(rows), given(rows[:5])], device, monkeypatch)


@on_devices
@pytest.mark.usefixtures("packed_there")
def test_a_batch_keeps_within_the_budget(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is given at once; a chunk that is larger is a batch by itself."""
    rows = smooth((4, 3, 4))
    codec = fitted(rows, spec_of(rows.shape), FitOptions(effort=0))
    encoder = encoder_of(codec, device)
    rank = codec.models.groups[0].chain.links[1].shape((1, 3, 4), b"")[2]
    a_chunk = packing.BYTES_PER_CODE * 4 * 3 * rank + packing.BYTES_PER_CHUNK
    seen: list[int] = []
    coded = DeviceEncoder._coded

    def counted(self: DeviceEncoder, chunks: Sequence[ChunkRows]) -> Any:
        seen.append(len(chunks))
        return coded(self, chunks)

    monkeypatch.setattr(DeviceEncoder, "_coded", counted)
    chunks = [given(rows * np.float32(scale)) for scale in (1, 2, 3)]
    expected = encoder.code(chunks)
    assert seen == [3]
    for most, batches in ((3 * a_chunk, [3]), (3 * a_chunk - 1, [2, 1]), (1, [1, 1, 1])):
        encoder.budget_bytes = 4 * most
        seen.clear()
        assert encoder.at_once(rows.size) == max(batches)
        assert [one.payload for one in encoder.code(chunks)] == [one.payload for one in expected]
        assert seen == batches


@on_devices
@pytest.mark.usefixtures("packed_there")
def test_the_first_chunk_that_is_refused_is_named(device: str) -> None:
    rows = smooth((6, 4, 5))
    codec = fitted(rows, spec_of(rows.shape), FitOptions(effort=0))
    bad = [rows.copy() for _ in range(2)]
    bad[0][2, 3, 1] = np.inf
    bad[1][0, 0, 0] = np.nan
    with pytest.raises(SourceError) as expected:
        codec.encode(bad[0])
    with pytest.raises(SourceError) as found:
        encoder_of(codec, device).code([given(one) for one in (rows, *bad)])
    assert str(found.value) == str(expected.value)
