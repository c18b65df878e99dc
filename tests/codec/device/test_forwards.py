"""Every stage forwards on a device gives what it gives on the CPU: codes to the bit, products but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.chain import inverse_of
from embdc_cli.codec.device.distortion import measured
from embdc_cli.codec.device.forward import Forward
from embdc_cli.codec.device.forwards import all_forwards, forward_of
from embdc_cli.codec.device.mixture_search import DeviceSearcher
from embdc_cli.codec.device.narrow import Narrow
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.stage import Coder, Stage
from embdc_cli.codec.transform import models
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.free_klt import FreeKlt
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.search import Searcher
from embdc_cli.codec.transform.mixture.search.nearest import NEAREST
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.metrics import ErrorSums
from embdc_cli.tokens import as_tokens
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import rows_of
from tests.codec.device.device_cases import DEVICES
from tests.codec.mixture.mixture_cases import drawn_mixture, maps, side_of
from tests.codec.mixture.test_search import cut_cost, modes_of
from tests.codec.test_codec_stages import SHAPES, D, normalise, orthonormal

MIXTURE = drawn_mixture(7, (3, 0, 7, 1), seed=7)
ON_DEVICES = {
    TokenScale, Normalise, Reconstruction, Identity, ReflectedKlt, FreeKlt, CodebookKlt, TimeDct,
    Mixture, DeadZone, RateRounding,
}  # fmt: skip
pytestmark = pytest.mark.parametrize("device", DEVICES)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Within the rounding of sums of float32."""
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * float(np.abs(expected).max(initial=0)))


def made(stage: Stage, device: str) -> tuple[Forward, Staging]:
    staging = Staging(torch.device(device))
    return forward_of(stage, Upload(torch.device(device)), staging), staging


def there(taken: Taken, staging: Staging) -> Beside:
    return Beside(tuple(staging.copied(taken.arrays)), taken.facts)


def forwards(stage: Stage, x: np.ndarray, device: str, side: bytes = b"") -> np.ndarray:
    """What a stage gives on `device`; `x` there is not written over."""
    forward, staging = made(stage, device)
    take = forward.take or inverse_of(stage, Upload(torch.device(device))).take
    (given,) = staging.copied([x])
    found = forward.run(given, there(take(side, x.shape), staging))
    assert given.cpu().numpy().tobytes() == x.tobytes()
    return found.cpu().numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "stage",
    [
        Identity(),
        Reconstruction(None, 0.3, 5, True, 7),
        normalise(),
        normalise(scaled=True, constant=True),
        TimeDct(1),
        TimeDct(8),
        TimeDct(64),
        ReflectedKlt.fit(orthonormal(3), np.array([-9, -5, -2])),
        ReflectedKlt.fit(orthonormal(0), np.zeros(0, np.int64)),
        FreeKlt.fit(orthonormal(D), np.full(D, -12), None),
        FreeKlt.fit(2 * orthonormal(4), np.full(4, -12), np.diag(np.arange(1.0, D + 1))),
    ],
    ids=lambda stage: stage.stage.name.lower(),
)
def test_arrays_at_odd_shapes(stage: Stage, shape: tuple[int, int, int], device: str) -> None:
    x = rows_of("noise", shape)
    close(forwards(stage, x, device), stage.forward(x, b""))  # type: ignore[attr-defined]


def test_channels_that_never_change_leave_nothing(device: str) -> None:
    """To the bit, or the basis would spread what is left over the others."""
    x = rows_of("noise", (9, 5, D))
    x[..., 4] = np.float32(0.7)
    assert not forwards(normalise(constant=True), x, device)[..., 4].any()


@pytest.mark.parametrize("shape", [(0, 3, 6), (1, 1, 6), (5, 4, 6), (3, 4, 0)])
def test_scales_of_tokens(shape: tuple[int, int, int], device: str) -> None:
    stage, x = TokenScale(), 7 * rows_of("noise", shape)
    if x.size:
        x[0, 0] = 0
    forward, staging = made(stage, device)
    side = forward.measure(*staging.copied([x])).side
    assert side == stage.measure(x)
    close(forwards(stage, x, device, side), stage.forward(x, side))


