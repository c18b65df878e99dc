"""Every measure against its definition, however the rows are cut, and what degenerate values give."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.comparison import block, cka, neighbours
from tests.comparison import definitions
from tests.comparison.definitions import noisy, stream
from tests.synthetic import embeddings

X = embeddings(60, 7, 24)
Y = noisy(X)


def test_measures_equal_their_definitions() -> None:
    found = stream(X, Y)
    expected = definitions.fidelity(X, Y)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert found["cka"] == pytest.approx(definitions.cka(definitions.tokens(X), definitions.tokens(Y)), rel=1e-9)
    worst = np.sort(definitions.cosines(definitions.tokens(X), definitions.tokens(Y)))[4]  # of 420 tokens
    assert 1 - worst <= 1 - found["cosine_p1"] <= (1 - worst) * 2 ** (1.5 / 64)
    assert (found["shape"], found["dtype"], found["tokens"]) == ([60, 7, 24], "float16", 420)
    assert (found["identical"], found["nonfinite"]) == (False, 0)


def test_an_exact_copy_is_perfect() -> None:
    found = stream(X, X.copy())
    assert found["identical"]
    assert (found["nmse"], found["channel_nmse"], found["max_abs_error"], found["norm_drift"]) == (0, 0, 0, 0)
    assert found["snr_db"] is None
    perfect = [found[name] for name in ("cosine", "cosine_p1", "centred_cosine", "cka")]
    assert perfect == pytest.approx([1, 1, 1, 1], abs=1e-12)
    assert set(found["recall"].values()) == {1.0}
    assert found["over_time"]["nmse"] == [0] * 60


def test_scaled_vectors_keep_their_directions_and_drift_in_length() -> None:
    found = stream(X.astype(np.float32), X.astype(np.float32) * np.float32(0.5))
    assert found["norm_drift"] == pytest.approx(-0.5)
    assert (found["cosine"], found["cka"]) == (pytest.approx(1), pytest.approx(1))
    assert set(found["recall"].values()) == {1.0}
    assert found["nmse"] > 0.25


def cut_every(rows: int) -> Any:
    return lambda tensor, _: [
        (at, min(at + rows, tensor.spec.known_rows)) for at in range(0, tensor.spec.known_rows, rows)
    ]


def same(found: Any, expected: Any) -> None:
    """Equal documents, numbers to within rounding."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            same(*pair)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    else:
        assert found == expected


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 50), chunk=st.integers(1, 60), block_tokens=st.integers(1, 400), seed=st.integers(0, 1 << 20)
)
def test_results_do_not_depend_on_how_the_rows_are_cut(rows: int, chunk: int, block_tokens: int, seed: int) -> None:
    x = embeddings(rows, 3, 8, seed)
    y = noisy(x, seed=seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cka, "_MAX_TOKENS", 20)
        patch.setattr(neighbours, "MAX_VECTORS", 20)
        whole = stream(x, y)
        patch.setattr(block, "cut_rows", cut_every(chunk))
        patch.setattr(block, "BLOCK_VALUES", 8 * block_tokens)
        same(stream(x, y), whole)


@settings(max_examples=15, deadline=None)
@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=30), chunk=st.integers(1, 30))
def test_rows_of_unequal_token_counts(counts: list[int], chunk: int) -> None:
    flat = embeddings(sum(counts) + 2, 1, 6)[:, 0]
    noise = noisy(flat)
    edges = np.cumsum([0, *counts])
    x, y = ([z[a:b] for a, b in pairwise(edges)] for z in (flat, noise))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "cut_rows", cut_every(chunk))
        found = stream(x, y)
    assert found["shape"] == [len(counts), -1, 6]
    assert found["tokens"] == sum(counts)
    filled = [row for row, count in enumerate(counts) if count]
    assert found["over_time"]["row"] == filled
    if sum(counts) > 1:
        assert found["cosine"] == pytest.approx(definitions.cosines(flat[:-2] * 1.0, noise[:-2] * 1.0).mean(), abs=1e-3)
    by_row = [definitions.cosines(x[row].astype(float), y[row].astype(float)).mean() for row in filled]
    assert found["over_time"]["cosine"] == pytest.approx(by_row)


@pytest.mark.parametrize("shape", [(1, 7, 24), (40, 1, 24), (40, 24), (1, 24), (1, 1, 1), (24,), (6, 4, 4, 8)])
def test_small_and_unusual_shapes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(np.float32)
    found = stream(x, x + np.float32(0.1))
    assert found["shape"] == list(shape)
    assert found["tokens"] == x.size // shape[-1]
    assert found["max_abs_error"] == pytest.approx(0.1, rel=1e-5)
    assert -1 <= found["cosine"] <= 1


