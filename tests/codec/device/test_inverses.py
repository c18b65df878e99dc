"""Every stage backwards on a device gives what it gives on the CPU: points to the bit, products but for rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from embdc_cli.codec.device import products
from embdc_cli.codec.device.beside import Upload
from embdc_cli.codec.device.chain import codes_of, inverse_of
from embdc_cli.codec.device.coders import narrowed
from embdc_cli.codec.device.precision import full_precision
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.lossless.bit_pattern import BitPattern
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.stage import Coder, Stage
from embdc_cli.codec.transform import models
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.free_klt import FreeKlt
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.sticky import Sticky
from embdc_cli.codec.transform.time_context import TimeContext
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.video.hadamard import Hadamard
from embdc_cli.codec.video.levels import Levels
from embdc_cli.codec.video.samples import VideoSamples
from embdc_cli.codec.video.stream import Coding
from embdc_cli.entropy.coding_tables import fixed_tables
from tests.codebook.codebook_cases import make_network
from tests.codec.codec_cases import rows_of
from tests.codec.device.device_cases import DEVICES, backwards, run
from tests.codec.mixture.mixture_cases import drawn_mixture, maps, side_of
from tests.codec.sparse_cases import sticky_codes
from tests.codec.test_codec_stages import SHAPES, D, normalise, orthonormal

MIXTURE = drawn_mixture(7, (3, 0, 7, 1), seed=7)
pytestmark = pytest.mark.parametrize("device", DEVICES)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Within the rounding of sums of float32."""
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * float(np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("largest", [0, 1, 127, 128, 32767, 32768, 1 << 30])
@pytest.mark.parametrize(
    "stage",
    [
        DeadZone(0.3, (-5, 0, 64)),
        DeadZone(2.0**-120, (127, -127, 3)),
        TrellisPoints(0.3, MIXTURE, fixed_tables().paths),
        TrellisPoints(3e30, MIXTURE, fixed_tables().paths),
    ],
    ids=["dead zone", "dead zone fine", "trellis", "trellis coarse"],
)
def test_points_are_those_of_the_cpu_to_the_bit(stage: DeadZone | TrellisPoints, largest: int, device: str) -> None:
    rng = np.random.default_rng(largest)
    codes = np.concatenate(
        [rng.integers(-largest, largest + 1, 4000), np.arange(-4, 5) % (largest + 1), [largest, -largest]]
    )
    codes = codes.astype(np.int32).reshape(1, -1, 3)
    found = backwards(stage, narrowed(codes), device)
    with np.errstate(over="ignore"):
        assert found.tobytes() == stage.inverse(codes, b"").tobytes()


@pytest.mark.parametrize(("largest", "dtype"), [(127, "int8"), (128, "int16"), (32767, "int16"), (32768, "int32")])
def test_codes_take_as_few_bytes_as_they_fit(largest: int, dtype: str, device: str) -> None:
    for codes in (np.array([largest, 0], np.int32), np.array([0, -largest], np.int32)):
        found = narrowed(codes)
        assert found.dtype == dtype
        assert found.tolist() == codes.tolist()


@pytest.mark.parametrize("shape", [(0, 3, 2), (1, 3, 4), (2, 1, 1), (9, 7, 5)])
@pytest.mark.parametrize("scale", [2.0, 200.0, 1e6])
def test_sticky_points_are_those_of_the_cpu_to_the_bit(shape: tuple[int, int, int], scale: float, device: str) -> None:
    offsets = np.random.default_rng(3).integers(-127, 128, (4, 3, 3)).astype(np.int8)
    offsets[0, 1, 1] = 0
    stage = Sticky(0.37, offsets, 2)
    codes = sticky_codes(shape, scale, 5, negative=True)
    np.testing.assert_array_equal(backwards(stage, narrowed(codes), device), stage.inverse(codes, b""))


def test_samples_of_a_video_are_those_of_the_cpu_to_the_bit(device: str) -> None:
    rng = np.random.default_rng(1)
    levels = Levels(10, np.array([0, 3, 48, 1], np.int32), np.array([512, 0, 1023, 500], np.int32))
    stage = VideoSamples(Coding("hevc", 20, False, 1), 0.7, 0, levels)
    samples = rng.integers(0, 1024, (3, 5, 4)).astype(np.int32)
    assert backwards(stage, narrowed(samples), device).tobytes() == stage.inverse(samples, b"").tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "stage",
    [
        Identity(),
        normalise(),
        normalise(scaled=True, constant=True),
        TimeDct(1),
        TimeDct(8),
        TimeDct(64),
        Hadamard(),
        ReflectedKlt.fit(orthonormal(3), np.array([-9, -5, -2])),
        ReflectedKlt.fit(orthonormal(0), np.zeros(0, np.int64)),
        FreeKlt.fit(orthonormal(D), np.full(D, -12), None),
        Reconstruction.of(make_network(3, radius=2, hidden=5), 0.3, 1.0, vector=False),
        Reconstruction(make_network(4, radius=4, hidden=7), 0.3, 5, True, 7),
        Reconstruction(None, 0.3, 5, True, 7),
    ],
    ids=lambda stage: stage.stage.name.lower(),
)
def test_stages_at_odd_shapes(stage: Stage, shape: tuple[int, int, int], device: str) -> None:
    rank = len(getattr(stage, "synthesis", np.zeros(D)))
    y = rows_of("noise", (*shape[:2], rank))
    found = backwards(stage, y, device)
    close(found, stage.inverse(y.copy(), b""))  # type: ignore[attr-defined]


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8, 12, 96, 100, 128, 129])
def test_rotations_of_any_width(channels: int, device: str) -> None:
    y = rows_of("noise", (3, 4, channels))
    close(backwards(Hadamard(9), y, device), Hadamard(9).inverse(y, b""))


