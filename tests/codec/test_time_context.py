"""Codes under time contexts: exact, the same from both kernels, and safe against bytes that no encoder wrote."""

from __future__ import annotations

import tracemalloc
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope
from embdc_cli.codec.transform.time_context import TimeContext, bits_of, model, reference
from embdc_cli.codec.transform.time_context.model import (
    BUCKET,
    FEATURE,
    RENEW_AFTER,
    ROWS,
    SYMBOLS,
    TOKEN_CLASSES,
    TOTAL,
    ContextModel,
    class_of_changes,
    frequencies,
    static_model,
)
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import LIMITS
from tests.codec.sparse_cases import sticky_codes

SHAPES = [(1, 1, 1), (2, 1, 7), (5, 9, 16), (4, 7, 5), (3, 6, 40), (70, 2, 3), (12, 16, 64)]
compiled = kernels("embdc_cli.codec.transform.time_context")


def roundtrip(codes: np.ndarray, width: int) -> bytes:
    stage = TimeContext(width)
    data = stage.encode(codes, b"")
    decoded = stage.decode(memoryview(data), codes.shape, b"")
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, codes)
    return data


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.0, 0.6, 4.0, 300.0])
@pytest.mark.parametrize("negative", [False, True])
def test_codes_are_exact(shape: tuple[int, int, int], scale: float, negative: bool) -> None:
    for width in (1, 3, shape[1], 1000):
        roundtrip(sticky_codes(shape, scale, 1, negative=negative), width)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_nothing_takes_no_bytes(shape: tuple[int, int, int]) -> None:
    assert roundtrip(np.zeros(shape, np.int32), 2) == b""
    with pytest.raises(CorruptArchive):
        TimeContext(2).decode(memoryview(b"\0"), shape, b"")


def test_largest_codes_are_exact() -> None:
    codes = np.array([MAX_LEVEL, -MAX_LEVEL, 14, 15, 0, MAX_LEVEL - 7, 6, -1, 5, -13], np.int32).reshape(5, 1, 2)
    roundtrip(codes, 1)


@st.composite
def code_arrays(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 8)), draw(st.integers(1, 9)))
    levels = st.one_of(st.integers(0, 3), st.integers(0, 20), st.integers(0, MAX_LEVEL))
    size = int(np.prod(shape))
    flat = draw(st.lists(levels, min_size=size, max_size=size))
    codes = np.array(flat, np.int32).reshape(shape)
    for t in range(1, shape[0]):
        if draw(st.booleans()):
            codes[t] = codes[t - 1]
    return codes, draw(st.integers(1, 9))


@settings(deadline=None, max_examples=60)
@given(code_arrays())
def test_kernels_agree(case: tuple[np.ndarray, int]) -> None:
    codes, width = case
    found = {}
    for kernel in (reference, compiled):
        sent = kernel.symbols_of(codes, width, static_model())
        freq, cum = kernel.intervals_of(sent, static_model())
        states, words = kernel.encode(freq, cum, 4)
        found[kernel] = [*sent, freq, cum, states, words]
        decoded, whole = kernel.decode(states, words, sent.escapes, codes.shape, width, static_model())
        assert whole
        np.testing.assert_array_equal(decoded, codes)
    for one, other in zip(found[reference], found[compiled], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("lanes", [1, 32])
def test_kernels_agree_where_tables_are_renewed(lanes: int) -> None:
    codes = sticky_codes((9, 20, 100), 2.0, 5)
    sent = compiled.symbols_of(codes, 5, static_model())
    assert sent.rows.size > RENEW_AFTER
    known = [kernel.intervals_of(sent, static_model()) for kernel in (reference, compiled)]
    np.testing.assert_array_equal(known[0], known[1])
    assert not np.array_equal(known[0][0], static_model().freq[sent.rows, sent.symbols])
    freq, cum = known[0]
    states, words = reference.encode(freq, cum, lanes)
    for kernel in (reference, compiled):
        decoded, whole = kernel.decode(states, words, sent.escapes, codes.shape, 5, static_model())
        assert whole
        np.testing.assert_array_equal(decoded, codes)


@pytest.mark.parametrize("kernel", [reference, compiled])
def test_contexts_know_only_what_is_decoded(kernel: ModuleType) -> None:
    codes = sticky_codes((6, 12, 8), 3.0, 2)
    other = codes.copy()
    other[4, 7] += 1
    before = [kernel.symbols_of(one, 4, static_model()) for one in (codes, other)]
    same = int(before[0].ends[3])
    np.testing.assert_array_equal(before[0].rows[:same], before[1].rows[:same])
    # the row of codes (4, 0) to (4, 6) as well: up to the class of token 7
    np.testing.assert_array_equal(before[0].rows[same : same + 7], before[1].rows[same : same + 7])


def test_unchanging_chunks_cost_next_to_nothing() -> None:
    still = np.repeat(sticky_codes((1, 16, 200), 2.0, 3), 50, axis=0)
    once = len(roundtrip(still[:1], 4))
    assert len(roundtrip(still, 4)) < once + 60


def test_context_pays() -> None:
    codes = sticky_codes((30, 16, 200), 1.5, 4)
    mixed = np.random.default_rng(0).permutation(codes.ravel()).reshape(codes.shape)
    assert len(roundtrip(codes, 4)) < 0.8 * len(roundtrip(mixed, 4))


def test_bits_are_those_of_the_bytes() -> None:
    codes = sticky_codes((20, 16, 300), 5.0, 6)
    size = 8 * len(roundtrip(codes, 4))
    assert bits_of(codes, 4) < size < 1.02 * bits_of(codes, 4) + 8 * 160


def damage(data: st.DataObject, good: bytes) -> bytes:
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "random"]))
    if kind == "random":
        return data.draw(st.binary(max_size=100))
    at = data.draw(st.integers(0, len(good) - 1))
    if kind == "cut":
        return good[:at]
    extra = data.draw(st.binary(min_size=1, max_size=3))
    return good[:at] + extra + good[at + (len(extra) if kind == "flip" else 0) :]


