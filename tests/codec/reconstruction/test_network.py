"""The network by itself: its bytes, its formula against the second reader's, and that torch comes to the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader
from embdc_cli.codec.reconstruction.network import MAX_BYTES, Layer, Network, features_of
from embdc_cli.errors import CorruptArchive
from tests.codebook.codebook_cases import make_network
from tests.codec.reconstruction.network_cases import steady_network
from tests.conformance.reader.fields import Fields
from tests.conformance.reader.network import network_in

SHAPES = [(1, 1, 1), (1, 5, 8), (2, 3, 8), (3, 4, 5), (4, 2, 8), (9, 6, 12), (17, 1, 3)]


def read(data: bytes) -> Network:
    fields = FieldReader(data, "network")
    found = Network.read(fields)
    fields.end()
    return found


@given(st.integers(1, 4), st.integers(1, 64), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_bytes_come_back(radius: int, hidden: int, seed: int) -> None:
    network = make_network(seed, radius, hidden)
    data = network.to_bytes()
    assert len(data) <= MAX_BYTES
    back = read(data)
    assert (back.radius, back.hidden, back.to_bytes()) == (radius, hidden, data)


@pytest.mark.parametrize(
    ("place", "value"), [(0, 0), (0, 5), (1, 0), (1, 65), (2, 21), (2, 256 - 41)], ids=lambda value: str(value)
)
def test_what_no_writer_writes_is_refused(place: int, value: int) -> None:
    data = bytearray(make_network().to_bytes())
    data[place] = value
    with pytest.raises(CorruptArchive):
        read(bytes(data))


@pytest.mark.parametrize(("radius", "hidden"), [(5, 1), (1, 65)])
def test_networks_beyond_the_limits_are_refused(radius: int, hidden: int) -> None:
    with pytest.raises(CorruptArchive, match="expected at most"):
        read(make_network(0, radius, hidden).to_bytes())


def test_every_truncation_is_refused() -> None:
    data = make_network(hidden=2).to_bytes()
    for size in range(len(data)):
        with pytest.raises(CorruptArchive):
            read(data[:size])


@given(st.integers(0, 99), st.floats(-20, 8), st.floats(-20, 8))
@settings(max_examples=50, deadline=None)
def test_rounding_is_fine(seed: int, octave: float, bias_octave: float) -> None:
    rng = np.random.default_rng(seed)
    weights, biases = rng.standard_normal((5, 7)) * 2**octave, rng.standard_normal(5) * 2**bias_octave
    layer = Layer.rounded(weights, biases)
    units = 2.0 ** layer.exponents.astype(float)
    assert (np.abs(layer.matrix.T - weights) <= units[:, None] / 2).all()
    assert (np.abs(layer.offset - biases) <= units / 32).all()
    assert (units <= 2 * np.maximum(np.abs(weights).max(axis=1) / 127, np.abs(biases) / (32767 / 16))).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 2, 4])
@pytest.mark.parametrize("vector", [False, True])
def test_it_is_what_the_second_reader_makes_of_it(shape: tuple[int, int, int], radius: int, vector: bool) -> None:
    network = make_network(radius, radius, 6)
    x = (np.random.default_rng(4).standard_normal(shape) * 3).astype(np.float32)
    x[shape[0] // 2 :] += 2
    reader = network_in(Fields(network.to_bytes()))
    step, strength = 0.7, 1.25
    expected = x + strength * reader.added(x.astype(np.float64), step, -5, int(vector))
    found = network.applied(x, step, -5, strength, vector=vector)
    assert found.dtype == np.float32
    assert (found != x).any()
    assert np.abs(found - expected).max() <= 1e-5  # float32; a decoder may be off by step / 64


def test_torch_gives_the_same_gates() -> None:
    network = make_network(3, 2, 16)
    x = np.random.default_rng(4).standard_normal((8, 9, 12)).astype(np.float32)
    features = features_of(x, 2, 0.5, 3, vector=True).reshape(72, -1)
    found = torch.from_numpy(features)
    for number, layer in enumerate(network.layers):
        found = torch.relu(found) if number else found
        found = torch.nn.functional.linear(
            found, torch.from_numpy(layer.matrix.T.copy()), torch.from_numpy(layer.offset)
        )
    np.testing.assert_allclose(network.gates(features), found.numpy(), atol=1e-6)


def test_a_token_does_not_depend_on_what_else_is_in_its_rows() -> None:
    network = make_network(1, 2, 16)
    x = np.random.default_rng(4).standard_normal((8, 300, 12)).astype(np.float32)
    whole = network.applied(x, 0.5, 3, 1.0, vector=True)
    part = network.applied(x[:, 7:8].copy(), 0.5, 3, 1.0, vector=True)
    np.testing.assert_allclose(whole[:, 7:8], part, atol=1e-5)


def test_rows_that_are_not_there_have_no_part() -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 1, 3) ** 2
    found = steady_network(0.25).applied(x, 1.0, 0, 1.0, vector=False)
    np.testing.assert_allclose(found[0], x[0] + 0.25 * (x[1] - x[0]))
    np.testing.assert_allclose(found[1], x[1] + 0.25 * (x[0] + x[2] - 2 * x[1]))
    np.testing.assert_allclose(found[3], x[3] + 0.25 * (x[2] - x[3]))
    alone = x[:1].copy()
    assert np.array_equal(steady_network(0.25).applied(alone, 1.0, 0, 1.0, vector=False), alone)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_tokens_of_any_size_stay_numbers(size: float) -> None:
    x = (np.random.default_rng(1).standard_normal((5, 2, 4)) * size).astype(np.float32)
    with np.errstate(all="ignore"):
        assert np.isfinite(make_network(2).applied(x, 0.1, 0, 1.0, vector=False)).all()