def coefficients(step: float) -> np.ndarray:
    """Around every edge between codes, of all sizes, and what products that overflow give."""
    rng = np.random.default_rng(3)
    near = (np.arange(-40, 40, 0.25)[:, None] + [-1e-6, 0, 1e-6]).ravel() * step
    wide = rng.normal(size=500) * np.exp2(rng.uniform(-20, 40, 500)) * step
    odd = [0.0, -0.0, np.inf, -np.inf, np.nan, MAX_LEVEL * step, -MAX_LEVEL * step]
    return np.concatenate([near, wide, odd]).astype(np.float32)


@pytest.mark.parametrize("step", [0.3, 2.0**-120, 2.0**80])
def test_codes_of_the_same_coefficients_are_those_of_the_cpu(step: float, device: str) -> None:
    stage, x = DeadZone(step, (0, 0, 0)), coefficients(step)
    with np.errstate(all="ignore"):
        expected = stage.forward(x, b"")
    np.testing.assert_array_equal(forwards(stage, x, device), expected)


@pytest.mark.parametrize("step", [0.3, 1e-7])
def test_codes_rounded_by_rate_are_those_of_the_cpu(step: float, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = RateRounding(step, (-3, 0, 9), MIXTURE, fixed_tables().rounded)
    x = np.repeat(coefficients(step), 64)
    classes = np.tile(np.arange(64, dtype=np.uint8), len(x) // 64)
    monkeypatch.setattr(Mixture, "chunk", lambda self, side: type("Chunk", (), {"classes": classes}))
    with np.errstate(all="ignore"):
        expected = stage.forward(x, b"")
    np.testing.assert_array_equal(forwards(stage, x, device), expected)


@settings(max_examples=12, deadline=None)
@given(found=maps(modes=4))
def test_mixtures(found: tuple[np.ndarray, np.ndarray], device: str) -> None:
    levels, numbers = found
    x = 3 * rows_of("noise", (*levels.shape, 7))
    side = side_of(MIXTURE, levels, numbers)
    close(forwards(MIXTURE, x, device, side), MIXTURE.forward(x, side))


def tokens_under(means: list[np.ndarray], shape: tuple[int, int], motion: float) -> np.ndarray:
    """(F, N, D): each token near one of the means, every third of them still."""
    place = np.stack([means[token % len(means)] for token in range(shape[1])] or [means[0]])[: shape[1]]
    moves = np.where(np.arange(shape[1]) % 3 == 0, 0.0, motion)[:, None]
    return (place + moves * rows_of("noise", (*shape, len(means[0])))).astype(np.float32)


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 4), (65, 3), (130, 9), (3, 0)])
def test_what_is_measured_of_a_mixture_is_what_the_cpu_measures(shape: tuple[int, int], device: str) -> None:
    """With as few modes as the CPU tries for every run; coefficients come along."""
    x = tokens_under([mode.mean for mode in MIXTURE.modes], shape, 1.0)
    forward, staging = made(MIXTURE, device)
    found = forward.measure(*staging.copied([x]))
    assert found.side == MIXTURE.measure(x)
    assert found.given is not None
    close(found.given.cpu().numpy(), MIXTURE.forward(x, found.side))


@pytest.mark.parametrize("rows", [1, 7, 64, 150])
def test_cuts_cost_no_more_than_those_of_the_cpu(rows: int, device: str) -> None:
    """With more modes than the CPU tries for every run."""
    modes = modes_of(6, (2, 3, 0, 6, 1, 2, 4, 3), seed=2)
    assert len(modes) > NEAREST[0]
    x, reach = tokens_under([mean for mean, _ in modes], (rows, 17), 0.5), 0.4
    (tokens,) = Staging(torch.device(device)).copied([x])
    levels, numbers = DeviceSearcher(modes, reach, Upload(torch.device(device))).maps(tokens)
    assert (levels.dtype, numbers.dtype) == (torch.int8, torch.int16)
    found = cut_cost(x, levels.cpu().numpy(), numbers.cpu().numpy(), modes, reach)
    expected = cut_cost(x, *Searcher(modes, reach).maps(x), modes, reach)
    assert found <= expected * (1 + 1e-5)


