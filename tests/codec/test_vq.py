"""Vector quantisation: both kernels search and look up alike, codes come back, and what is still costs nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.transform.parameters import Scope
from embdc_cli.codec.vq import flags, gain, gaussian, indices
from embdc_cli.codec.vq.borrowed import Borrowed
from embdc_cli.codec.vq.fit import counted
from embdc_cli.codec.vq.learning import Learner
from embdc_cli.codec.vq.levels import LearntLevel, Level
from embdc_cli.codec.vq.quantiser import VectorIndices, VectorQuantiser, even_classes
from embdc_cli.codec.vq.search import Packed, Prices, cpu, lookup, reference, search
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive, EmbdcError
from tests.codebook.codebook_cases import make_codebook
from tests.codec.codec_cases import LIMITS, nmse, rows_of, smooth, spec_of
from tests.codec.test_codec_transform import SHAPES, coded

RANK = 21


def some_levels(seed: int = 0, rank: int = RANK) -> list[Level]:
    """Levels that overlap and differ in everything, then Gaussian ones."""
    rng = np.random.default_rng(seed)
    learnt = [
        LearntLevel.rounded(
            np.sort(rng.choice(rank, width, replace=False)).astype(np.int32),
            rng.standard_normal((count, width)) * 100,
            exponent,
        ).at(-3)
        for width, count, exponent in [(5, 16, 0), (1, 2, 1), (rank, 64, -2), (3, 256, -5)]
    ]
    return [*learnt, gain.level(), *gaussian.levels(np.full(rank, 32), 5)]


def packed_of(levels: list[Level], rank: int = RANK) -> Packed:
    """With the gains that `some_levels` have, and two coefficients that do not matter for them."""
    gains = [number for number, level in enumerate(levels) if not len(level.channels)]
    expected = np.where(np.arange(rank) < rank - 2, 2.0**16 * rank, np.inf)
    return Packed.of(levels, *gains, expected=expected)


def walk(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Coefficients that change slowly, in quanta."""
    return (np.random.default_rng(seed).standard_normal(shape) * 400).cumsum(axis=0).astype(np.int32)


def prices_of(levels: list[Level], seed: int = 0) -> Prices:
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(0.05, 3, (6, len(levels)))
    sizes = np.log2([len(level.codewords) for level in levels])
    return Prices(drawn[0], drawn[1], drawn[2:4].T.copy(), drawn[4:6].T.copy(), sizes)


@pytest.mark.parametrize("shape", [(7, 5, RANK), (1, 1, RANK), (64, 2, RANK), (3, 50, RANK), (70, 1, RANK)])
@pytest.mark.parametrize("lagrangian", [0.0, 3e3, 5e4, 1e6])
def test_kernels_agree(shape: tuple[int, int, int], lagrangian: float) -> None:
    levels = some_levels()
    y, packed, prices = walk(shape), packed_of(levels), prices_of(levels)
    slow, fast = (kernel.search(y, packed, prices, lagrangian) for kernel in (reference, cpu))
    assert np.array_equal(slow, fast)
    assert np.array_equal(reference.lookup(slow, packed, RANK), cpu.lookup(slow, packed, RANK))


def few_numbers(rows: int, places: int, seed: int) -> tuple[np.ndarray, Packed, Prices]:
    """Coefficients, levels and prices among which most codewords are as good as others, and paths as paths."""
    rng = np.random.default_rng(seed)
    levels = [
        Level(np.arange(width, dtype=np.int32), rng.integers(-2, 3, (count, width)).astype(np.int32))
        for width, count in [(3, 32), (1, 8), (6, 16)]
    ]
    prices = Prices(*(rng.integers(0, 3, shape) / 2.0 for shape in [3, 3, (3, 2), (3, 2), 3]))
    return rng.integers(-3, 4, (rows, places, 6)).astype(np.int32), Packed.of(levels), prices


@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from([0.0, 0.5, 3.0, 20.0]), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_kernels_agree_on_equals(rows: int, places: int, lagrangian: float, seed: int) -> None:
    case = few_numbers(rows, places, seed)
    slow, fast = (kernel.search(*case, lagrangian) for kernel in (reference, cpu))
    assert np.array_equal(slow, fast)


