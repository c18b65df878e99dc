"""Chunks decoded on a device agree with the CPU within 1/64 of a step: all kinds of streams, and all test vectors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.codec.device.codec import copied, device_codec
from embdc_cli.codec.device.rows import write_rows
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.layout import Layout
from embdc_cli.codec.stage import Encoded
from embdc_cli.codec.table import ChunkKind
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.weighting import Weighting
from embdc_cli.device_decoding import DeviceDecoder
from embdc_cli.errors import EmbdcError
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import rows_of, smooth, spec_of
from tests.codec.device.device_cases import DEVICES, assert_agree, decodes_codes, groups_of
from tests.codec.sparse_cases import sparse_map

VECTORS = sorted((Path(__file__).parents[2] / "conformance" / "vectors").glob("*.embdc"))
on_devices = pytest.mark.parametrize("device", DEVICES)


def as_stored(tensor: torch.Tensor) -> np.ndarray:
    """In storage type of numpy, on the CPU."""
    tensor = tensor.cpu()
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def decoded_on(device: str, codec: TransformCodec, coded: Encoded, rows: int) -> np.ndarray:
    """The rows of a chunk. Raises CorruptArchive for NaN."""
    where = torch.device(device)
    there = device_codec(codec, where)
    taken = there.take(coded.payload, rows, None)
    assert taken.symbol_crc == (None if there.together else coded.symbol_crc)
    assert taken.length == rows
    out = torch.empty((rows, *codec.spec.row_shape), dtype=getattr(torch, codec.spec.dtype), device=where)
    staging = Staging(where)
    (flag,) = there.decode([copied(taken, staging)], [out], staging)
    assert not flag.isnan()
    return as_stored(out)


def fitted(rows: np.ndarray, spec: StreamSpec, relative_step: float, options: FitOptions) -> TransformCodec:
    fit = Fit(spec, [rows], None, options)
    return TransformCodec(spec, fit.models((fit.rms or 1.0) * relative_step))


def close(found: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    """Stored values are the same, or neighbours, as two roundings of nearly the same number are; NaN and infinity are
    exact.
    """
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    x, y = (dtypes.to_float32(one, dtype).astype(np.float64) for one in (found, expected))
    finite = np.isfinite(y)
    assert found[~finite].tobytes() == expected[~finite].tobytes()
    spacing = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-20}[dtype]
    largest = float(np.abs(y[finite]).max(initial=0))
    np.testing.assert_allclose(x[finite], y[finite], rtol=1.01 * spacing, atol=largest * 2.0**-20)


def outcome(ask: Callable[[], np.ndarray]) -> np.ndarray | str:
    """What is returned, or what the error says."""
    try:
        return ask()
    except EmbdcError as error:
        return f"{type(error).__name__}: {error}"


@on_devices
@pytest.mark.parametrize("dtype", dtypes.FLOATS)
@pytest.mark.parametrize("effort", [0, 1, 2])
@pytest.mark.parametrize(
    "shape",
    [(0, 3, 2), (1, 3, 2), (2, 1, 1), (5,), (9, 2), (63, 4, 3), (65, 7, 12), (17, 2, 3, 4), (3, 0, 4), (3, 4, 0)],
    ids=str,
)  # fmt: skip
def test_efforts_at_odd_shapes(shape: tuple[int, ...], effort: int, dtype: str, device: str) -> None:
    rows = rows_of("moving", shape, dtype)
    codec = fitted(rows, spec_of(shape, dtype), 0.2, FitOptions(effort=effort))
    coded = codec.encode(rows)
    assert_agree(groups_of(codec, device, coded.payload, len(rows)))
    close(decoded_on(device, codec, coded, len(rows)), coded.decoded, dtype)


@on_devices
@pytest.mark.parametrize("kind", ["constant", "zero", "sparse", "huge", "tiny"])
@pytest.mark.parametrize("dtype", dtypes.FLOATS)
def test_values_of_any_size(kind: str, dtype: str, device: str) -> None:
    """Those near the ends of their type saturate as on the CPU, and constants are exact."""
    rows = rows_of(kind, (20, 3, 5), dtype)
    codec = fitted(rows, spec_of(rows.shape, dtype), 0.3, FitOptions(effort=1))
    coded = codec.encode(rows)
    found = decoded_on(device, codec, coded, len(rows))
    close(found, coded.decoded, dtype)
    if kind in ("constant", "zero"):
        assert found.tobytes() == rows.tobytes()


@on_devices
@pytest.mark.parametrize("weighting", ["channel", "token"])
@pytest.mark.parametrize("effort", [0, 1])
def test_weighted_errors(weighting: str, effort: int, device: str) -> None:
    rows = smooth((30, 8, 12)) * np.geomspace(1, 40, 12, dtype=np.float32)
    codec = fitted(rows, spec_of(rows.shape), 0.1, FitOptions(effort=effort, weighting=Weighting(weighting)))
    coded = codec.encode(rows)
    assert_agree(groups_of(codec, device, coded.payload, len(rows)))


@on_devices
def test_maps_of_zeros(device: str) -> None:
    rows = sparse_map((40, 16, 12))
    codec = fitted(rows, spec_of(rows.shape), 0.2, FitOptions(effort=1))
    assert any(stage.stage.name == "STICKY" for stage in codec.models.groups[0].chain)
    coded = codec.encode(rows)
    np.testing.assert_array_equal(decoded_on(device, codec, coded, len(rows)), coded.decoded)


@on_devices
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_conformance_vectors(path: Path, device: str) -> None:
    """What the CPU refuses a device refuses in the same words; all else agrees. `tests/conformance` checks the CPU."""
    compare_vector(path, device)


def compare_vector(path: Path, device: str) -> None:
    """Every chunk of an archive. Of codes that are decoded on the device nobody knows the checksum: what is refused for
    that alone comes back, and is compared with what the CPU makes of the same payload.
    """
    beside = path.with_suffix(".embdcb")
    try:
        archive = Archive(str(path), codebooks=[str(beside)] if beside.exists() else [])
    except EmbdcError:
        return
    decoder = DeviceDecoder(device)
    for name in archive.streams:
        view = archive[name]
        for entry in view.stream.entries:
            rows = range(entry.row0, entry.stop)
            expected = outcome(partial(view.numpy, rows))
            found = outcome(partial(lambda *asked: as_stored(decoder.rows(*asked)), archive, view, rows))
            if isinstance(expected, str) and "decoded integers have checksum" in expected:
                ((full, payload),) = archive.reader.fetch([entry])
                codec = archive.codec(view.stream, entry.record.segment, entry.record.kind)
                if decodes_codes(codec, torch.device(device)):
                    expected = codec.decode(payload, entry.record.rows, full.record.token_counts)[0]
            if isinstance(expected, str) or isinstance(found, str):
                assert found == expected
            elif entry.record.kind == ChunkKind.LOSSLESS:
                assert found.tobytes() == expected.tobytes()
            else:
                ((full, payload),) = archive.reader.fetch([entry])
                codec = archive.codec(view.stream, entry.record.segment, entry.record.kind)
                assert isinstance(codec, TransformCodec)
                assert_agree(groups_of(codec, device, payload, entry.record.rows, full.record.token_counts))
                close(found, expected, view.dtype)
    archive.close()


@on_devices
def test_models_of_numbers_too_large_are_told(device: str) -> None:
    """Infinity less infinity is no number, and is said to be corrupt, as by the CPU."""
    layout = Layout(spec_of((2, 3, 4), "float16"), 4)
    where = torch.device(device)
    for value, expected in ((np.inf, 65504.0), (-np.inf, -65504.0), (np.nan, np.nan)):
        group = np.zeros((2, 3, 4), np.float32)
        group[1, 2, 3] = value
        out = torch.zeros((2, 3, 4), dtype=torch.float16, device=where)
        flag = write_rows([torch.from_numpy(group).to(where)], layout, out)
        assert bool(flag.isnan()) == np.isnan(value)
        assert out[1, 2, 3].item() == pytest.approx(expected, nan_ok=True)