@pytest.mark.parametrize("shape", [(0, 7, 24), (0, 24), (5, 0, 24), (5, 3, 0)])
def test_nothing_at_all_is_a_perfect_copy(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    found = stream(x, x)
    assert (found["nmse"], found["cosine"], found["centred_cosine"], found["norm_drift"]) == (0, 1, 1, 0)
    assert set(found["recall"].values()) <= {None, 1.0}


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((4, 3)), np.zeros((4, 3)), {"nmse": 0, "cosine": 1, "cka": 1, "norm_drift": 0}),
        (np.zeros((4, 3)), np.eye(4, 3), {"nmse": None, "snr_db": None, "cosine": 0.25, "cka": 0, "norm_drift": 0}),
        (np.eye(4, 3), np.zeros((4, 3)), {"cosine": 0.25, "cka": 0, "norm_drift": -1}),
        (np.full((4, 3), 0.1), np.full((4, 3), 0.1), {"nmse": 0, "channel_nmse": 0, "cosine": 1, "cka": 1}),
        (np.full((4, 3), 0.1), np.full((4, 3), 0.3), {"nmse": None, "channel_nmse": None, "cosine": 1, "cka": 1}),
    ],
)
def test_constants(x: np.ndarray, y: np.ndarray, expected: dict[str, Any]) -> None:
    found = stream(x.astype(np.float32), y.astype(np.float32))
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_cka_with_a_constant_is_nothing_but_rounding() -> None:
    constant = np.full(X.shape, 0.3, np.float32) * np.linspace(0.1, 7, 24, dtype=np.float32)
    assert stream(X.astype(np.float32), constant)["cka"] == 0


def test_one_constant_channel_that_changes_is_infinitely_wrong() -> None:
    x = X.astype(np.float32)
    x[..., 3] = 2
    y = x.copy()
    y[..., 3] = 3
    found = stream(x, y)
    assert found["channel_nmse"] is None
    assert found["nmse"] < 1


def test_values_that_are_not_finite() -> None:
    x, y = X.astype(np.float32), Y.astype(np.float32)
    x[3, 2, 5], x[9, 1, 0] = np.nan, np.inf
    left_out = stream(x, y)
    assert left_out["nonfinite"] == 0
    assert all(math.isfinite(left_out[name]) for name in ("nmse", "channel_nmse", "cosine", "cka"))
    y[20, 4, 7] = np.nan
    found = stream(x, y)
    assert found["nonfinite"] == 1
    assert all(math.isfinite(found[name]) for name in ("centred_cosine", "norm_drift", "cka"))
    assert (found["nmse"], found["channel_nmse"], found["max_abs_error"]) == (None, None, None)
    assert found["cosine"] == pytest.approx(left_out["cosine"], abs=0.01)
    assert found["over_time"]["nmse"][20] is None
    assert next(one["row"] for one in found["worst"] if one["by"] == "nmse") == 20


def test_huge_and_tiny_values() -> None:
    for scale in (1e37, 1e-37):
        x = X.astype(np.float32) * np.float32(scale)
        found, expected = stream(x, noisy(x, noise=scale * 0.01)), stream(X, X)
        assert 0 < found["nmse"] < 1
        assert found.keys() == expected.keys()
        assert 0.5 < found["cka"] <= 1


def test_bfloat16_and_float64() -> None:
    torch = pytest.importorskip("torch")
    brain = torch.from_numpy(X.astype(np.float32)).bfloat16()
    found = stream(X.astype(np.float64), brain)
    assert found["dtype"] == "bfloat16"
    exact = definitions.fidelity(X, brain.float().numpy())
    assert found["nmse"] == pytest.approx(exact["nmse"])


def test_tokens_lie_along_the_axis_of_channels(tmp_path: Path) -> None:
    turned, noise = (np.ascontiguousarray(z.transpose(0, 2, 1)) for z in (X, Y))
    expected = stream(X, Y)
    found = stream(turned, noise, axes="t,c,n")
    names = ("nmse", "channel_nmse", "cosine", "centred_cosine", "cka", "recall")
    same({name: found[name] for name in names}, {name: expected[name] for name in names})
    # an archive knows its axes, so that the dump needs no --axes
    embdc.encode(turned, tmp_path / "a.embdc", axes="t,c,n", target_nmse=0.1)
    found = stream(turned, tmp_path / "a.embdc")
    verified = embdc.verify(tmp_path / "a.embdc", against=save(tmp_path / "x.npy", turned))
    assert verified["ok"]
    assert found["tokens"] == expected["tokens"]
    assert verified["against"]["cosine"] == pytest.approx(found["cosine"])


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_special_tokens_are_tokens(tmp_path: Path) -> None:
    x = embeddings(20, 17, 24)
    embdc.encode(x, tmp_path / "a.embdc", special_tokens="auto", target_nmse=0.05)
    with embdc.open(tmp_path / "a.embdc") as archive:
        decoded = archive["data" if "data" in archive.streams else archive.streams[0]][:].numpy()
    found = stream(x, tmp_path / "a.embdc")
    assert found["nmse"] == pytest.approx(definitions.fidelity(x, decoded)["nmse"])
    assert found["tokens"] == 20 * 17