def test_scales_of_tokens(device: str) -> None:
    stage, x = TokenScale(), 7 * rows_of("noise", (5, 4, 6))
    side = stage.measure(x)
    assert backwards(stage, x, device, side).tobytes() == stage.inverse(x, side).tobytes()


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("rank", [0, 3, D])
def test_means_are_one_product_with_the_basis_before_them(rank: int, scaled: bool, constant: bool, device: str) -> None:
    means = normalise(scaled=scaled, constant=constant)
    if constant:
        means = Normalise(means.codes, means.exponent, means.scale_codes, np.array([1, 4]), np.float32([-0.0, 0.7]))
    basis = ReflectedKlt.fit(orthonormal(rank), np.full(rank, -9))
    y = rows_of("noise", (9, 5, rank))
    where = torch.device(device)
    found = run(products.centred_basis(basis, means, Upload(where)), y, where)
    close(found, means.inverse(basis.inverse(y, b""), b""))
    assert np.array_equal(np.signbit(found[..., 1]), np.full((9, 5), constant)) or not constant
    if constant:
        assert (found[..., 4] == np.float32(0.7)).all()


@settings(max_examples=12, deadline=None)
@given(found=maps(modes=4))
def test_mixtures(found: tuple[np.ndarray, np.ndarray], device: str) -> None:
    levels, numbers = found
    side = side_of(MIXTURE, levels, numbers)
    shape = (*levels.shape, 7)
    y = 3 * rows_of("noise", MIXTURE.shape(shape, side))
    close(backwards(MIXTURE, y, device, side, shape), MIXTURE.inverse(y, side))


@pytest.mark.parametrize("channels", [1, 5])
def test_mixtures_on_the_first_axes(channels: int, device: str) -> None:
    plain = drawn_mixture(channels, (channels,), seed=2)
    mode = plain.modes[0]
    axes = type(mode)(
        mode.entries,
        mode.mean_codes,
        mode.mean_exponent,
        mode.mean_class,
        0 * mode.h,
        np.zeros(0, np.int32),
        mode.classes,
    )
    stage = type(plain)((axes,), plain.offsets, None, 1.0)
    x = rows_of("noise", (3, 4, channels))
    side = stage.measure(x)
    y = stage.forward(x, side)
    close(backwards(stage, y, device, side, x.shape), stage.inverse(y, side))


def test_every_stage_of_the_transform_codec_has_its_place(device: str) -> None:
    """As the package says: arrays on the device, coders on the CPU but for four."""
    for stage in models._CLASSES:
        if issubclass(stage, Coder):
            on_device = codes_of.dispatch(stage) is not codes_of.dispatch(object)
            assert on_device == (stage in (Planes, TrackPlanes, TrackPaths, TimeContext)), stage
        else:
            assert inverse_of.dispatch(stage) is not inverse_of.dispatch(object), stage


def test_lossless_stages_have_none_there(device: str) -> None:
    with pytest.raises(TypeError, match="bit_pattern has no inverse on a device"):
        inverse_of(BitPattern("float16"), Upload(torch.device(device)))


