"""Chunks encoded on a device are ordinary chunks: the CPU decodes them to the errors that were measured there."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from embdc_cli import dtypes
from embdc_cli.codec.device.coders import narrowed
from embdc_cli.codec.device.encoder import DeviceEncoder, device_encoder
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.stage import ChunkCodec, ChunkRows, CodedRows, Sides
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.video.options import VideoOptions
from embdc_cli.codec.weighting import Weighting
from embdc_cli.errors import SourceError
from embdc_cli.metrics import ErrorSums
from embdc_cli.parallel import ordered_map
from embdc_cli.tokens import as_tokens
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import rows_of, smooth, spec_of
from tests.codec.device.device_cases import DEVICES
from tests.codec.mixture.mixture_cases import populations
from tests.codec.sparse_cases import sparse_map

on_devices = pytest.mark.parametrize("device", DEVICES)
EDGES = 2e-3
"""Share of codes that may fall on the other side of an edge."""
ROUNDING = 2.0**-22
"""By how much of it a sum of float32 may differ where it is added up in another order."""


def fitted(rows: np.ndarray, spec: StreamSpec, options: FitOptions, relative_step: float = 0.2) -> TransformCodec:
    fit = Fit(spec, [rows], None, options)
    return TransformCodec(spec, fit.models((fit.rms or 1.0) * relative_step))


def encoder_of(codec: ChunkCodec, device: str) -> DeviceEncoder:
    encoder = device_encoder(codec, device)
    assert encoder is not None
    assert encoder.held_bytes
    return encoder


def coded_by(
    encoder: DeviceEncoder, rows: np.ndarray, counts: np.ndarray | None = None, sides: Sides = ()
) -> CodedRows:
    (coded,) = encoder.code([ChunkRows(lambda: rows, rows.size, counts, sides)])
    return coded


def check(codec: TransformCodec, rows: np.ndarray, device: str, counts: np.ndarray | None = None) -> None:
    """A chunk encoded on a device and by the CPU: the same codes but at edges, the errors of what the CPU decodes."""
    encoder, count = encoder_of(codec, device), len(rows) if counts is None else len(counts)
    coded = coded_by(encoder, rows, counts)
    expected = codec.encode(rows, counts)
    decoded, crc = codec.decode(coded.payload, count, counts)
    assert crc == coded.symbol_crc
    pairs = zip(
        codec.codes(coded.payload, count, counts)[0], codec.codes(expected.payload, count, counts)[0], strict=True
    )
    for found, wanted in pairs:
        if found.sides == wanted.sides:
            moved = found.codes.astype(np.int64) - wanted.codes
            assert np.abs(moved).max(initial=0) <= 1
            near_an_edge = float(np.abs(wanted.codes.astype(np.float64)).sum()) * ROUNDING
            assert np.count_nonzero(moved) <= EDGES * moved.size + near_an_edge + 1
    errors = _errors(codec, rows, decoded)
    assert (coded.sums.values, coded.sums.tokens) == (errors.values, errors.tokens)
    rounding = ROUNDING * _norm(codec, rows)
    slack = (2 * np.sqrt(errors.sse) + rounding) * rounding
    assert abs(coded.sums.sse - errors.sse) <= 1e-4 * errors.sse + slack
    assert len(coded.payload) == pytest.approx(len(expected.payload), rel=0.01, abs=2)
    assert abs(errors.sse - _errors(codec, rows, expected.decoded).sse) <= 0.01 * errors.sse + slack
    assert coded.sums.cosine == pytest.approx(errors.cosine, abs=1e-6)
    assert coded_by(encoder, rows, counts, coded.sides).payload == coded.payload
    again = encoder.measure(rows, coded.payload, count, counts)
    assert again.channel_sse.tobytes() == coded.sums.channel_sse.tobytes()
    assert (again.cosine_sum, again.cosine_min) == (coded.sums.cosine_sum, coded.sums.cosine_min)


def _norm(codec: TransformCodec, rows: np.ndarray) -> float:
    """Of all that is finite."""
    x = dtypes.to_float32(rows, codec.spec.dtype).astype(np.float64)
    return float(np.linalg.norm(x[np.isfinite(x)]))


def _errors(codec: TransformCodec, rows: np.ndarray, decoded: np.ndarray) -> ErrorSums:
    sums = ErrorSums(codec.spec.channels)
    sums.add(as_tokens(rows, codec.spec), as_tokens(decoded, codec.spec))
    return sums


@on_devices
@pytest.mark.parametrize("dtype", dtypes.FLOATS)
@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.parametrize(
    "shape",
    [(0, 3, 2), (1, 3, 2), (2, 1, 1), (5,), (9, 2), (1, 40, 8), (63, 4, 3), (65, 7, 12), (17, 2, 3, 4), (3, 0, 4)],
    ids=str,
)
def test_efforts_at_odd_shapes(shape: tuple[int, ...], effort: int, dtype: str, device: str) -> None:
    rows = rows_of("moving", shape, dtype)
    check(fitted(rows, spec_of(shape, dtype), FitOptions(effort=effort)), rows, device)


@on_devices
@pytest.mark.parametrize("rows", [64, 64 + 5])
def test_tracks_of_a_mixture(rows: int, device: str) -> None:
    x = populations((rows, 60, 24), 3, motion=0.05)[0]
    codec = fitted(x, spec_of(x.shape), FitOptions())
    assert any(isinstance(stage, Mixture) and len(stage.modes) > 1 for stage in codec.models.groups[0].chain)
    check(codec, x, device)


@on_devices
@pytest.mark.parametrize("weighting", ["channel", "token"])
@pytest.mark.parametrize("effort", [0, 1])
def test_weighted_errors(weighting: str, effort: int, device: str) -> None:
    rows = smooth((30, 8, 12)) * np.geomspace(1, 40, 12, dtype=np.float32)
    check(fitted(rows, spec_of(rows.shape), FitOptions(effort=effort, weighting=Weighting(weighting))), rows, device)


@on_devices
@pytest.mark.parametrize("kind", ["constant", "zero", "huge", "tiny"])
@pytest.mark.parametrize("dtype", dtypes.FLOATS)
def test_values_of_any_size(kind: str, dtype: str, device: str) -> None:
    rows = rows_of(kind, (20, 3, 5), dtype)
    check(fitted(rows, spec_of(rows.shape, dtype), FitOptions(effort=0)), rows, device)


@on_devices
def test_chunks_that_fit_int16_or_nothing(device: str) -> None:
    """A chunk of large codes after one of small ones, and the other way round.

    No larger than that: the larger they are, the more of them fall on the other side of an edge, as float32 is rounded.
    """
    rows = smooth((16, 4, 6))
    codec = fitted(rows, spec_of(rows.shape), FitOptions(effort=0), 0.02)
    for scale, dtype in ((1, np.int16), (30, np.int16), (200, np.int32), (1, np.int16)):
        chunk = rows * np.float32(scale)
        (coded,), _, _ = codec.codes(codec.encode(chunk).payload, len(chunk))
        assert narrowed(coded.codes).dtype == dtype
        check(codec, chunk, device)


@on_devices
def test_special_tokens_have_a_chain_of_their_own(device: str) -> None:
    rows = smooth((20, 9, 8))
    codec = fitted(rows, spec_of(rows.shape, special_tokens=1), FitOptions(effort=0))
    assert len(codec.models.groups) == 2
    check(codec, rows, device)


@on_devices
def test_channels_on_another_axis(device: str) -> None:
    rows = rows_of("moving", (12, 6, 3, 2), "float16")
    check(fitted(rows, StreamSpec("data", "float16", "t,c,h,w", (6, 3, 2), 12), FitOptions(effort=0)), rows, device)


@on_devices
def test_ragged_rows(device: str) -> None:
    counts = np.array([3, 0, 5, 1])
    rows = rows_of("moving", (9, 6))
    spec = StreamSpec("data", "float32", "t,n,c", (6,), 4, ragged=True)
    fit = Fit(spec, [rows], [counts], FitOptions(effort=0))
    check(TransformCodec(spec, fit.models(fit.rms * 0.2)), rows, device, counts)


@on_devices
@pytest.mark.parametrize("dtype", dtypes.FLOATS)
def test_values_that_are_kept_exactly(dtype: str, device: str) -> None:
    """NaN, infinities and padding come back as they were, and their errors are not counted."""
    rows = rows_of("moving", (20, 5, 8), dtype)
    rows[3, 1, 2:4] = dtypes.from_float32(np.float32([np.nan, -np.inf]), dtype)
    rows[7:9, 3:] = 0
    codec = fitted(rows, spec_of(rows.shape, dtype), FitOptions(effort=0, nonfinite_keep=True, padding=True))
    check(codec, rows, device)
    decoded, _ = codec.decode(coded_by(encoder_of(codec, device), rows).payload, len(rows))
    kept = ~np.isfinite(dtypes.to_float32(rows, dtype))
    kept[7:9, 3:] = True
    assert decoded[kept].tobytes() == rows[kept].tobytes()


@on_devices
@pytest.mark.parametrize("padding", [False, True])
def test_values_that_are_refused_are_named_as_by_the_cpu(padding: bool, device: str) -> None:
    rows = smooth((6, 4, 5))
    codec = fitted(rows, spec_of(rows.shape), FitOptions(effort=0, padding=padding))
    rows[2, 3, 1] = np.inf
    with pytest.raises(SourceError) as expected:
        codec.encode(rows)
    with pytest.raises(SourceError) as found:
        coded_by(encoder_of(codec, device), rows)
    assert str(found.value) == str(expected.value)


@on_devices
@pytest.mark.parametrize("most", [1, 3])
def test_few_chunks_are_on_the_device_at_once(most: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of threads, and of segments; and threads change nothing."""
    monkeypatch.setattr("embdc_cli.codec.device.encoder._AT_ONCE", most)
    monkeypatch.setattr("embdc_cli.codec.device.encoder._seats", {})
    rows = smooth((16, 4, 6))
    there, seen, measure = [0], [0], DeviceEncoder._errors

    def slowly(*arguments: Any) -> Any:
        there[0] += 1
        seen[0] = max(seen[0], there[0])
        time.sleep(0.01)
        there[0] -= 1
        return measure(*arguments)

    monkeypatch.setattr(DeviceEncoder, "_errors", slowly)
    segments = [encoder_of(fitted(rows, spec_of(rows.shape), FitOptions(effort=0)), device) for _ in range(2)]
    chunks = [(segments[at % 2], rows * np.float32(at + 1)) for at in range(8)]
    found = [one.payload for one in ordered_map(lambda chunk: coded_by(*chunk), chunks, 6)]
    assert seen[0] == most
    assert found == [coded_by(*chunk).payload for chunk in chunks]


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        (FitOptions(effort=2), {"TRELLIS", "TRACK_PATHS"}),
        (FitOptions(vector=True), {"VECTOR_QUANTISER", "VECTOR_INDICES"}),
        (FitOptions(video=VideoOptions("h264", rotation="none", inter="off")), {"VIDEO_SAMPLES", "VIDEO_BITSTREAM"}),
        (FitOptions(effort=1), {"STICKY", "TIME_CONTEXT"}),
    ],
    ids=["trellis", "vq", "video", "sparse"],
)
def test_codecs_that_stay_on_the_cpu(options: FitOptions, stages: set[str]) -> None:
    rows = sparse_map((40, 16, 12)) if "STICKY" in stages else populations((32, 40, 24), 3, motion=0.05)[0]
    codec = fitted(rows, spec_of(rows.shape), options)
    assert stages <= {stage.stage.name for stage in codec.models.groups[0].chain}
    assert device_encoder(codec, "cpu") is None
    assert device_encoder(LosslessCodec(codec.spec), "cpu") is None
