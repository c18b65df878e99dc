"""What a mixture is said to cost against what it costs, and that the fit suits the content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.statistics import Principal
from embdc_cli.codec.transform.mixture.tracks import LEVELS
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.parameters import SegmentStage
from embdc_cli.entropy.coding_tables import fixed_tables
from tests.codec.codec_cases import rows_of, smooth
from tests.codec.mixture.mixture_cases import populations

SHAPE = (64, 150, 10)
TOLERANCE = 0.4
"""Bits are told as for embeddings, where scales of tracks differ: noise, all of one scale, takes up to 1.35 as many."""
UNTOLD_BITS = 1600
"""Tables of tracks, offsets, lengths and states of coders, which are the same for all offers."""


@cache
def content(name: str) -> np.ndarray:
    """(64, 150, 10) float32, centred."""
    motion = {"still": 0.0, "slow": 0.1, "moving": 1.0}
    if name in motion:
        x = populations(SHAPE, 3, motion=motion[name])[0]
    else:
        x = smooth(SHAPE) if name == "smooth" else rows_of("noise" if name == "noise" else "moving", SHAPE)
    centred: np.ndarray = x - x.mean(axis=(0, 1))
    return centred


def rms(x: np.ndarray) -> float:
    return float(np.sqrt((x.astype(np.float64) ** 2).mean()))


def fitted(sample: Sequence[np.ndarray], modes: int, *, dependent: bool = False, whole: bool = True) -> MixtureFit:
    """The fit of a centred sample, all principal axes known."""
    tokens = np.concatenate([array.reshape(-1, array.shape[2]) for array in sample])
    principal, mean = Principal.of_tokens(tokens), np.zeros(tokens.shape[1])
    halves = None if whole else [np.arange(array.shape[1]) % 2 == 1 for array in sample]
    return MixtureFit(sample, principal, modes, mean, rms(tokens), dependent=dependent, halves=halves)


@dataclass(frozen=True)
class Found:
    """bits: of models and chunks. distortion: in squared steps. models: bytes."""

    bits: int
    distortion: float
    models: bytes
    chunks: tuple[bytes, ...]
    mixture: Mixture


def coded(sample: Sequence[np.ndarray], offer: Offer, step: float) -> Found:
    """What the offer costs when it is taken."""
    chain = Chain(offer.build(fixed_tables()))
    out = FieldWriter()
    for stage in chain:
        assert isinstance(stage, SegmentStage)
        stage.write(out)
    parts = [chain.encode(array) for array in sample]
    chunks = tuple(map(chain.pack, parts))
    error = sum(
        float(((chain.reconstruct(part).astype(np.float64) - array) ** 2).sum())
        for array, part in zip(sample, parts, strict=True)
    )
    size = len(out.bytes()) + sum(map(len, chunks))
    (mixture,) = (stage for stage in chain if isinstance(stage, Mixture))
    return Found(8 * size, error / step**2, out.bytes(), chunks, mixture)


@pytest.mark.parametrize("name", ["noise", "moving", "slow", "still", "smooth", "walk"])
@pytest.mark.parametrize("relative_step", [1.0, 0.3, 0.05])
def test_offers_foretell_what_coding_costs(name: str, relative_step: float) -> None:
    sample = [content(name)]
    step = relative_step * rms(sample[0])
    offer = fit_of(name).offer(step, 1.0)
    found = coded(sample, offer, step)
    assert abs(found.bits - offer.bits) < TOLERANCE * offer.bits + UNTOLD_BITS
    # tracks are cut anew for the step, so less error than foretold is well possible
    assert 0.65 * offer.distortion < found.distortion < 1.15 * offer.distortion


@cache
def fit_of(name: str, modes: int = 4) -> MixtureFit:
    return fitted([content(name)], modes)


def test_a_larger_segment_costs_in_proportion_but_for_its_models() -> None:
    fit, step = fit_of("moving"), 0.3 * rms(content("moving"))
    once, often = fit.offer(step, 1.0), fit.offer(step, 100.0)
    assert often.distortion == pytest.approx(100 * once.distortion, rel=0.02)
    assert 90 * once.bits < often.bits < 100 * once.bits
    assert len(coded([], often, step).models) > len(coded([], once, step).models)


def test_bases_of_a_small_sample_are_not_trusted_beyond_it() -> None:
    """Modes of fewer tokens than channels explain their own sample nearly exactly, and nothing else."""
    noise = np.random.default_rng(3).standard_normal((16, 40, 64)).astype(np.float32)
    step = 0.3 * rms(noise)
    trusting, wary = (fitted([noise], 12, whole=whole).offer(step, 4.0) for whole in (True, False))
    others = np.random.default_rng(4).standard_normal((16, 160, 64)).astype(np.float32)
    real = [
        found.distortion + LAMBDA * found.bits for found in (coded([others], one, step) for one in (trusting, wary))
    ]
    assert trusting.cost < 0.8 * real[0]
    assert wary.cost == pytest.approx(real[1], rel=0.15)


def test_a_sample_that_cannot_be_halved_is_counted_whole() -> None:
    x = content("moving")
    tokens, mean = x.reshape(-1, x.shape[2]), np.zeros(x.shape[2])
    none = [np.zeros(x.shape[1], bool)]
    fits = [
        MixtureFit([x], Principal.of_tokens(tokens), 4, mean, rms(x), dependent=False, halves=halves)
        for halves in (None, none)
    ]
    step = 0.3 * rms(x)
    assert fits[0].offer(step, 1.0).cost == fits[1].offer(step, 1.0).cost


def test_finer_steps_cost_more_bits_and_less_error() -> None:
    fit, unit = fit_of("slow"), rms(content("slow"))
    offers = [(step, fit.offer(step * unit, 1.0)) for step in (2.0, 0.5, 0.1, 0.02, 1e-3)]
    bits = [offer.bits for _, offer in offers]
    errors = [offer.distortion * step**2 for step, offer in offers]
    assert bits == sorted(bits)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("name", "longest"), [("still", True), ("noise", False)])
def test_still_content_takes_long_tracks(name: str, longest: bool) -> None:
    x = content(name)
    step = 0.3 * rms(x)
    mixture = coded([x], fit_of(name).offer(step, 1.0), step).mixture
    levels = mixture.chunk(mixture.measure(x)).tracks.level
    assert (levels == LEVELS - 1).all() == longest
    assert longest or (levels < LEVELS - 2).mean() > 0.5


def test_more_modes_are_cheaper_where_there_are_more_kinds() -> None:
    for name, share in (("moving", 0.65), ("noise", 1.0)):
        step = 0.3 * rms(content(name))
        one, four = fit_of(name, 1).offer(step, 1.0), fit_of(name, 4).offer(step, 1.0)
        assert four.cost == pytest.approx(share * one.cost, rel=0.1)
        found = [coded([content(name)], offer, step) for offer in (one, four)]
        costs = [each.distortion + LAMBDA * each.bits for each in found]
        assert costs[1] == pytest.approx(share * costs[0], rel=0.1)


def test_vectors_that_do_not_pay_are_not_sent() -> None:
    """Three kinds on planes of two dimensions in ten, and noise far below the step."""
    rng = np.random.default_rng(0)
    planes = rng.normal(size=(3, 2, 10))
    labels = rng.integers(0, 3, SHAPE[1])
    x = np.einsum("tnk,nkd->tnd", rng.normal(size=(*SHAPE[:2], 2)), planes[labels])
    x = (x + 8 * rng.normal(size=(3, 10))[labels] + 0.001 * rng.normal(size=x.shape)).astype(np.float32)
    step = 0.3
    found = coded([x], fitted([x], 3).offer(step, 1.0), step)
    assert [mode.rank for mode in found.mixture.modes] == [2, 2, 2]


@pytest.mark.parametrize("name", ["moving", "noise"])
def test_the_same_sample_gives_the_same_bytes(name: str) -> None:
    x = content(name)
    sample = [x[:, :100], np.ascontiguousarray(x[:37, 100:])]
    step = 0.3 * rms(x)
    mine, other = (coded(sample, fitted([part.copy() for part in sample], 3).offer(step, 2.0), step) for _ in range(2))
    assert mine.models == other.models
    assert mine.chunks == other.chunks
