"""Foretold costs of quantised values are those that coding finds, and the fixed tables suit what is coded with them."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codec.transform import rdoq, trellis
from embdc_cli.codec.transform.dead_zone import OFFSET_UNIT, THETA
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.expected import ENTRIES, ENTRY_PATHS, PATHS, ROUNDED, Curve
from embdc_cli.codec.transform.mixture.entries import HALF_STEP, LAGRANGIAN
from embdc_cli.entropy import dependent
from embdc_cli.entropy.coding_tables import CodingTables, fixed_tables
from embdc_cli.entropy.dependent.points import points_of
from embdc_cli.entropy.dependent.tables import entry_path_tables
from embdc_cli.entropy.levels import encode_levels
from embdc_cli.entropy.tables import Tables, classes_of_means, entry_tables, static_tables

PLANES, TRACKS = 48, 2048


def planes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values (planes, tracks) in steps, mean dead-zone levels, classes (planes,)), of falling scales.

    One half of a plane is Laplacian, the other Gaussian.
    """
    rng = np.random.default_rng(11)
    scales = np.exp2(np.linspace(4, -2, PLANES))
    halves = rng.laplace(size=(PLANES, TRACKS // 2)) / np.sqrt(2), rng.standard_normal((PLANES, TRACKS // 2))
    values = (scales[:, None] * np.concatenate(halves, axis=1)).astype(np.float32)
    levels = np.floor(np.abs(values) + THETA)
    return values, levels.mean(axis=1), classes_of_means(levels.sum(axis=1), np.full(PLANES, TRACKS))


def offsets_of(values: np.ndarray) -> tuple[int, int, int]:
    """Centroids of dead-zone levels 1, 2 and 3 upwards."""
    u = np.abs(values)
    levels = np.floor(u + THETA)
    found = [round(float((u - levels)[part].mean()) / OFFSET_UNIT) for part in (levels == 1, levels == 2, levels > 2)]
    return found[0], found[1], found[2]


def points_at(levels: np.ndarray, offsets: tuple[int, int, int]) -> np.ndarray:
    """What levels 0 and up stand for."""
    return np.asarray(levels + np.array([0, *offsets])[np.minimum(levels, 3).astype(int)] * OFFSET_UNIT)


def by_rate(
    values: np.ndarray, classes: np.ndarray, tables: Tables, offsets: tuple[int, int, int] = (0, 0, 0)
) -> tuple[float, float]:
    """(bits, squared error) of all values."""
    levels = rdoq.quantise(values, classes, rdoq.thresholds(LAMBDA, offsets, tables))
    error = float(((np.abs(values) - points_at(np.abs(levels), offsets)) ** 2).sum())
    return 8 * len(encode_levels(levels, classes, tables)), error


def by_trellis(values: np.ndarray, classes: np.ndarray, tables: Tables, shape: tuple[int, int]) -> tuple[float, float]:
    """As `by_rate`."""
    halves, paths = values * np.float32(1 / HALF_STEP), np.array([shape])
    levels = trellis.choose(halves, classes, paths, LAGRANGIAN, tables)
    points = points_of(levels, dependent.quantisers(levels, classes, paths, tables)) * HALF_STEP
    return 8 * len(dependent.encode(levels, classes, paths, tables)), float(((values - points) ** 2).sum())


@pytest.mark.parametrize("dependently", [False, True])
def test_coefficients_cost_what_is_foretold(dependently: bool) -> None:
    values, means, classes = planes()
    each = np.repeat(classes.astype(np.uint8), TRACKS)
    if dependently:
        bits, error = by_trellis(values.ravel(), each, fixed_tables().paths, values.shape)
    else:
        bits, error = by_rate(values.ravel(), each, fixed_tables().rounded, offsets_of(values))
    expected_bits, added = (PATHS if dependently else ROUNDED).at(means)
    plain = np.abs(values) - points_at(np.floor(np.abs(values) + THETA), offsets_of(values))
    assert bits == pytest.approx(TRACKS * expected_bits.sum(), rel=0.03)
    assert error == pytest.approx(float((plain**2).sum()) + TRACKS * added.sum(), rel=0.06)


@pytest.mark.parametrize("mean", [0.7, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("dependently", [False, True])
def test_entries_cost_what_is_foretold(dependently: bool, mean: float) -> None:
    shape = (256, 256)
    values = (mean * np.sqrt(np.pi / 2) * np.random.default_rng(3).standard_normal(shape)).astype(np.float32).ravel()
    cls = classes_of_means(np.array([round(1000 * mean)]), np.array([1000]))
    each = np.full(values.size, cls[0], np.uint8)
    if dependently:
        bits, error = by_trellis(values, each, entry_path_tables(), shape)
    else:
        bits, error = by_rate(values, each, entry_tables())
    expected_bits, expected_error = (ENTRY_PATHS if dependently else ENTRIES).at(np.array(mean))
    assert bits == pytest.approx(values.size * float(expected_bits), rel=0.06)
    assert error == pytest.approx(values.size * float(expected_error), rel=0.1)


@pytest.mark.parametrize("curve", [ROUNDED, PATHS, ENTRIES, ENTRY_PATHS])
def test_curves_go_on_beyond_their_ends(curve: Curve) -> None:
    bits, errors = curve.at(np.exp2(np.arange(-30.0, 31.0)))
    assert np.isfinite(np.stack([bits, errors])).all()
    assert bits[0] < 0.002
    np.testing.assert_allclose(np.diff(bits[-8:]), 1.0)  # an octave is a bit


def test_rounding_by_rate_is_cheaper_under_its_own_tables() -> None:
    """Against those of a dead zone, at the price of a bit: why there are two sets."""
    values, _, classes = planes()
    each = np.repeat(classes.astype(np.uint8), TRACKS)
    costs = []
    for tables in (fixed_tables().rounded, static_tables()):
        bits, error = by_rate(values.ravel(), each, tables, offsets_of(values))
        costs.append(error + LAMBDA * bits)
    assert costs[0] < costs[1]


@pytest.mark.parametrize("wrong", ["planes", "rounded", "paths"])
def test_coding_tables_of_another_size_are_refused(wrong: str) -> None:
    sets = {"planes": static_tables(), "rounded": static_tables(), "paths": fixed_tables().paths}
    sets[wrong] = static_tables() if wrong == "paths" else fixed_tables().paths
    with pytest.raises(ValueError, match=f"{wrong}: expected"):
        CodingTables(**sets)