def test_without_a_price_each_level_takes_what_is_nearest() -> None:
    """However much is left elsewhere, which rounding of float32 would weigh against small differences here."""
    near = Level(np.arange(2, dtype=np.int32), np.array([[1, 1], [2, 2], [3, 3], [4, 4]], np.int32))
    levels = [near, Level(np.arange(2, 4, dtype=np.int32), np.full((2, 2), 300, np.int32))]
    y = np.repeat(np.array([[[1, 1, 1 << 24, 0]]], np.int32), 4, axis=0)
    y[..., :2] += np.arange(4)[:, None, None]
    for kernel in (reference, cpu):
        codes = kernel.search(y, Packed.of(levels), prices_of(levels), 0.0)
        assert codes[:, 0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(3, 0, RANK), (0, 3, RANK)])
def test_nothing_has_no_codes(shape: tuple[int, int, int]) -> None:
    levels = some_levels()
    codes = search(walk(shape), packed_of(levels), prices_of(levels), 1.0)
    assert codes.shape == (*shape[:2], len(levels))
    assert lookup(codes, packed_of(levels), RANK).shape == shape


def test_scores_are_exact_for_the_largest_numbers() -> None:
    """Sums stay below 2^24 whatever the coefficients are, so float32 adds them in any order."""
    rng = np.random.default_rng(3)
    channels = np.arange(64, dtype=np.int32)
    level = LearntLevel(channels, rng.integers(-(1 << 15), 1 << 15, (256, 64)).astype(np.int32), 0).at(0)
    packed = Packed.of([level])
    bound = int(packed.bounds[0])
    sums = np.abs(packed.seen[0]).sum(axis=0).astype(np.float64) * bound
    assert (sums + np.abs(packed.halves[0])).max() < 1 << 24


def test_without_a_price_every_token_has_every_level() -> None:
    levels = some_levels()
    codes = search(walk((4, 3, RANK)), packed_of(levels), prices_of(levels), 0.0)
    assert codes.min() == 1


def test_the_path_of_a_level_is_the_cheapest_of_all() -> None:
    """Against every path there is: three rows, four codewords or none."""
    rng = np.random.default_rng(5)
    level = Level(np.arange(2, dtype=np.int32), rng.integers(-300, 300, (4, 2)).astype(np.int32))
    packed, prices = Packed.of([level]), prices_of([level], 1)
    lagrangian = 2e4

    def cost(path: tuple[int, ...], y: np.ndarray) -> float:
        error, bits = 0.0, 0.0
        for t, k in enumerate(path):
            word = level.codewords[k - 1] if k else np.zeros(2, int)
            error += float(((y[t, 0] - word) ** 2).sum() - (y[t, 0].astype(float) ** 2).sum())
            if not k:
                bits += prices.stop[0]
            elif t and path[t - 1] == k:
                bits += prices.go_on[0] + prices.keep[0, 1]
            else:
                bits += prices.go_on[0] + prices.index[0] + (prices.leave[0, 1] if t and path[t - 1] else 0.0)
        return error + lagrangian * bits

    for seed in range(20):
        y = walk((3, 1, 2), seed)
        found = tuple(int(code) for code in search(y, packed, prices, lagrangian)[:, 0, 0])
        every = [(a, b, c) for a in range(5) for b in range(5) for c in range(5)]
        least = min(cost(path, y) for path in every)
        assert cost(found, y) <= least + 1e-4 * abs(least)