def said() -> dict[str, object]:
    """How torch multiplies on a CUDA device, in all its ways of saying it; raising is one."""

    def of(ask: Callable[[], object]) -> object:
        try:
            return ask()
        except RuntimeError:
            return "raises"

    matmul = torch.backends.cuda.matmul
    return {
        "own": getattr(matmul, "fp32_precision", None),
        "allow_tf32": of(lambda: matmul.allow_tf32),
        "older": of(torch.get_float32_matmul_precision),
        "cpu": getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", None),
    }


@pytest.fixture
def settings_of_torch() -> Iterator[None]:
    """Put back as they were at the start."""
    before = said()
    yield
    torch.set_float32_matmul_precision("highest")
    if NEWER:
        torch.backends.fp32_precision = "none"
        for name in ("cuda", "mkldnn"):
            getattr(torch.backends, name).matmul.fp32_precision = "none"
    assert said() == before


def newer(level: str, word: str) -> None:
    (torch.backends if level == "all" else torch.backends.cuda.matmul).fp32_precision = word  # type: ignore[attr-defined]


NEWER = hasattr(torch.backends.cuda.matmul, "fp32_precision")  # from torch 2.9 on
needs_newer = pytest.mark.skipif(not NEWER, reason="of torch 2.9")


@pytest.mark.usefixtures("settings_of_torch")
@pytest.mark.parametrize(
    ("allow", "by_older_way"),
    [
        pytest.param(lambda: torch.set_float32_matmul_precision("high"), True, id="high"),
        pytest.param(lambda: torch.set_float32_matmul_precision("medium"), True, id="medium"),
        pytest.param(lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True), True, id="allow_tf32"),
        pytest.param(lambda: newer("own", "tf32"), False, id="own", marks=needs_newer),
        pytest.param(lambda: newer("all", "tf32"), False, id="all", marks=needs_newer),
    ],
)
def test_tf32_is_switched_off_where_it_was_on(allow: Callable[[], None], by_older_way: bool, device: str) -> None:
    """And on again as it was; other threads can read the settings by the way that the program has used."""
    where = torch.device(device)
    allow()
    before = said()
    with full_precision(where):
        for _ in range(2):
            within = said()
            assert within["allow_tf32"] is False
            assert within["own"] in (None, "ieee")
            assert not by_older_way or within["older"] == "highest"
            with full_precision(where):
                assert said() == within
    assert said() == before


@needs_newer
@pytest.mark.usefixtures("settings_of_torch")
@pytest.mark.parametrize("level", ["own", "all"])
def test_tf32_is_allowed_again_on_its_level(level: str, device: str) -> None:
    """What was inherited from all of torch still is."""
    newer(level, "tf32")
    with full_precision(torch.device(device)):
        pass
    newer("all", "none")
    assert said()["own"] == ("tf32" if level == "own" else "none")


@pytest.mark.usefixtures("settings_of_torch")
@pytest.mark.parametrize("word", ["none", "ieee"])
def test_settings_without_tf32_are_not_touched(word: str, device: str) -> None:
    if NEWER:
        newer("own", word)
    before = said()
    with full_precision(torch.device(device)):
        assert said() == before
    assert said() == before


@pytest.mark.usefixtures("settings_of_torch")
@pytest.mark.parametrize("word", ["highest", "high", "medium"])
def test_tf32_before_there_was_a_newer_way(word: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_float32_matmul_precision(word)
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace())
    with full_precision(torch.device(device)):
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == word


def test_products_are_not_cast_to_fewer_bits(device: str) -> None:
    where = torch.device(device)
    x = torch.full((2, 2), 1 + 2.0**-20, device=where)
    with torch.autocast(where.type, dtype=torch.bfloat16), full_precision(where):
        assert torch.equal(x @ torch.eye(2, device=where), x)


def test_arrays_of_any_type_are_copied_together(device: str) -> None:
    arrays = [
        np.arange(5, dtype=np.int8), np.zeros((3, 0), np.float64), np.arange(6, dtype=np.int16).reshape(2, 3),
        np.array(7, np.uint16), np.array([True, False]), np.arange(24, dtype=np.int64).reshape(2, 3, 4)[:, ::2],
    ]  # fmt: skip
    for array, tensor in zip(arrays, Staging(torch.device(device)).copied(arrays), strict=True):
        assert tensor.device.type == device
        assert tensor.shape == array.shape
        assert np.array_equal(tensor.cpu().numpy(), array)
        assert tensor.cpu().numpy().dtype == array.dtype
    assert Staging(torch.device(device)).copied([]) == []
