"""The held-out report: sizes read off curves at equal error, and what they add up to."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from embdc_cli.codebook import report
from embdc_cli.codebook.report import TARGETS, held_out_report, size_at
from embdc_cli.codebook.trial import Point, StreamTrial
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Silent
from embdc_cli.values import ArrayTensor, StreamSpec
from tests.codebook.codebook_cases import make_tables
from tests.codebook.sources import CHANNELS, gaussian, tensor_of, true_codebook


@pytest.mark.parametrize(
    ("nmse", "size"),
    [(0.01, 800.0), (0.04, 200.0), (0.02, 400.0), (0.16, 100.0), (0.5, 100.0), (0.009, None)],
)
def test_sizes_between_points_are_on_straight_lines_in_logarithms(nmse: float, size: float | None) -> None:
    found = size_at(nmse, [Point(0.01, 800.0), Point(0.04, 200.0), Point(0.16, 100.0)])
    assert found == pytest.approx(size) if size is not None else found is None


def test_an_exact_point_is_no_logarithm() -> None:
    assert size_at(0.1, [Point(0.0, 500.0), Point(0.5, 10.0)]) == 500.0


def test_a_curve_covers_the_errors_asked_for_and_falls() -> None:
    curve = StreamTrial(tensor_of(gaussian(32)), None).curve(0.01, 0.3)
    assert curve[0].nmse <= 0.01 < 0.3 <= curve[-1].nmse
    assert all(a.nmse < b.nmse and a.size > b.size for a, b in pairwise(curve))


def test_a_point_counts_models_payloads_and_framing() -> None:
    array = gaussian(130)
    tensor = tensor_of(array)
    point = StreamTrial(tensor, None).measure(2.0)
    chunks = [array[:64], array[64:128], array[128:]]
    models = Fit(tensor.spec, chunks, None, FitOptions(effort=EncodeOptions().effort_level())).models(2.0)
    codec = TransformCodec(tensor.spec, models)
    coded = [codec.encode(chunk) for chunk in chunks]
    assert point.size == len(models.to_bytes()) + sum(len(one.payload) for one in coded) + 3 * 96
    decoded = np.concatenate([one.decoded for one in coded])
    energy = ((array - array.mean(axis=(0, 1))) ** 2).sum()
    assert point.nmse == pytest.approx(float(((array - decoded) ** 2).sum() / energy), rel=1e-4)


@pytest.mark.parametrize("vectors", [slice(None), slice(-1, None)], ids=["all", "the last"])
def test_a_point_knows_whether_the_codebooks_basis_was_taken(vectors: slice) -> None:
    whole = true_codebook()
    fields = {name: getattr(whole, name)[vectors] for name in ("basis", "exponents", "spectrum")}
    codebook = replace(whole, **fields, tables=make_tables())  # tables alone are no basis
    taken = StreamTrial(tensor_of(gaussian(20)), codebook).measure(2.0).by_codebook
    assert taken is (codebook.rank == CHANNELS)


def test_long_streams_are_sampled_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = tensor_of(gaussian(640, rho=0.5))
    whole = StreamTrial(tensor, None).measure(3.0)
    monkeypatch.setattr("embdc_cli.codebook.trial.MAX_SAMPLE_VALUES", tensor.array.size // 2)
    sampled = StreamTrial(tensor, None)
    assert sampled.values == tensor.array.size
    found = sampled.measure(3.0)
    assert (found.nmse, found.size) == pytest.approx((whole.nmse, whole.size), rel=0.05)


def test_a_constant_stream_has_one_point() -> None:
    (point,) = StreamTrial(tensor_of(np.ones((20, 3, 4), np.float32)), None).curve(0.01, 0.3)
    assert point.nmse == 0
    assert 0 < point.size < 500


def test_ragged_streams_are_measured() -> None:
    flat = gaussian(40, tokens=5).reshape(-1, CHANNELS)
    counts = np.resize([3, 7], 40)
    ragged = ArrayTensor(StreamSpec("data", "float32", "tnc", (CHANNELS,), 40, ragged=True), flat, counts)
    trial = StreamTrial(ragged, None)
    assert trial.values == flat.size
    assert trial.measure(1.0).nmse < 0.1


def test_the_true_basis_saves_bits_on_short_inputs_wherever_it_pays_for_its_name() -> None:
    heldout = [tensor_of(gaussian(20, channels=64, seed=seed)) for seed in (50, 51)]
    codebook = true_codebook(channels=64)
    found = held_out_report(codebook, heldout, Silent())
    assert [point["nmse"] for point in found.points] == list(TARGETS)
    for point in found.points:
        # nearly: which basis is cheaper is foretold, not tried
        assert point["bits_per_value"] <= 1.002 * point["bits_per_value_without"], (
            "the codec keeps its own basis instead"
        )
        assert point["gain"] == pytest.approx(1 - point["bits_per_value"] / point["bits_per_value_without"])
    assert sum(point["gain"] > 0 for point in found.points) >= 3
    assert [point["basis_share"] for point in found.points] == [1.0] * len(TARGETS)
    at_break_even = found.points[1]
    saved_bits = at_break_even["bits_per_value_without"] - at_break_even["bits_per_value"]
    assert found.break_even_bytes == math.ceil(16 * len(codebook.file_bytes) / saved_bits)


def test_an_error_that_is_not_reached_has_no_gain() -> None:
    for point in (report._point(0.1, None, 2.0), report._point(0.1, 1.0, None)):
        assert point["gain"] is None
    assert report._rate([[Point(0.2, 30.0)], [Point(0.05, 30.0)]], 0.1, 100) is None
    assert report._rate([[Point(0.1, 30.0)], [Point(0.05, 20.0)]], 0.1, 100) == 4.0


@pytest.mark.parametrize(("nmse", "share"), [(0.3, 0.75), (0.1, 0.75), (0.09, 0.0), (0.04, None)])
def test_streams_take_the_codebooks_basis_in_proportion_to_their_values(nmse: float, share: float | None) -> None:
    curves = [
        [Point(0.01, 90.0, by_codebook=False), Point(0.1, 30.0, by_codebook=True)],
        [Point(0.05, 20.0, by_codebook=False)],
    ]
    assert report._basis_share(curves, nmse, [300, 100]) == share


def test_a_codebook_that_saves_nothing_never_breaks_even() -> None:
    points = [report._point(nmse, 1.0, 0.9) for nmse in TARGETS]
    assert report._break_even(points, 1000) is None


def test_nothing_held_out_gives_no_points() -> None:
    found = held_out_report(true_codebook(), [], Silent())
    assert (found.points, found.break_even_bytes, found.streams) == ([], None, 0)
