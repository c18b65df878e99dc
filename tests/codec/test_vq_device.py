"""Vector quantisation on a device finds and decodes the same as the definition: in torch on the CPU, and on a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.codec.vq.levels import Level
from embdc_cli.codec.vq.search import Packed, cuda, lookup, reference, search
from tests.codec.codec_cases import smooth
from tests.codec.test_vq import RANK, few_numbers, packed_of, prices_of, some_levels, walk

ON_CPU = "cpu:0"
"""Not `cpu`, so that torch is used."""
DEVICES = [ON_CPU, pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(7, 5, RANK), (1, 1, RANK), (24, 2, RANK), (3, 50, RANK)])
@pytest.mark.parametrize("lagrangian", [0.0, 3e3, 1e6])
def test_codes_and_sums_are_those_of_the_cpu(shape: tuple[int, int, int], lagrangian: float, device: str) -> None:
    levels = some_levels()
    y, packed, prices = walk(shape), packed_of(levels), prices_of(levels)
    codes = search(y, packed, prices, lagrangian)
    assert np.array_equal(search(y, packed, prices, lagrangian, device), codes)
    assert np.array_equal(lookup(codes, packed, RANK, device), lookup(codes, packed, RANK))


@given(st.integers(1, 20), st.integers(1, 9), st.sampled_from([0.0, 0.5, 3.0, 20.0]), st.integers(0, 99))
@settings(deadline=None, max_examples=12)
def test_of_equals_the_same_is_taken(rows: int, places: int, lagrangian: float, seed: int) -> None:
    case = few_numbers(rows, places, seed)
    assert np.array_equal(cuda.search(*case, lagrangian, ON_CPU), reference.search(*case, lagrangian))


@pytest.mark.parametrize("shape", [(4, 5, 0), (0, 5, 2), (4, 0, 2)])
def test_nothing_is_looked_up_where_there_is_nothing(shape: tuple[int, int, int]) -> None:
    """As in streams of constants, which have no levels."""
    packed = Packed.of([Level(np.arange(2, dtype=np.int32), np.ones((2, 2), np.int32))] * shape[2])
    found = lookup(np.zeros(shape, np.int32), packed, RANK, ON_CPU)
    assert found.shape == (*shape[:2], RANK)
    assert not found.any()


def test_many_places_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = some_levels()
    y, packed, prices = walk((4, 23, RANK)), packed_of(levels), prices_of(levels)
    whole = search(y, packed, prices, 3e3, ON_CPU)
    largest: list[int] = []
    original = cuda._Level.scores

    def scores(self: cuda._Level, left: torch.Tensor) -> torch.Tensor:
        found = original(self, left)
        largest.append(found.numel())
        return found

    monkeypatch.setattr(cuda, "_SCORES", 4 * 256 * 5)
    monkeypatch.setattr(cuda._Level, "scores", scores)
    assert np.array_equal(search(y, packed, prices, 3e3, ON_CPU), whole)
    assert max(largest) == 4 * 256 * 5


def test_torch_may_round_products_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does with TF32: scores are multiplied out in float64, which it never shortens."""

    def refused(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        assert self.dtype == other.dtype == torch.float64
        return torch.matmul(self, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", refused)
    levels = some_levels()
    assert search(walk((4, 3, RANK)), packed_of(levels), prices_of(levels), 3e3, ON_CPU).any()


@pytest.mark.parametrize("device", DEVICES)
def test_archives_are_the_same_from_any_device(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = smooth((40, 12, 16)).astype(np.float16)
    embdc.encode(x, str(tmp_path / "cpu.embdc"), codec="vq", target_cosine=0.99)
    expected = embdc.open(str(tmp_path / "cpu.embdc"))["data"][:]
    if device == ON_CPU:  # no word of --device
        for module in ("encoding.planning", "archive"):
            monkeypatch.setattr(f"embdc_cli.{module}.computing_device", lambda _: device)
    searched: list[str] = []
    for place, name in ((cuda, "search"), (cuda.Lookup, "sums")):
        original = getattr(place, name)

        def counted(*args: object, name: str = name, original: object = original) -> object:
            searched.append(name)
            return original(*args)  # type: ignore[operator]

        monkeypatch.setattr(place, name, counted)
    chosen = "auto" if device == ON_CPU else device
    embdc.encode(x, str(tmp_path / "device.embdc"), codec="vq", target_cosine=0.99, device=chosen)
    assert (tmp_path / "device.embdc").read_bytes() == (tmp_path / "cpu.embdc").read_bytes()
    assert "search" in searched
    searched.clear()
    decoded = embdc.open(str(tmp_path / "cpu.embdc"), device="cpu" if device == ON_CPU else device)["data"][:]
    assert searched == ["sums"]
    # the product with the basis is rounded by each device in its own way: the same, or neighbours in float16
    torch.testing.assert_close(decoded.cpu(), expected, rtol=2.0**-10, atol=1e-6)