def test_a_level_that_serves_badly_does_not_hide_those_after_it() -> None:
    """The first level makes this token worse, the second one has all of it."""
    harmful = Level(np.arange(2, dtype=np.int32), np.array([[-40, 0], [40, 0]], np.int32))
    right = Level(np.arange(2, dtype=np.int32), np.array([[5000, 0], [0, 5000]], np.int32))
    levels = [harmful, right]
    y = np.zeros((1, 1, 2), np.int32)
    y[0, 0, 1] = 5001
    codes = search(y, Packed.of(levels), prices_of(levels), 3e3)
    assert codes[0, 0, 1] == 2
    assert not search(y // 100, Packed.of(levels), prices_of(levels), 3e3).any()


def test_what_stands_still_keeps_its_indices() -> None:
    levels = some_levels()
    y = np.repeat(walk((1, 6, RANK)), 32, axis=0)
    y = y + np.random.default_rng(1).integers(-3, 4, y.shape).astype(np.int32)
    prices = prices_of(levels)
    prices.keep[:] = 0.05
    codes = search(y, packed_of(levels), prices, 3e3)
    assert codes.any()
    assert np.array_equal(codes[1:], codes[:-1])


@given(st.integers(0, 9), st.integers(0, 7), st.integers(1, 7), st.sampled_from([0.0, 3e3, 1e5]), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_indices_come_back(rows: int, tokens: int, width: int, lagrangian: float, seed: int) -> None:
    levels = some_levels(seed)
    codes = search(walk((rows, tokens, RANK), seed), packed_of(levels), prices_of(levels), lagrangian)
    sizes = np.array([len(level.codewords) for level in levels])
    classes = np.random.default_rng(seed).integers(0, flags.CLASSES, (len(levels), indices.CONTEXTS)).astype(np.uint8)
    data = indices.encode(codes, sizes, width, classes)
    assert np.array_equal(indices.decode(memoryview(data), codes.shape, sizes, width, classes), codes)


def test_damaged_indices_are_refused_and_levels_are_read_by_themselves() -> None:
    levels = some_levels()
    codes = search(walk((9, 6, RANK)), packed_of(levels), prices_of(levels), 3e3)
    sizes = np.array([len(level.codewords) for level in levels])
    classes = even_classes(len(levels))
    good = indices.encode(codes, sizes, 3, classes)
    rng = np.random.default_rng(0)
    for bit in rng.integers(0, 8 * len(good), 300):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptArchive):
            indices.decode(memoryview(bytes(damaged)), codes.shape, sizes, 3, classes)
    for most in range(len(levels) + 1):
        some = indices.decode(memoryview(good), codes.shape, sizes, 3, classes, most)
        assert np.array_equal(some[..., :most], codes[..., :most])
        assert not some[..., most:].any()
    for length in range(0, len(good), 7):
        with pytest.raises(CorruptArchive):
            indices.decode(memoryview(good[:length]), codes.shape, sizes, 3, classes)


def test_neighbours_have_the_other_colour() -> None:
    for rows, tokens, width in [(3, 12, 4), (2, 7, 7), (4, 1, 1), (2, 5, 9)]:
        colours = flags.colours((rows, tokens), width)
        for t in range(rows):
            for n in range(tokens):
                alone = np.zeros((rows, tokens), bool)
                alone[t, n] = True
                around = flags.set_around(alone, width) > 0
                assert (colours[around] != colours[t, n]).all()
                assert around.sum() <= flags.NEIGHBOURS
                beside = [(t - 1, n), (t + 1, n), (t, n - width), (t, n + width)]
                beside += [(t, n - 1)] if n % width else []
                beside += [(t, n + 1)] if (n + 1) % width else []
                expected = {(a, b) for a, b in beside if 0 <= a < rows and 0 <= b < tokens}
                assert set(zip(*np.nonzero(around), strict=True)) == expected


def test_frequencies_rise_and_leave_room_for_both_answers() -> None:
    assert all(a < b for a, b in pairwise(flags.FREQUENCIES))
    assert flags.FREQUENCIES[0] > 0
    assert flags.FREQUENCIES[-1] < 4096
    ones = np.array([0, 1, 50, 99, 100, 0])
    classes = flags.fitting_classes(ones, np.array([100, 100, 100, 100, 100, 0]))
    assert (np.diff(classes[:5].astype(int)) > 0).all()
    assert classes[5] in (flags.CLASSES // 2 - 1, flags.CLASSES // 2)


def test_gaussian_levels_leave_a_third_each() -> None:
    rng = np.random.default_rng(0)
    scales = np.full(8, 40)
    x = np.rint(rng.standard_normal((1, 4000, 8)) * 2**10).astype(np.int32)
    levels = gaussian.levels(scales, 6)
    codes = search(x, Packed.of(levels), prices_of(levels), 0.0)
    left = []
    for count in range(7):
        some = codes.copy()
        some[..., count:] = 0
        left.append(float(((lookup(some, Packed.of(levels), 8) - x).astype(float) ** 2).mean()) / 2**20)
    assert left[1] < 0.33
    assert all(after < 0.37 * before for before, after in pairwise(left[:5]))


def test_gaussian_levels_refine_what_has_most_left() -> None:
    scales = np.array([40] * 8 + [36] * 8 + [0] * 3)
    order = gaussian.order(scales, 5)
    assert order[0] == (0, 0)
    assert order[1] == (0, 1) or order[1] == (1, 0)
    assert (2, 0) not in order
    assert [stage for block, stage in order if block == 0] == list(range(sum(block == 0 for block, _ in order)))


def quantiser() -> VectorQuantiser:
    rng = np.random.default_rng(2)
    learnt = tuple(
        LearntLevel.rounded(np.arange(3, 9, dtype=np.int32), rng.standard_normal((32, 6)), -6) for _ in range(2)
    )
    return VectorQuantiser(0.1, -9, RANK, learnt, np.arange(RANK, dtype=np.int32), 4, 3, even_classes(7))


def read_back(data: bytes) -> VectorQuantiser:
    fields = FieldReader(data, "models")
    found = VectorQuantiser.read(fields, Scope(RANK, 1, LIMITS, fixed_tables(), None, None, version=2))
    fields.end()
    return found


def test_parameters_come_back() -> None:
    first = quantiser()
    out = FieldWriter()
    first.write(out)
    second = read_back(out.bytes())
    again = FieldWriter()
    second.write(again)
    assert again.bytes() == out.bytes()
    for a, b in zip(first.levels, second.levels, strict=True):
        assert np.array_equal(a.codewords, b.codewords)
        assert np.array_equal(a.channels, b.channels)


def test_codewords_beyond_the_range_of_quanta_are_refused() -> None:
    out = FieldWriter()
    dataclasses.replace(quantiser(), exponent=-60).write(out)
    with pytest.raises(CorruptArchive, match="codewords of up to"):
        read_back(out.bytes())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_parameters_are_refused_or_read(data: st.DataObject) -> None:
    out = FieldWriter()
    quantiser().write(out)
    changed = bytearray(out.bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_back(bytes(changed))
    except EmbdcError:
        return
    assert len(found.levels) <= 192
    assert found.packed.codewords.nbytes < 1 << 26


@pytest.mark.parametrize("count", [1, 3, 255])
def test_levels_whose_indices_are_no_whole_bits_are_refused(count: int) -> None:
    """Others could name codewords that are not there, which nobody would notice."""
    out = FieldWriter()
    LearntLevel(np.arange(2, dtype=np.int32), np.ones((count, 2), np.int32), 0).write(out)
    with pytest.raises(CorruptArchive, match="power of two"):
        LearntLevel.read(FieldReader(out.bytes(), "level"), 2)


def test_levels_far_finer_than_a_quantum_are_nothing() -> None:
    level = LearntLevel(np.arange(2, dtype=np.int32), np.full((2, 2), 1 << 15, np.int32), -126)
    for exponent in (-109, -94, 126):
        assert not level.at(exponent).codewords.any()
    assert (level.at(-110).codewords == 1).all()


def test_a_small_sample_of_a_long_segment_has_whole_bits_of_codewords() -> None:
    level = Learner(np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32), 1e6, 2).level(0)
    assert len(level.centres) == 64


def test_sizes_of_levels_have_one_form() -> None:
    good = indices.encode(np.zeros((2, 3, 0), np.int32), np.zeros(0, np.int64), 1, even_classes(0))
    assert good[0] == 0
    with pytest.raises(CorruptArchive, match="longer than it need be"):
        indices.decode(memoryview(b"\x80\0" + good[1:]), (2, 3, 0), np.zeros(0, np.int64), 1, even_classes(0))


def test_bits_behind_those_of_the_levels_of_a_codebook_are_zero() -> None:
    level = LearntLevel(np.arange(2, dtype=np.int32), np.ones((2, 2), np.int32), 0)
    codebook = replace(make_codebook(), levels=(level, level, level))
    assert Borrowed.read(FieldReader(b"\1\x20", "levels"), codebook, 2).places == (2,)
    with pytest.raises(CorruptArchive, match="zeros"):
        Borrowed.read(FieldReader(b"\1\x21", "levels"), codebook, 2)


def test_codes_of_other_coders_are_no_indices() -> None:
    """They could be anything, and would be looked up."""
    rows = smooth((16, 5, 8))
    models = Fit(spec_of(rows.shape), [rows], None, FitOptions(vector=True)).models(0.5)
    good = models.to_bytes()
    (*listed, last) = sorted(stage.stage for stage in models.groups[0].chain)
    assert last == StageId.VECTOR_INDICES
    place = 1 + 2 * len(listed)
    planes = good[:place] + bytes([0x80, 0x01]) + good[place + 2 :]
    assert good[place : place + 2] == bytes([0x87, 0x01])

    def read(data: bytes) -> TransformModels:
        return TransformModels.from_bytes(data, spec_of(rows.shape), LIMITS, lambda digest: make_codebook())

    assert len(read(good).groups) == 1
    with pytest.raises(CorruptArchive, match="indices after a vector quantiser"):
        read(planes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["moving", "noise", "constant", "zero", "sparse", "huge", "tiny"])
def test_everything_comes_back_in_shape(shape: tuple[int, ...], kind: str) -> None:
    rows = rows_of(kind, shape)
    coded(rows, spec_of(shape), 0.5, FitOptions(vector=True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("special", [0, 1, 5])
def test_smaller_steps_lose_less(dtype: str, special: int) -> None:
    from embdc_cli import dtypes

    rows = dtypes.from_float32(smooth((96, 30, 24)), dtype)
    spec = spec_of(rows.shape, dtype, special_tokens=special)
    found = [coded(rows, spec, step, FitOptions(vector=True, effort=0)) for step in (2.0, 1.0, 0.5, 0.1)]
    errors = [nmse(rows, values, dtype) for values, _ in found]
    sizes = [size for _, size in found]
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("weighting", [Weighting("channel"), Weighting("token"), Weighting("matrix", np.eye(24)[:7])])
def test_every_weighting_codes(weighting: Weighting) -> None:
    rows = smooth((64, 20, 24))
    values, _ = coded(rows, spec_of(rows.shape), 0.3, FitOptions(vector=True, weighting=weighting))
    if weighting.kind != "matrix":
        assert nmse(rows, values) < 0.2
        return
    assert nmse(rows[..., :7], values[..., :7]) < 0.2


def test_a_gain_is_kept_while_it_is_nearly_as_near() -> None:
    for g, middle in enumerate(gain.ENERGIES):
        assert gain.nearest(middle, -1) == g
        assert gain.nearest(middle * 1.7, g) == gain.nearest(middle / 1.7, g) == g
        around = [gain.nearest(middle * 1.8, g), gain.nearest(middle / 1.8, g)]
        assert around == [min(g + 1, gain.COUNT - 1), max(g - 1, 0)]
    assert gain.nearest(0.0, 3) == gain.nearest(0.0, -1) == 0
    assert gain.nearest(np.inf, 3) == gain.COUNT - 1


def test_gains_pay_where_some_tokens_are_larger_than_others() -> None:
    """One token in 20 is 16 times as large: error plus bits at the price of the fit, with gains and without."""
    rng = np.random.default_rng(0)
    factors = np.where(rng.random((64, 40, 1)) < 0.05, 16.0, 1.0)
    rows = (rng.standard_normal((64, 40, 16)) * factors).astype(np.float32)
    fit = Fit(spec_of(rows.shape), [rows], None, FitOptions(vector=True))
    *head, fitted, _ = fit.models(0.3).groups[0].chain.stages
    y = rows
    for stage in head:
        y = stage.forward(y, b"")
    costs = []
    for gains in (False, True):
        q = counted(replace(fitted, gains=gains, classes=even_classes(0)), [y])
        codes = q.forward(y, b"")
        error = float(np.square(q.inverse(codes, b"") - y, dtype=np.float64).sum())
        costs.append(8 * len(VectorIndices(q).encode(codes, b"")) + error / (LAMBDA * q.step**2))
    assert costs[1] < 0.8 * costs[0]


def test_few_wide_tokens_are_coded_as_finely_as_asked() -> None:
    """Levels are too few for 1280 channels as they are, so a basis is worth its price."""
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((150, 12)) @ rng.standard_normal((12, 1280))).astype(np.float32)[:, None]
    errors = []
    for step in (0.3, 0.1, 0.03):
        fit = Fit(spec_of(rows.shape), [rows], None, FitOptions(vector=True))
        models = fit.models(step * fit.rms)
        errors.append(nmse(rows, TransformCodec(spec_of(rows.shape), models).encode(rows).decoded))
    assert errors[1] < 0.3 * errors[0]
    assert errors[2] < 0.3 * errors[1]


def test_version_1_has_no_gains() -> None:
    out = FieldWriter()
    dataclasses.replace(quantiser(), gains=False, classes=even_classes(6)).write(out)
    fields = FieldReader(out.bytes(), "models")
    found = VectorQuantiser.read(fields, Scope(RANK, 1, LIMITS, fixed_tables(), None, None, version=1))
    fields.end()
    assert len(found.levels) == 6
    codes = np.ones((1, 1, 6), np.int32)
    sums = np.zeros(RANK)
    for level in found.levels:
        sums[level.channels] += level.codewords[0]
    assert np.array_equal(found.inverse(codes, b"")[0, 0], np.ldexp(sums, found.exponent).astype(np.float32))


def test_versions_of_stages_are_those_that_were_written() -> None:
    rows = smooth((16, 5, 8))
    models = Fit(spec_of(rows.shape), [rows], None, FitOptions(vector=True)).models(0.5)
    assert models.to_bytes()[:10].count(bytes([StageId.VECTOR_QUANTISER, 2])) == 1
    (group,) = models.groups
    *head, quantiser, _ = group.chain.stages
    assert isinstance(quantiser, VectorQuantiser)
    old = replace(quantiser, gains=False).with_classes(even_classes(len(replace(quantiser, gains=False).levels)))
    chain = Chain([*head, old, VectorIndices(old)])
    data = replace(models, groups=(replace(group, chain=chain),)).to_bytes()
    read = TransformModels.from_bytes(data, spec_of(rows.shape), LIMITS, lambda digest: make_codebook())
    (again,) = [stage for stage in read.groups[0].chain if isinstance(stage, VectorQuantiser)]
    assert not again.gains
    assert read.to_bytes() == data


@pytest.mark.parametrize("seed", [11, 34, 56])
def test_rows_that_have_stopped_stay_so_at_any_price(seed: int) -> None:
    case = few_numbers(6, 4, seed)
    slow, fast = (kernel.search(*case, 1e9) for kernel in (reference, cpu))
    assert not (slow[..., 1:] > 0)[slow[..., :-1] == 0].any()
    assert np.array_equal(slow, fast)


def test_learnt_levels_are_taken_where_they_pay() -> None:
    """Tokens from 16 places: a level that knows these leaves nothing, Gaussian ones would."""
    rng = np.random.default_rng(0)
    places = rng.standard_normal((16, 40)).astype(np.float32)
    rows = places[rng.integers(0, 16, (128, 40))]
    fit = Fit(spec_of(rows.shape), [rows], None, FitOptions(vector=True))
    models = fit.models(fit.rms)
    (vectors,) = [stage for stage in models.groups[0].chain if isinstance(stage, VectorQuantiser)]
    assert len(vectors.learnt) >= 1
    assert nmse(rows, TransformCodec(spec_of(rows.shape), models).encode(rows).decoded) < 0.05


def test_gaussian_levels_save_less_and_less_of_the_same_block() -> None:
    """So a learnt level that takes all of a block at once is not judged by what the first Gaussian one would save."""
    energies = np.array([1000.0] + [0.0] * 15)
    first = gaussian.saved_for(energies, 8)
    assert first == pytest.approx(682)
    assert gaussian.saved_for(energies, 4) == pytest.approx(341)
    assert gaussian.saved_for(energies, 16) == pytest.approx(682 + 0.682 * 318)
    assert gaussian.saved_for(np.array([1000.0] * 16), 16) == pytest.approx(16 * 682)
    assert gaussian.saved_for(np.zeros(0), 16) == 0


def test_a_still_scene_costs_less_than_a_bit_per_token() -> None:
    """Keeping indices costs next to nothing; which tokens have the second level is told every other row."""
    still = np.repeat(smooth((1, 100, 24)), 64, axis=0)
    still = still + np.random.default_rng(0).normal(0, 0.002, still.shape).astype(np.float32)
    fit = Fit(spec_of(still.shape), [still], None, FitOptions(vector=True))
    models = fit.models(0.5 * fit.rms)
    payload = TransformCodec(spec_of(still.shape), models).encode(still).payload
    moving = np.random.default_rng(1).permuted(still, axis=1)
    other = TransformCodec(spec_of(still.shape), models).encode(moving).payload
    first = TransformCodec(spec_of(still.shape), models).encode(still[:1]).payload
    later_bits_per_token = 8 * (len(payload) - len(first)) / (63 * 100)
    assert later_bits_per_token < 0.75
    assert len(other) > 5 * len(payload)