HOSTILE = [sticky_codes((6, 9, 30), scale, 7, negative=negative) for scale, negative in ((1.0, False), (30.0, True))]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_hostile_bytes_are_refused_or_decode(data: st.DataObject) -> None:
    codes = HOSTILE[data.draw(st.integers(0, len(HOSTILE) - 1))]
    stage = TimeContext(3)
    bad = damage(data, stage.encode(codes, b""))
    try:
        found = stage.decode(memoryview(bad), codes.shape, b"")
    except CorruptArchive:
        return
    assert found.shape == codes.shape
    assert np.abs(found).max() <= MAX_LEVEL
    np.testing.assert_array_equal(stage.decode(memoryview(stage.encode(found, b"")), codes.shape, b""), found)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_kernels_agree_on_hostile_words(data: st.DataObject) -> None:
    shape = (4, 4, 5)
    lanes = data.draw(st.sampled_from([1, 4]))
    states = np.array(data.draw(st.lists(st.integers(1 << 16, 2**32 - 1), min_size=lanes, max_size=lanes)), np.uint32)
    words = np.array(data.draw(st.lists(st.integers(0, 65535), max_size=40)), np.uint16)
    escapes = np.array(data.draw(st.lists(st.integers(0, MAX_LEVEL), max_size=5)), np.int32)
    first, second = (k.decode(states, words, escapes, shape, 2, static_model())[1] for k in (reference, compiled))
    assert first == second


def test_every_prefix_is_refused() -> None:
    stage = TimeContext(3)
    data = stage.encode(HOSTILE[1], b"")
    for end in range(len(data)):
        with pytest.raises(CorruptArchive):
            stage.decode(memoryview(data[:end]), HOSTILE[1].shape, b"")
    for codes in HOSTILE:
        with pytest.raises(CorruptArchive):
            stage.decode(memoryview(stage.encode(codes, b"") + b"\0"), codes.shape, b"")


def test_a_class_that_its_token_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(magnitudes: np.ndarray) -> np.ndarray:
        classes = honest(magnitudes)
        return np.where(classes == 5, 6, classes)

    codes = HOSTILE[0]
    honest = reference.token_classes
    assert (honest(codes) == 5).any()
    monkeypatch.setattr(reference, "token_classes", wrong)
    sent = reference.symbols_of(codes, 3, static_model())
    freq, cum = reference.intervals_of(sent, static_model())
    states, words = reference.encode(freq, cum, 1)
    for kernel in (reference, compiled):
        assert not kernel.decode(states, words, sent.escapes, codes.shape, 3, static_model())[1]


def test_signs_without_a_negative_code_are_refused() -> None:
    codes = np.abs(HOSTILE[0])
    nonzero = int(np.count_nonzero(codes))
    data = TimeContext(3).encode(codes, b"")
    assert data.endswith(b"\0")  # no escapes, no signs
    data = data[:-1] + b"\1" + bytes((nonzero + 7) // 8)
    with pytest.raises(CorruptArchive, match="negative"):
        TimeContext(3).decode(memoryview(data), codes.shape, b"")


def test_a_claim_of_many_escapes_allocates_nothing() -> None:
    out = FieldWriter()
    out.blob(b"\1" + (1 << 16).to_bytes(4, "little"))
    out.varint(1 << 40)
    tracemalloc.start()
    with pytest.raises(CorruptArchive, match="at most"):
        TimeContext(1).decode(memoryview(out.bytes()), (4, 4, 4), b"")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(("data", "found"), [(b"\0", "found 0"), (b"\xff\xff\xff\xff\x7f", "at most")])
def test_impossible_widths_are_refused(data: bytes, found: str) -> None:
    scope = Scope(8, 1, LIMITS, fixed_tables(), None, None)
    with pytest.raises(CorruptArchive, match=found):
        TimeContext.read(FieldReader(data, "test"), scope)


def test_model_is_what_its_text_says() -> None:
    np.testing.assert_array_equal(FEATURE, np.rint(8 * np.log2(1 + np.arange(256))))
    assert BUCKET[[0, 1, 5, 6, 7, 8, 11, 12, 255]].tolist() == [0, 1, 5, 6, 6, 7, 7, 8, 8]
    classes = [class_of_changes(k, 1024) for k in (0, 1, 3, 4, 7, 8, 255, 256, 1024)]
    assert classes == [0, 1, 1, 2, 2, 3, 7, 8, 8]
    assert class_of_changes(1, 1) == TOKEN_CLASSES - 1
    assert static_model().counts.shape == (ROWS, SYMBOLS)


def test_frequencies_fill_the_table() -> None:
    counts = np.random.default_rng(0).integers(0, 1000, (50, SYMBOLS)) ** 3
    counts[0] = 0
    counts[0, 5] = 1
    freq = frequencies(counts)
    assert (freq.sum(axis=1) == TOTAL).all()
    assert freq.min() >= 1
    assert freq[0].tolist() == [1] * 5 + [TOTAL - 15] + [1] * 10
    assert model.costs()[freq[0, 5]] < 2


def test_model_refuses_what_no_coder_can_use() -> None:
    good = static_model()
    counts = good.counts.copy()
    counts[7] = 0
    with pytest.raises(ValueError, match="counts"):
        ContextModel(good.change_weights, good.change_biases, good.level_weights, good.level_biases, counts)
