"""Every stage by itself: what `inverse` gives back within the stated error, and its parameters through bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.lossless.bit_pattern import BitPattern
from embdc_cli.codec.lossless.byte_planes import BytePlanes
from embdc_cli.codec.lossless.channel_major import ChannelMajor
from embdc_cli.codec.lossless.row_delta import RowDelta
from embdc_cli.codec.lossless.stored import Stored
from embdc_cli.codec.lossless.zstandard_planes import ZstandardPlanes
from embdc_cli.codec.stage import ArrayStage, Coder, CodeStage, Quantiser
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.dead_zone import OFFSET_UNIT, THETA, DeadZone
from embdc_cli.codec.transform.free_klt import FreeKlt
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.parameters import Scope, SegmentStage
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.entropy.tables import static_tables
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import LIMITS, rows_of

D = 6
SHAPES = [(0, 3, D), (1, 1, D), (2, 3, D), (63, 2, D), (65, 1, D), (16, 5, D), (129, 1, D)]


def normalise(*, scaled: bool = False, constant: bool = False) -> Normalise:
    mean = np.linspace(-3, 3, D)
    codes = np.arange(D, dtype=np.int32) - 2 if scaled else None
    fixed = np.arange(D) == 4 if constant else np.zeros(D, bool)
    values = np.full(D, 0.7, np.float32)
    return Normalise.fit(mean, 0.01, scale_codes=codes, constant=fixed, values=values, centre=None)


def orthonormal(rank: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0][:rank]


def planes(group: int) -> Planes:
    bands = (group - 1).bit_length() + 1
    classes = np.random.default_rng(group).integers(0, 30, (bands, D)).astype(np.uint8)
    return Planes(group, classes, static_tables())


EXACT = 1e-5  # float32 products of order 10
ARRAY_STAGES: dict[str, tuple[Callable[[], ArrayStage], float]] = {
    "identity": (Identity, 0.0),
    "normalise": (normalise, EXACT),
    "normalise scaled": (lambda: normalise(scaled=True), EXACT),
    "token scale": (TokenScale, EXACT),
    "dct 8": (lambda: TimeDct(8), EXACT),
    "dct 64": (lambda: TimeDct(64), EXACT),
    "full klt": (lambda: ReflectedKlt.fit(orthonormal(D), np.full(D, -8)), EXACT),
    "full free klt": (lambda: FreeKlt.fit(orthonormal(D), np.full(D, -12), None), 2e-3),
}
SEGMENT_STAGES: dict[str, Callable[[], SegmentStage]] = {
    **{name: make for name, (make, _) in ARRAY_STAGES.items() if isinstance(make(), SegmentStage)},  # type: ignore[misc]  # checked by the filter
    "normalise constant": lambda: normalise(constant=True),
    "rank 3 klt": lambda: ReflectedKlt.fit(orthonormal(3), np.array([-9, -5, -2])),
    "rank 0 klt": lambda: ReflectedKlt.fit(orthonormal(0), np.zeros(0, np.int64)),
    "rank 2 free klt": lambda: FreeKlt.fit(orthonormal(2), np.array([-9, -5]), None),
    "dead zone": lambda: DeadZone(0.125, (-5, 0, 64)),
    "planes 1": lambda: planes(1),
    "planes 64": lambda: planes(64),
}
CODE_STAGES: dict[str, Callable[[], CodeStage]] = {
    "delta of floats": lambda: RowDelta(True),
    "delta of integers": lambda: RowDelta(False),
    "channel major": ChannelMajor,
    "byte planes": lambda: BytePlanes(4),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ARRAY_STAGES)
def test_array_stage_comes_back(name: str, shape: tuple[int, int, int]) -> None:
    make, bound = ARRAY_STAGES[name]
    stage = make()
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32) * 3
    before = x.tobytes()
    side = stage.measure(x)
    y = stage.forward(x, side)
    assert y.shape == stage.shape(shape, b"")
    assert y.dtype == np.float32
    assert np.abs(stage.inverse(y, side) - x).max(initial=0) <= bound
    assert x.tobytes() == before


@pytest.mark.parametrize("step", [0.01, 0.5, 4.0])
@pytest.mark.parametrize("offsets", [(0, 0, 0), (-16, 10, 30)])
def test_dead_zone_keeps_its_bound(step: float, offsets: tuple[int, int, int]) -> None:
    x = (np.random.default_rng(3).normal(size=(40, 3, D)) * 5).astype(np.float32)
    stage = DeadZone(step, offsets)
    codes = stage.forward(x, b"")
    np.testing.assert_array_equal(codes, np.sign(x) * np.floor(np.abs(x / np.float32(step)) + THETA))
    bound = step * (1 - THETA + max(map(abs, offsets)) * OFFSET_UNIT) * (1 + 1e-5)
    assert np.abs(stage.inverse(codes, b"") - x).max() <= bound


def test_dead_zone_points_are_levels_and_offsets() -> None:
    codes = np.array([0, 1, 2, 3, 4, 100, -1, -2, -3, -100], np.int32)
    shifts = np.array([0, 64, 32, -16, -16, -16, 64, 32, -16, -16]) * OFFSET_UNIT
    expected = np.sign(codes) * (np.abs(codes) + shifts) * 0.5
    np.testing.assert_allclose(DeadZone(0.5, (64, 32, -16)).inverse(codes, b""), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_dead_zone_points_do_not_depend_on_what_else_is_decoded(scale: float) -> None:
    stage = DeadZone(0.3, (-7, 3, 9))
    codes = (np.random.default_rng(4).normal(size=(9, 2, 5)) * scale).astype(np.int32)
    together = stage.inverse(codes, b"")
    apart = np.stack([stage.inverse(row, b"") for row in codes])
    assert together.tobytes() == apart.tobytes()


def test_dead_zone_limits_what_no_integer_holds() -> None:
    stage = DeadZone(1e-6, (0, 0, 0))
    codes = stage.forward(np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, 0.0], np.float32), b"")
    assert codes.tolist() == [2**30, -(2**30), 0, 2**30, -(2**30), 0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CODE_STAGES)
def test_code_stage_is_exact(name: str, shape: tuple[int, int, int]) -> None:
    stage = CODE_STAGES[name]()
    codes = np.random.default_rng(6).integers(0, 2**32, shape, dtype=np.uint32)
    given = stage.forward(codes, b"")
    assert given.shape == stage.shape(shape, b"")
    np.testing.assert_array_equal(stage.inverse(given, b""), codes)


def test_row_delta_makes_slow_changes_small() -> None:
    x = np.linspace(-1, 1, 2000, dtype=np.float32).reshape(-1, 1, 1)
    steps = RowDelta(True).forward(x.view(np.uint32), b"")
    assert np.median(steps) < 2**18
    assert np.median(RowDelta(False).forward(x.view(np.uint32), b"")) > 2**13


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_bit_pattern_is_exact(dtype: str) -> None:
    rows = rows_of("noise", (4, 3, 2), dtype)
    stage: Quantiser = BitPattern(dtype)
    codes = stage.forward(rows, b"")
    assert codes.dtype.kind == "u"
    assert stage.inverse(codes, b"").tobytes() == rows.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, 1e6])
@pytest.mark.parametrize("group", [1, 8, 16, 64])
def test_planes_are_exact_whatever_the_classes_say(group: int, scale: float, shape: tuple[int, int, int]) -> None:
    codes = (np.random.default_rng(7).laplace(size=shape) * scale).astype(np.int32)
    stage = planes(group)
    np.testing.assert_array_equal(stage.decode(memoryview(stage.encode(codes, b"")), shape, b""), codes)


def test_planes_classify_as_they_encode() -> None:
    from embdc_cli.entropy.levels import encode_levels

    codes = (np.random.default_rng(8).laplace(size=(20, 4, D)) * 2).astype(np.int32)
    stage = planes(8)
    levels, classes = stage.classify(codes)
    assert sorted(levels.tolist()) == sorted(codes.ravel().tolist())
    assert stage.encode(codes, b"").endswith(encode_levels(levels, classes, stage.tables))


CODERS: dict[str, Coder] = {
    "stored": Stored("u1"),
    "zstd": ZstandardPlanes("u1", split=False),
    "zstd of planes": ZstandardPlanes("u1", split=True),
}


@pytest.mark.parametrize("kind", ["noise", "zero", "ramp"])
@pytest.mark.parametrize("name", CODERS)
def test_byte_coders_are_exact(name: str, kind: str) -> None:
    shape = (2, 3, 4, 50)
    codes = {
        "noise": np.random.default_rng(9).integers(0, 256, shape, dtype=np.uint8),
        "zero": np.zeros(shape, np.uint8),
        "ramp": (np.arange(1200) % 7).astype(np.uint8).reshape(shape),
    }[kind]
    data = CODERS[name].encode(codes, b"")
    np.testing.assert_array_equal(CODERS[name].decode(memoryview(data), shape, b""), codes)
    if kind != "noise" and name != "stored":
        assert len(data) < 300


@pytest.mark.parametrize("name", SEGMENT_STAGES)
def test_parameters_come_back_through_bytes(name: str) -> None:
    stage = SEGMENT_STAGES[name]()
    out = FieldWriter()
    stage.write(out)
    group = stage.group if isinstance(stage, TimeDct | Planes) else 8
    scope = Scope(D, group, LIMITS, fixed_tables(), None, None)
    fields = FieldReader(out.bytes(), "test")
    again = type(stage).read(fields, scope)
    fields.end()
    repeated = FieldWriter()
    again.write(repeated)
    assert repeated.bytes() == out.bytes()
    if isinstance(stage, ArrayStage) and isinstance(again, ArrayStage):
        x = np.random.default_rng(10).normal(size=(12, 2, D)).astype(np.float32)
        side = stage.measure(x)
        assert (
            again.inverse(again.forward(x, side), side).tobytes()
            == stage.inverse(stage.forward(x, side), side).tobytes()
        )


def test_bits_behind_those_of_the_channels_are_zero() -> None:
    scope = Scope(5, 1, LIMITS, fixed_tables(), None, None)
    out = FieldWriter()
    Normalise(np.zeros(5, np.int32), 0, None, np.array([4]), np.ones(1, np.float32)).write(out)
    good = out.bytes()
    assert Normalise.read(FieldReader(good, "test"), scope).constant_channels.tolist() == [4]
    assert good[2] == 0x08
    with pytest.raises(CorruptArchive, match="zeros"):
        Normalise.read(FieldReader(good[:2] + b"\x09" + good[3:], "test"), scope)


def test_stage_ids_are_permanent() -> None:
    expected = {
        "TOKEN_SCALE": 1, "NORMALISE": 2, "RECONSTRUCTION": 3, "IDENTITY": 16, "REFLECTED_KLT": 17,
        "FREE_KLT": 18, "CODEBOOK_KLT": 19, "HADAMARD": 20, "VIDEO_SAMPLES": 69, "VIDEO_BITSTREAM": 134,
        "VECTOR_QUANTISER": 70, "VECTOR_INDICES": 135, "TIME_DCT": 32, "MIXTURE": 33, "DEAD_ZONE": 64,
        "BIT_PATTERN": 65, "STICKY": 66, "RATE_ROUNDING": 67, "TRELLIS": 68, "ROW_DELTA": 96, "CHANNEL_MAJOR": 97,
        "BYTE_PLANES": 98, "PLANES": 128, "STORED": 129, "ZSTANDARD": 130, "TRACK_PLANES": 131, "TIME_CONTEXT": 132,
        "TRACK_PATHS": 133,
    }  # fmt: skip
    assert {stage.name: int(stage) for stage in StageId} == expected
