"""Refinement: every part does what its formula says, and together they lower error and rate."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codebook.vector.codewords import refitted
from embdc_cli.codebook.vector.gradient import descended
from embdc_cli.codebook.vector.hard import Coded, code, levels_sum, total, unit_of
from embdc_cli.codebook.vector.losses import Loss, loss_of
from embdc_cli.codebook.vector.model import FloatLevel, Model, orthonormal
from embdc_cli.codebook.vector.refine import refine
from embdc_cli.codebook.vector.revival import revived
from embdc_cli.codebook.vector.rotation import rotated
from embdc_cli.codebook.vector.start import first_levels
from embdc_cli.codebook.vector.usage import in_use, usage_of
from embdc_cli.codec.weighting import Weighting
from embdc_cli.reporter import Silent
from tests.codebook.vector.vector_cases import CHANNELS, clip

CLIPS = [clip(48, 0), clip(48, 1)]
TOKENS = np.concatenate([one.tokens for one in CLIPS])
COVARIANCE = np.cov(TOKENS.T.astype(np.float64))


@pytest.fixture(scope="module")
def model() -> Model:
    basis = np.linalg.eigh(COVARIANCE)[1].T[::-1]
    start = Model(basis, tuple(first_levels((TOKENS @ basis.T).astype(np.float32), 0)))
    used = in_use(start, code(start, CLIPS, unit_of(CLIPS), Loss()))
    assert 2 <= len(used.levels) < len(start.levels)  # what is left after them is noise, which tokens do not pay for
    return used


@pytest.fixture(scope="module")
def coded(model: Model) -> list[Coded]:
    return code(model, CLIPS, unit_of(CLIPS), Loss())


def squares(model: Model, coded: list[Coded]) -> float:
    """Weighted error for these codes, whatever the basis does to the coefficients of `coded`."""
    found = 0.0
    for one, x in zip(coded, tokens_of(coded), strict=True):
        decoded = (one.rest + levels_sum(model, one.codes)).astype(np.float64) @ model.basis
        found += one.weight * float(((x - decoded) ** 2).sum())
    return found


def tokens_of(coded: list[Coded]) -> list[np.ndarray]:
    return [one.tokens for one in CLIPS for _ in range(len(coded) // len(CLIPS))]


def test_a_coded_clip_is_what_it_says(model: Model, coded: list[Coded]) -> None:
    assert len(coded) == 6
    assert sum(one.error * one.weight for one in coded) == pytest.approx(squares(model, coded), rel=1e-4)
    assert all(one.bits > 0 for one in coded)
    coarse, middle, fine = coded[:3]
    assert coarse.error > middle.error > fine.error
    assert coarse.bits < fine.bits


def test_codewords_and_basis_each_lower_the_error_of_given_codes(model: Model, coded: list[Coded]) -> None:
    before = squares(model, coded)
    words = refitted(model, coded)
    assert squares(words, coded) < before
    again = refitted(words, coded)
    assert squares(again, coded) <= squares(words, coded) * (1 + 1e-6)
    turned = rotated(words, coded, tokens_of(coded))
    assert squares(turned, coded) < squares(words, coded)
    assert np.abs(turned.basis @ turned.basis.T - np.eye(CHANNELS)).max() < 1e-9


def test_one_level_alone_gets_the_means_of_its_cells() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 3)).astype(np.float32)
    codes = rng.integers(0, 4, size=(200, 1)).astype(np.int32)
    one = Coded(y, codes, np.zeros_like(y), 0.7, 0.0, 0.0)
    model = Model(np.eye(3), (FloatLevel(np.array([0, 2], np.int32), rng.normal(size=(5, 2))),))
    found = refitted(model, [one]).levels[0].centres
    for index in range(3):
        np.testing.assert_allclose(found[index], y[codes[:, 0] == index + 1][:, [0, 2]].mean(axis=0), atol=1e-5)
    np.testing.assert_array_equal(found[3:], model.levels[0].centres[3:])  # no token uses them


def test_dead_codewords_go_where_error_is_largest() -> None:
    y = np.zeros((50, 2), np.float32)
    y[7] = [9, 0]
    codes = np.ones((50, 1), np.int32)
    one = Coded(y, codes, np.zeros_like(y), 1.0, 0.0, 0.0)
    level = FloatLevel(np.array([0, 1], np.int32), np.array([[0.0, 0.0], [100.0, 100.0]]))
    found = revived(Model(np.eye(2), (level,)), [one]).levels[0].centres
    np.testing.assert_allclose(found, [[0, 0], [9, 0]])


def test_refinement_lowers_error_and_rate_on_what_it_was_trained_on(model: Model) -> None:
    found = refine(model, CLIPS, 3, Loss(), 0, Silent())
    unit = unit_of(CLIPS)
    before, after = (code(one, CLIPS, unit, Loss()) for one in (model, found.model))
    assert total(before) == pytest.approx(found.costs[0])
    assert total(after) == pytest.approx(min(found.costs))
    assert total(after) < 0.98 * total(before)
    again = refine(model, CLIPS, 3, Loss(), 0, Silent())
    assert again.costs == found.costs
    assert again.model.basis.tobytes() == found.model.basis.tobytes()


def test_no_steps_change_nothing(model: Model) -> None:
    found = refine(model, CLIPS, 0, Loss(), 0, Silent())
    assert found.model is model
    assert found.costs == []


HEAD = (np.random.default_rng(3).normal(size=(5, CHANNELS)), np.zeros(5))
LOSSES = {
    "channel": loss_of(Weighting("channel"), None, COVARIANCE, np.full(CHANNELS, 2.0)),
    "token": loss_of(Weighting("token"), None, COVARIANCE, np.full(CHANNELS, 2.0)),
    "matrix": loss_of(Weighting("matrix", HEAD[0]), None, COVARIANCE, np.full(CHANNELS, 2.0)),
    "probe": loss_of(Weighting(), HEAD, COVARIANCE, np.full(CHANNELS, 2.0)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_lower_other_errors_and_keep_the_basis_orthonormal(model: Model, name: str) -> None:
    loss = LOSSES[name]
    assert not loss.plain
    coded = code(model, CLIPS, unit_of(CLIPS), loss, (1.0,))
    tokens = tokens_of(coded)
    moved = descended(model, coded, tokens, loss, 0)
    assert np.abs(moved.basis @ moved.basis.T - np.eye(CHANNELS)).max() < 1e-5

    def error(one: Model) -> float:
        parts = zip(coded, tokens, strict=True)
        return sum(
            loss.error(x, ((c.rest + levels_sum(one, c.codes)) @ one.basis).astype(np.float32)) for c, x in parts
        )

    assert error(moved) < 0.99 * error(model)
    assert descended(model, coded, tokens, loss, 0).basis.tobytes() == moved.basis.tobytes()


@pytest.mark.parametrize("name", ["channel", "matrix"])
def test_metrics_weigh_the_corpus_as_plain_error_does(name: str) -> None:
    assert LOSSES[name].error(TOKENS, np.zeros_like(TOKENS)) == pytest.approx(
        Loss().error(TOKENS, np.zeros_like(TOKENS)), rel=0.01
    )


def test_the_value_of_a_probe_is_kl_and_error() -> None:
    loss = LOSSES["probe"]
    x, y = TOKENS[:30], TOKENS[30:60]
    p, q = (np.exp((tokens + 2.0) @ HEAD[0].T) for tokens in (x, y))
    p, q = (part / part.sum(axis=1, keepdims=True) for part in (p, q))
    kl = float((p * np.log(p / q)).sum())
    assert loss.error(x, y) == pytest.approx(((x - y) ** 2).sum() / 2 + loss.kappa * kl / 2, rel=1e-3)


def test_usage_counts_codewords(model: Model, coded: list[Coded]) -> None:
    found = usage_of(model, coded)
    assert len(found) == len(model.levels)
    for level, row in zip(model.levels, found, strict=True):
        assert row["codewords"] == len(level.centres)
        assert 0 < row["used"] <= 1
        assert 1 <= row["perplexity"] <= row["used"] * row["codewords"] + 1e-9
    two = Model(np.eye(1), (FloatLevel(np.zeros(1, np.int32), np.zeros((4, 1))),))
    codes = np.array([[1], [1], [3], [3], [0]], np.int32)
    (row,) = usage_of(two, [Coded(np.zeros((5, 1)), codes, np.zeros((5, 1)), 1.0, 0.0, 0.0)])
    assert (row["used"], row["perplexity"], row["tokens"]) == (0.5, pytest.approx(2.0), 0.8)


def test_the_way_into_integers_keeps_what_is_decoded(model: Model) -> None:
    from tests.codebook.codebook_cases import make_codebook

    turn = orthonormal(np.random.default_rng(0).normal(size=(CHANNELS, CHANNELS)))
    mixed = Model(turn @ model.basis, model.levels)
    codebook = mixed.codebook(make_codebook(CHANNELS, CHANNELS), COVARIANCE)
    assert (np.diff(codebook.spectrum) <= 0).all()
    back = Model.of(codebook)
    codes = np.random.default_rng(1).integers(0, 9, size=(100, len(model.levels))).astype(np.int32)
    before, after = (levels_sum(one, codes) @ one.basis for one in (mixed, back))
    assert np.abs(before - after).max() < 0.02 * np.abs(before).max()


@pytest.mark.parametrize("count", [191, 192])
def test_as_many_levels_as_there_may_be_are_coded(count: int) -> None:
    """None are left for what these leave, nor for a gain of it."""
    basis = np.eye(CHANNELS)
    level = FloatLevel(np.arange(2, dtype=np.int32), np.random.default_rng(0).normal(size=(2, 2)))
    (coded, *_) = code(Model(basis, (level,) * count), CLIPS[:1], unit_of(CLIPS), Loss())
    assert coded.codes.shape[1] == count
