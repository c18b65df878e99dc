"""Video codecs as tensor codecs: rotations, samples, tilings, bitstreams, and the chain they form."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.video import software
from embdc_cli.codec.video.av1 import temporal_units
from embdc_cli.codec.video.fit import best_quantiser
from embdc_cli.codec.video.hadamard import Hadamard
from embdc_cli.codec.video.levels import Levels
from embdc_cli.codec.video.options import VideoOptions
from embdc_cli.codec.video.samples import VideoSamples
from embdc_cli.codec.video.stream import DEPTHS, QUANTISERS, STANDARDS, Coding, step_of
from embdc_cli.codec.video.tiling import Tiling
from embdc_cli.container.header import Limits
from embdc_cli.errors import CorruptArchive, ResourceError, UsageError
from embdc_cli.values import StreamSpec

RNG = np.random.default_rng(20261122)


def smooth(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """(F, N, D) float16 that changes slowly in time, with channels of unlike size and one far larger."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(rows, tokens, channels)).cumsum(axis=0) * 0.2 + rng.normal(size=(tokens, channels))
    sizes = np.exp(rng.normal(size=channels))
    sizes[0] *= 20
    return (walk * sizes + rng.normal(size=channels)).astype(np.float16)


def spec_of(x: np.ndarray) -> StreamSpec:
    return StreamSpec("x", str(x.dtype), "t,n,c", x.shape[1:], len(x))


def nmse(x: np.ndarray, y: np.ndarray) -> float:
    a, b = x.astype(np.float64), y.astype(np.float64)
    return float(((a - b) ** 2).sum() / ((a - a.mean(axis=(0, 1))) ** 2).sum())


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 48, 64, 100, 192, 1023])
def test_hadamard_is_a_rotation_for_every_width(channels: int) -> None:
    x = RNG.normal(size=(2, 3, channels)).astype(np.float32)
    y = Hadamard().forward(x, b"")
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(Hadamard().inverse(y, b""), x, atol=1e-5)


def test_hadamard_spreads_an_outlier() -> None:
    x = np.zeros((1, 1, 192), np.float32)
    x[..., 7] = 100
    assert np.abs(Hadamard().forward(x, b"")).max() < 25


