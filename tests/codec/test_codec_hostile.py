"""Bytes that no encoder wrote: models and chunks either decode or are an EmbdcError, and allocate within bounds."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.stage import ChunkCodec
from embdc_cli.codec.table import VERSIONS, ChunkKind, StageId, codec_for
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.video.levels import Levels
from embdc_cli.codec.video.samples import VideoSamples
from embdc_cli.codec.video.stream import Coding
from embdc_cli.codec.weighting import Weighting
from embdc_cli.errors import CorruptArchive, EmbdcError, MissingModel, UnsupportedArchive
from tests.codec.codec_cases import LIMITS, smooth, spec_of

ROWS = smooth((20, 6, 8)).astype(np.float16)
SPEC = spec_of(ROWS.shape, "float16", special_tokens=1)
KEPT = ROWS.copy()
KEPT[3, 2] = np.nan


def missing(digest: bytes) -> None:
    raise MissingModel(f"codebook {digest.hex()}: not here")


def transform_case(options: FitOptions, step: float) -> tuple[bytes, bytes, TransformCodec]:
    rows = KEPT if options.nonfinite_keep else ROWS
    models = Fit(SPEC, [rows], None, options).models(step)
    codec = TransformCodec(SPEC, models, LIMITS)
    return models.to_bytes(), codec.encode(rows).payload, codec


CASES = [
    transform_case(FitOptions(), 0.1),
    transform_case(FitOptions(nonfinite_keep=True, weighting=Weighting("token")), 0.5),
    transform_case(FitOptions(weighting=Weighting("matrix", np.eye(8)[:3] + 0.1)), 0.05),
    transform_case(FitOptions(weighting=Weighting("channel")), 5.0),
]
LOSSLESS = LosslessCodec(SPEC, LIMITS)
LOSSLESS_PAYLOADS = [LOSSLESS.encode(rows).payload for rows in (ROWS, np.zeros_like(ROWS), np.cumsum(ROWS, axis=0))]


def damage(data: st.DataObject, good: bytes) -> bytes:
    """`good` with some bytes changed, cut, or put in; or bytes from nowhere."""
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "random"]))
    if kind == "random":
        return data.draw(st.binary(max_size=200))
    at = data.draw(st.integers(0, len(good) - 1))
    if kind == "cut":
        return good[:at]
    if kind == "insert":
        return good[:at] + data.draw(st.binary(max_size=10)) + good[at:]
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed)


def decode_or_refuse(codec: ChunkCodec, payload: bytes) -> None:
    try:
        values, _ = codec.decode(payload, len(ROWS))
    except EmbdcError:
        return
    assert values.shape == ROWS.shape
    assert values.dtype == ROWS.dtype


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_models_are_refused_or_decode(data: st.DataObject) -> None:
    models, payload, _ = data.draw(st.sampled_from(CASES))
    try:
        codec = codec_for(ChunkKind.TRANSFORM, SPEC, damage(data, models), LIMITS, missing)
    except EmbdcError:
        return
    decode_or_refuse(codec, payload)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_chunks_are_refused_or_decode(data: st.DataObject) -> None:
    _, payload, codec = data.draw(st.sampled_from(CASES))
    decode_or_refuse(codec, damage(data, payload))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_lossless_chunks_are_refused_or_decode(data: st.DataObject) -> None:
    decode_or_refuse(LOSSLESS, damage(data, data.draw(st.sampled_from(LOSSLESS_PAYLOADS))))


@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_prefix_is_corrupt(case: int) -> None:
    models, payload, codec = CASES[case]
    for end in range(0, len(models), 3):
        with pytest.raises(CorruptArchive):
            codec_for(ChunkKind.TRANSFORM, SPEC, models[:end], LIMITS, missing)
    for end in range(0, len(payload), 7):
        with pytest.raises(CorruptArchive):
            codec.decode(payload[:end], len(ROWS))
    with pytest.raises(CorruptArchive):
        codec_for(ChunkKind.TRANSFORM, SPEC, models + b"\0", LIMITS, missing)
    with pytest.raises(CorruptArchive):
        codec.decode(payload + b"\0", len(ROWS))


@pytest.mark.parametrize("rows", [0, 1, 19, 21, 1000, -1])
def test_another_number_of_rows_is_corrupt(rows: int) -> None:
    for _, payload, codec in CASES[:3]:  # the last has no codes at all
        with pytest.raises(CorruptArchive):
            codec.decode(payload, rows)
    for payload in (LOSSLESS_PAYLOADS[0], LOSSLESS_PAYLOADS[2]):
        with pytest.raises(CorruptArchive):
            LOSSLESS.decode(payload, rows)


def test_rows_beyond_the_limits_allocate_nothing() -> None:
    _, payload, codec = CASES[0]
    tracemalloc.start()
    for decoder, data in ((codec, payload), (LOSSLESS, LOSSLESS_PAYLOADS[1])):
        with pytest.raises(CorruptArchive, match="more than the header allows"):
            decoder.decode(data, 1 << 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (dataclasses.replace(LIMITS, max_rank=2), "at most 2"),
        (dataclasses.replace(LIMITS, max_group=1), "at most 1"),
    ],
)
def test_models_beyond_the_limits_are_refused(limits: object, what: str) -> None:
    with pytest.raises(CorruptArchive, match=what):
        codec_for(ChunkKind.TRANSFORM, SPEC, CASES[0][0], limits, missing)


def test_unknown_stages_and_versions_name_themselves() -> None:
    for stage_id, version, words in (
        (77, 3, "id 77 version 3 is unknown"),
        (int(StageId.PLANES), VERSIONS[StageId.PLANES] + 1, r"planes: id 128 version \d+, expected at most"),
        (int(StageId.PLANES), 0, "planes: id 128 version 0"),
    ):
        out = FieldWriter()
        out.byte(1)
        out.varint(stage_id)
        out.varint(version)
        with pytest.raises(UnsupportedArchive, match=words):
            TransformModels.from_bytes(out.bytes(), SPEC, LIMITS, missing)


def test_unknown_kinds_and_methods_need_a_newer_reader() -> None:
    with pytest.raises(UnsupportedArchive, match="chunk kind 9"):
        codec_for(9, SPEC, b"", LIMITS, missing)
    with pytest.raises(UnsupportedArchive, match="lossless method 200"):
        LOSSLESS.decode(b"\xc8", 1)


def test_tokens_without_channels_are_few() -> None:
    """Any number of them would fit into no bytes."""
    empty = spec_of((4, 3, 0), "float16")
    models = Fit(empty, [np.zeros((4, 3, 0), np.float16)], None, FitOptions()).models(1.0).to_bytes()
    many = spec_of((4, 1 << 31, 0), "float16")
    with pytest.raises(CorruptArchive, match="channels of so many tokens"):
        codec_for(ChunkKind.TRANSFORM, many, models, LIMITS, missing).decode(b"", 4)


def test_every_frame_of_a_video_takes_a_byte() -> None:
    """A mosaic of one token is a frame of 64 x 64 samples for every row."""
    levels = Levels(8, np.zeros(1, np.int32), np.zeros(1, np.int32))
    samples = VideoSamples(Coding("h264", 20, inter=False, effort=0), 1.0, 1, levels)
    with pytest.raises(CorruptArchive, match="1048576 frames in 100 bytes"):
        samples.decoded(bytes(100), (1 << 20, 1, 1))


def test_a_lossless_stage_is_no_transform_stage() -> None:
    out = FieldWriter()
    out.byte(1)
    out.varint(StageId.ROW_DELTA)
    out.varint(1)
    with pytest.raises(CorruptArchive, match="row_delta is none of the transform"):
        TransformModels.from_bytes(out.bytes(), SPEC, LIMITS, missing)


def test_wide_noise_in_lossless_is_no_bomb() -> None:
    """A frame that would inflate to more than the chunk has is refused while it is still small."""
    import zstandard

    bomb = bytes([1]) + zstandard.ZstdCompressor().compress(bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(CorruptArchive):
        LOSSLESS.decode(bomb, len(ROWS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_values_of_another_kind_in_the_models_are_no_crash() -> None:
    """Models of one stream do not decode another whose shape differs."""
    other = spec_of((20, 6, 9), "float16")
    with pytest.raises(EmbdcError):
        codec_for(ChunkKind.TRANSFORM, other, CASES[0][0], LIMITS, missing).decode(CASES[0][1], 20)