def test_cuts_are_found_part_by_part(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = modes_of(6, (2, 3, 1), seed=2)
    (x,) = Staging(torch.device(device)).copied([tokens_under([mean for mean, _ in modes], (70, 10), 1.0)])
    whole = DeviceSearcher(modes, 0.4, Upload(x.device)).maps(x)
    assert all(len(one.unique()) > 1 for one in whole)
    monkeypatch.setattr("embdc_cli.codec.device.mixture_search._VALUES_AT_ONCE", 1000)
    parts = DeviceSearcher(modes, 0.4, Upload(x.device)).maps(x)
    assert all(map(torch.equal, whole, parts))


def test_stages_that_run_forwards_on_a_device(device: str) -> None:
    """As `forwards` says. A chain with another one is encoded on the CPU."""
    stages = [stage for stage in models._CLASSES if not issubclass(stage, Coder)]
    found = {stage for stage in stages if forward_of.dispatch(stage) is not forward_of.dispatch(object)}
    assert found == ON_DEVICES
    assert all_forwards([Identity(), DeadZone(1.0, (0, 0, 0))])
    for stage in set(stages) - found:
        lone = stage.__new__(stage)
        assert not all_forwards([Identity(), lone])
        with pytest.raises(TypeError, match=f"stage {stage.stage.name.lower()} is not run forwards on a device"):
            made(lone, device)


def test_codes_come_back_in_as_few_bytes_as_those_before_them(device: str) -> None:
    narrow, staging = Narrow(), Staging(torch.device(device))
    for largest, taken in ((3, 1), (200, 1), (100, 2), (40000, 1), (127, 4), (-128, 1), (5, 2)):
        codes = np.array([[0, largest], [1, 2]], np.int32)
        (there,) = staging.copied([codes])
        started = narrow.started(there)
        assert started[0].element_size() == taken
        found = narrow.ended(there, staging.fetched(started), staging)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, codes)
    assert narrow.fetched(torch.zeros((0, 3), dtype=torch.int32, device=device), staging).shape == (0, 3)


@pytest.mark.parametrize(
    ("axes", "shape"), [("t,n,c", (5, 4, 6)), ("t,c,h", (3, 4, 2)), ("t", (7,)), ("t,n,c", (3, 0, 4))]
)
def test_errors_are_those_that_the_cpu_measures(axes: str, shape: tuple[int, ...], device: str) -> None:
    spec = StreamSpec("data", "float16", axes, shape[1:], shape[0])
    rows, decoded = rows_of("noise", shape, "float16"), rows_of("noise", shape, "float16", seed=1)
    if rows.size:
        rows.flat[0], decoded.flat[0] = np.inf, np.inf
        rows.flat[1:3] = np.nan, -np.inf
        rows[-1] = decoded[-1] = 0
    expected, found = ErrorSums(spec.channels), ErrorSums(spec.channels)
    expected.add(as_tokens(rows, spec), as_tokens(decoded, spec))
    staging = Staging(torch.device(device))
    found.take(*staging.fetched(measured(*staging.copied([rows, decoded]), spec)))
    assert (found.values, found.tokens) == (expected.values, expected.tokens)
    np.testing.assert_allclose(found.channel_sse, expected.channel_sse, rtol=1e-12)
    assert found.cosine_sum == pytest.approx(expected.cosine_sum, rel=1e-12, abs=1e-12)
    assert found.cosine_min == pytest.approx(expected.cosine_min, rel=1e-12, abs=1e-12)