@given(st.integers(1, 5), st.integers(1, 150), st.integers(1, 70), st.booleans(), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_tilings_are_undone(rows: int, tokens: int, channels: int, mosaic: bool, seed: int) -> None:
    widths = [width for width in range(1, tokens + 1) if tokens % width == 0]
    tiling = Tiling(widths[seed % len(widths)] if mosaic else 0, (rows, tokens, channels))
    samples = np.random.default_rng(seed).integers(0, 1024, tiling.shape).astype(np.uint16)
    frames = tiling.apply(samples)
    assert frames.shape == tiling.frames
    assert min(frames.shape[1:]) >= 64
    assert frames.shape[1] % 8 == frames.shape[2] % 8 == 0
    np.testing.assert_array_equal(tiling.undo(frames), samples)


@pytest.mark.parametrize("depth", [8, 10])
def test_levels_keep_every_value_of_the_range_to_half_a_sample(depth: int) -> None:
    low, high = np.array([-3, 0, -1000, 5], np.float32), np.array([4, 0, 4000, 6], np.float32)
    scale = 0.05
    levels = Levels.fit(low, high, scale, depth)
    y = RNG.uniform(low, high, size=(7, 5, 4)).astype(np.float32)
    error = np.abs(levels.values(levels.quantise(y, scale).astype(np.int32), scale) - y)
    assert (error <= scale * np.exp2(levels.exponents) * 0.501).all()
    assert levels.exponents[0] == 0
    assert levels.exponents[2] > 0


@pytest.mark.parametrize("standard", STANDARDS)
def test_coarser_quantisers_have_larger_steps_and_suit_larger_steps(standard: str) -> None:
    first, last = QUANTISERS[standard]
    steps = [step_of(standard, q) for q in range(first, last + 1)]
    assert steps == sorted(steps)
    chosen = [best_quantiser(standard, step, np.full(8, 40.0)) for step in (0.1, 1.0, 5.0)]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


LOSSLESS = {
    "h264": ("x264-params", ":qp=0"),
    "hevc": ("x265-params", ":lossless=1"),
    "av1": ("svtav1-params", ":lossless=1"),
}


@pytest.mark.parametrize("standard", STANDARDS)
def test_every_level_survives_lossless_mode(standard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = DEPTHS[standard]
    frames = (np.arange(2 * 96 * 128) % (1 << depth)).reshape(2, 96, 128).astype(np.uint16)
    usual = software._options

    def lossless(coding: Coding) -> dict[str, str]:
        options = usual(coding)
        key, words = LOSSLESS[standard]
        return {**options, key: options[key] + words}

    monkeypatch.setattr(software, "_options", lossless)
    data = software.encode(frames, Coding(standard, QUANTISERS[standard][0], inter=True, effort=1))
    np.testing.assert_array_equal(software.decode(data, standard, depth, frames.shape), frames)


@pytest.mark.parametrize("standard", STANDARDS)
@pytest.mark.parametrize("inter", [True, False])
def test_bytes_repeat_and_error_falls_with_the_quantiser(standard: str, inter: bool) -> None:
    depth = DEPTHS[standard]
    scene = RNG.normal(size=(72, 80)).cumsum(0).cumsum(1)
    scene = (scene - scene.min()) / np.ptp(scene) * 0.8 + 0.1
    frames = np.rint(((1 << depth) - 1) * np.stack([np.roll(scene, t, 1) for t in range(9)])).astype(np.uint16)
    errors, sizes = [], []
    for quantiser in (4, 20, 40):
        coding = Coding(standard, quantiser, inter, 0)
        data = software.encode(frames, coding)
        assert data == software.encode(frames, coding)
        decoded = software.decode(data, standard, depth, frames.shape)
        errors.append(float(((decoded.astype(np.float64) - frames) ** 2).mean()))
        sizes.append(len(data))
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("standard", STANDARDS)
@pytest.mark.parametrize("rotation", ["none", "klt", "hadamard"])
def test_chain_decodes_to_what_the_encoder_saw(standard: str, rotation: str) -> None:
    x = smooth(6, 16, 24)
    fit = Fit(spec_of(x), [x], options=FitOptions(effort=0, video=VideoOptions(standard, rotation)))
    previous = 0.0
    for share in (0.05, 0.4, 2.0):
        models = fit.models(fit.rms * share)
        coded = TransformCodec(fit.spec, models).encode(x)
        again = TransformModels.from_bytes(models.to_bytes(), fit.spec, Limits(), lambda digest: None)  # type: ignore[arg-type,return-value]
        decoded, crc = TransformCodec(fit.spec, again, Limits()).decode(coded.payload, len(x))
        assert crc == coded.symbol_crc
        np.testing.assert_array_equal(decoded, coded.decoded)
        error = nmse(x, decoded)
        assert error > previous
        previous = error
    assert previous < 1.05


SHAPES = [(1, 1, 1), (3, 1, 7), (1, 5, 3), (2, 9, 33), (70, 4, 2), (5, 49, 130)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("standard", STANDARDS)
def test_odd_shapes(tmp_path: Path, standard: str, shape: tuple[int, int, int]) -> None:
    x = smooth(*shape, seed=sum(shape))
    result = embdc.encode(x, tmp_path / "a.embdc", codec=standard, target_nmse=0.1, effort=0)
    embdc.decode(tmp_path / "a.embdc", tmp_path / "a.npy")
    decoded = np.load(tmp_path / "a.npy")
    assert decoded.shape == x.shape
    if result["streams"][0]["codec"] != "lossless":
        assert nmse(x, decoded) <= 0.1
    else:
        np.testing.assert_array_equal(decoded, x)


@pytest.mark.parametrize("target", [{"target_bpv": 1.5}, {"target_cosine": 0.97}, {"max_size": 9000}])
def test_targets_are_met_from_the_good_side(tmp_path: Path, target: dict[str, float]) -> None:
    x = smooth(24, 36, 48, seed=3)
    result = embdc.encode(x, tmp_path / "a.embdc", codec="hevc", effort=0, **target)
    assert result["streams"][0]["codec"] == "hevc"
    if "target_cosine" in target:
        assert 0.97 <= result["achieved"]["cosine"] < 0.975
        return
    allowed = target.get("max_size", target.get("target_bpv", 0) * x.size / 8)
    assert 0.95 * allowed <= (tmp_path / "a.embdc").stat().st_size <= allowed


@pytest.mark.parametrize("codec", STANDARDS)
def test_threads_and_repetition_change_no_byte(tmp_path: Path, codec: str) -> None:
    x = RNG.normal(size=(30, 4, 16)).astype(np.float32)
    found = set()
    for number, jobs in enumerate((1, 4, 4)):
        path = tmp_path / f"{number}.embdc"
        embdc.encode(x, path, codec=codec, target_nmse=0.1, effort=0, chunk_frames=5, jobs=jobs)
        found.add(path.read_bytes())
    assert len(found) == 1


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_fine_quantisers_of_x265_repeat(effort: int) -> None:
    noise = np.random.default_rng(6).normal(size=(24, 64, 64)).cumsum(axis=0)
    frames = np.clip(np.rint(noise / np.abs(noise).max() * 500 + 512), 0, 1023).astype(np.uint16)
    coding = Coding("hevc", 1, inter=True, effort=effort)
    kept, streams = [], set()
    for number in range(5):
        kept.append(bytes(1000 * number * 37))  # other addresses each time
        streams.add(software.encode(frames, coding))
    assert len(streams) == 1


@pytest.mark.parametrize("codec", STANDARDS)
def test_more_bits_never_mean_more_error(tmp_path: Path, codec: str) -> None:
    x = np.random.default_rng(0).normal(size=(16, 16, 32)).astype(np.float32)
    x[..., 3] *= 1000
    errors = []
    for bits in (2.0, 4.0, 6.0, 12.0):
        embdc.encode(x, tmp_path / "a.embdc", codec=codec, target_bpv=bits, effort=0, force=True)
        embdc.decode(tmp_path / "a.embdc", tmp_path / "a.npy", force=True)
        errors.append(nmse(x, np.load(tmp_path / "a.npy")))
    assert all(later <= 1.5 * earlier for earlier, later in pairwise(errors)), errors  # at the finest, errors are alike
    assert errors[-1] < 2e-4


def test_a_nudge_never_makes_samples_finer() -> None:
    levels = Levels.fit(np.full(2, -9.0), np.full(2, 9.0), 0.02, 10)
    samples = VideoSamples(Coding("hevc", 20, inter=True, effort=0), 0.02 * step_of("hevc", 20), 0, levels)
    for factor in (0.01, 0.5, 0.9, 1.0, 1.07, 3.0):
        moved = samples.scaled(factor)
        assert moved.scale >= samples.scale * 0.9999
        assert moved.step == pytest.approx(samples.step * factor) or moved.coding.quantiser == 0


def test_a_bitstream_of_other_frames_is_corrupt() -> None:
    frames = np.full((3, 64, 64), 512, np.uint16)
    data = software.encode(frames, Coding("hevc", 20, inter=True, effort=0))
    assert software.decode(data, "hevc", 10, (3, 64, 64)).shape == (3, 64, 64)
    for shape in ((2, 64, 64), (4, 64, 64), (3, 72, 64), (3, 64, 128)):
        with pytest.raises(CorruptArchive):
            software.decode(data, "hevc", 10, shape)
    with pytest.raises(CorruptArchive):
        software.decode(data, "hevc", 8, (3, 64, 64))


@pytest.mark.parametrize("standard", STANDARDS)
def test_forged_bitstreams_fail_without_a_crash(standard: str) -> None:
    depth = DEPTHS[standard]
    frames = RNG.integers(0, 1 << depth, (4, 64, 64)).astype(np.uint16)
    data = software.encode(frames, Coding(standard, 25, inter=True, effort=0))
    rng = np.random.default_rng(1)
    for trial in range(60):
        forged = bytearray(data)
        for at in rng.integers(0, len(data), 1 + trial % 5):
            forged[at] = int(rng.integers(256))
        try:
            decoded = software.decode(bytes(forged[: len(data) - trial]), standard, depth, frames.shape)
        except CorruptArchive:
            continue
        assert decoded.shape == frames.shape
    for garbage in (b"", b"\0" * 100, bytes(range(256)) * 4):
        with pytest.raises(CorruptArchive):
            software.decode(garbage, standard, depth, frames.shape)


@pytest.mark.parametrize("standard", STANDARDS)
def test_frames_that_are_more_or_larger_than_promised_take_no_memory(standard: str) -> None:
    depth = DEPTHS[standard]
    coding = Coding(standard, 40, inter=True, effort=0)
    large = software.encode(np.zeros((1, 2048, 2048), np.uint16), coding)
    many = software.encode(np.zeros((3000, 64, 64), np.uint16), coding)
    before = psutil.Process().memory_info().rss
    for data in (large, many):
        with pytest.raises(CorruptArchive):
            software.decode(data, standard, depth, (1, 64, 64))
    assert psutil.Process().memory_info().rss - before < 60 << 20


@pytest.mark.parametrize("data", [b"", b"\x12\x00\x0a", b"\x0a\x00", b"\x12\x7f", b"\x12\x00" * 3], ids=repr)
def test_what_are_no_temporal_units_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptArchive):
        temporal_units(data, 2)
    assert temporal_units(b"\x12\x00\x32\x01z\x12\x00", 2) == [b"\x12\x00\x32\x01z", b"\x12\x00"]


def test_hardware_that_is_not_here_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ResourceError, match="nvidia"):
        embdc.encode(smooth(4, 4, 8), tmp_path / "a.embdc", codec="hevc", backend="nvidia")
    assert not (tmp_path / "a.embdc").exists()


@pytest.mark.parametrize(
    "options", [{"rotation": "klt"}, {"codec": "lossless", "inter": "on"}, {"codec": "hevc", "codebook": "x.embdcb"}]
)
def test_options_of_another_codec_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="with --codec"):
        embdc.encode(smooth(4, 4, 8), tmp_path / "a.embdc", **options)


