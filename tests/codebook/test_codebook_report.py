"""The held-out report: sizes read off curves at equal error, and what they add up to."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from embdc_cli.codebook import report
from embdc_cli.codebook.basis import mean_to_integers, to_integers
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.report import TARGETS, held_out_report, size_at
from embdc_cli.codebook.trial import StreamTrial
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.reporter import Silent
from embdc_cli.values import ArrayTensor, StreamSpec
from tests.codebook.sources import CHANNELS, energies, gaussian, rotation, tensor_of


def true_codebook(channels: int = CHANNELS) -> Codebook:
    """The codebook that knows how `gaussian` is made."""
    basis = to_integers(energies(channels), rotation(channels))
    mean, exponent = mean_to_integers(np.full(channels, 3.0))
    return Codebook(mean, exponent, basis.basis, basis.exponents, basis.spectrum, None, None, {"tokens": 0})


@pytest.mark.parametrize(
    ("nmse", "size"),
    [(0.01, 800.0), (0.04, 200.0), (0.02, 400.0), (0.16, 100.0), (0.5, 100.0), (0.009, None)],
)
def test_sizes_between_points_are_on_straight_lines_in_logarithms(nmse: float, size: float | None) -> None:
    found = size_at(nmse, [(0.01, 800.0), (0.04, 200.0), (0.16, 100.0)])
    assert found == pytest.approx(size) if size is not None else found is None


def test_an_exact_point_is_no_logarithm() -> None:
    assert size_at(0.1, [(0.0, 500.0), (0.5, 10.0)]) == 500.0


def test_a_curve_covers_the_errors_asked_for_and_falls() -> None:
    curve = StreamTrial(tensor_of(gaussian(32)), None).curve(0.01, 0.3)
    errors, sizes = zip(*curve, strict=True)
    assert errors[0] <= 0.01 < 0.3 <= errors[-1]
    assert all(a > b for a, b in pairwise(sizes))


def test_a_point_counts_models_payloads_and_framing() -> None:
    array = gaussian(130)
    tensor = tensor_of(array)
    nmse, size = StreamTrial(tensor, None).measure(2.0)
    chunks = [array[:64], array[64:128], array[128:]]
    models = Fit(tensor.spec, chunks, None, FitOptions()).models(2.0)
    codec = TransformCodec(tensor.spec, models)
    coded = [codec.encode(chunk) for chunk in chunks]
    assert size == len(models.to_bytes()) + sum(len(one.payload) for one in coded) + 3 * 96
    decoded = np.concatenate([one.decoded for one in coded])
    energy = ((array - array.mean(axis=(0, 1))) ** 2).sum()
    assert nmse == pytest.approx(float(((array - decoded) ** 2).sum() / energy), rel=1e-4)


def test_long_streams_are_sampled_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = tensor_of(gaussian(640, rho=0.5))
    whole = StreamTrial(tensor, None).measure(3.0)
    monkeypatch.setattr("embdc_cli.codebook.trial.MAX_SAMPLE_VALUES", tensor.array.size // 2)
    sampled = StreamTrial(tensor, None)
    assert sampled.values == tensor.array.size
    assert sampled.measure(3.0) == pytest.approx(whole, rel=0.05)


def test_a_constant_stream_has_one_point() -> None:
    ((nmse, size),) = StreamTrial(tensor_of(np.ones((20, 3, 4), np.float32)), None).curve(0.01, 0.3)
    assert nmse == 0
    assert 0 < size < 500


def test_ragged_streams_are_measured() -> None:
    flat = gaussian(40, tokens=5).reshape(-1, CHANNELS)
    counts = np.resize([3, 7], 40)
    ragged = ArrayTensor(StreamSpec("data", "float32", "tnc", (CHANNELS,), 40, ragged=True), flat, counts)
    trial = StreamTrial(ragged, None)
    assert trial.values == flat.size
    assert trial.measure(1.0)[0] < 0.1


def test_the_true_basis_saves_bits_on_short_inputs_wherever_it_pays_for_its_name() -> None:
    heldout = [tensor_of(gaussian(20, channels=64, seed=seed)) for seed in (50, 51)]
    codebook = true_codebook(channels=64)
    found = held_out_report(codebook, heldout, Silent())
    assert [point["nmse"] for point in found.points] == list(TARGETS)
    for point in found.points:
        assert point["bits_per_value"] <= point["bits_per_value_without"], "the codec keeps its own basis instead"
        assert point["gain"] == pytest.approx(1 - point["bits_per_value"] / point["bits_per_value_without"])
    assert sum(point["gain"] > 0 for point in found.points) >= 3
    at_break_even = found.points[1]
    saved_bits = at_break_even["bits_per_value_without"] - at_break_even["bits_per_value"]
    assert found.break_even_bytes == math.ceil(16 * len(codebook.file_bytes) / saved_bits)


def test_an_error_that_is_not_reached_has_no_gain() -> None:
    for point in (report._point(0.1, None, 2.0), report._point(0.1, 1.0, None)):
        assert point["gain"] is None
    assert report._rate([[(0.2, 30.0)], [(0.05, 30.0)]], 0.1, 100) is None
    assert report._rate([[(0.1, 30.0)], [(0.05, 20.0)]], 0.1, 100) == 4.0


def test_a_codebook_that_saves_nothing_never_breaks_even() -> None:
    points = [report._point(nmse, 1.0, 0.9) for nmse in TARGETS]
    assert report._break_even(points, 1000) is None


def test_nothing_held_out_gives_no_points() -> None:
    found = held_out_report(true_codebook(), [], Silent())
    assert (found.points, found.break_even_bytes, found.streams) == ([], None, 0)