def test_a_rotation_that_cannot_be_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", RNG.normal(size=(5, 8)).astype(np.float32))
    weighting = str(tmp_path / "w.npy")
    with pytest.raises(UsageError, match="--rotation none: not with a --weighting of a matrix"):
        embdc.encode(smooth(8, 4, 8), tmp_path / "a.embdc", codec="hevc", rotation="none", weighting=weighting)


@pytest.mark.parametrize(("rotation", "stage"), [("none", Identity), ("klt", ReflectedKlt), ("hadamard", Hadamard)])
def test_the_rotation_asked_for_is_the_one_taken(rotation: str, stage: type) -> None:
    x = smooth(6, 16, 24)
    fit = Fit(spec_of(x), [x], options=FitOptions(effort=0, video=VideoOptions("hevc", rotation)))
    assert isinstance(fit.models(fit.rms).groups[0].chain.stages[1], stage)


@pytest.mark.parametrize(("inter", "wanted"), [("on", True), ("off", False)])
def test_prediction_between_frames_is_as_asked(inter: str, wanted: bool) -> None:
    x = smooth(6, 64, 64)
    fit = Fit(spec_of(x), [x], options=FitOptions(effort=0, video=VideoOptions("hevc", inter=inter)))
    samples = fit.models(fit.rms).groups[0].chain.stages[2]
    assert isinstance(samples, VideoSamples)
    assert samples.coding.inter is wanted


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'nosuch\\*' matches no stream"):
        embdc.encode({"a": smooth(4, 4, 8)}, tmp_path / "a.embdc", keep_lossless="nosuch*")


def test_small_tensors_stay_exact_and_the_rate_is_that_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tensors = {
        "wide": rng.normal(size=(256, 96)).astype(np.float32),
        "narrow": rng.normal(size=(64, 40)).astype(np.float32),
        "bias": rng.normal(size=96).astype(np.float32),
        "gate": rng.normal(size=(8, 8)).astype(np.float32),
    }
    result = embdc.encode(tensors, tmp_path / "a.embdc", codec="hevc", target_bpv=4, keep_lossless="ga*", effort=0)
    assert {one["name"]: one["codec"] for one in result["streams"]} == {
        "wide": "hevc",
        "narrow": "hevc",
        "bias": "lossless",
        "gate": "lossless",
    }
    values = sum(one.size for one in tensors.values())
    assert (tmp_path / "a.embdc").stat().st_size <= values / 2
    archive = embdc.open(tmp_path / "a.embdc")
    np.testing.assert_array_equal(archive["bias"][:].numpy(), tensors["bias"])
    errors = {name: nmse(tensors[name][:, None], archive[name][:].numpy()[:, None]) for name in ("wide", "narrow")}
    assert errors["narrow"] < errors["wide"] / 4  # a tenth of the values, a tenth of the error
