"""Which arrays become streams: types, companions, axes, special tokens, times, keys."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.array import open_arrays
from embdc_cli.values import Dump
from tests.source.dump_files import FEATURES, RNG

F32 = RNG.standard_normal((6, 5)).astype(np.float32)


def dump_of(value: Any, **options: Any) -> Dump:
    return open_arrays(value, EncodeOptions(**options))


def types(dump: Dump) -> dict[str, str]:
    return {tensor.spec.name: tensor.spec.dtype for tensor in dump.tensors}


def test_companions_keep_their_types() -> None:
    value = {
        "x": F32,
        "wide": F32.astype(np.float64),
        "ids": np.arange(6),
        "mask": np.ones((6, 5), bool),
        "score": np.ones(6, np.float64),
        "bias": np.ones(5, np.float16),
        "labels": np.array(["a"]),
        "z": np.zeros(3, "c8"),
    }
    dump = dump_of(value)
    assert types(dump) == {
        "x": "float32", "wide": "float32", "ids": "int64", "mask": "bool", "score": "float64", "bias": "float16",
    }  # fmt: skip
    assert dump.warnings == ["array: skipped labels (str32), z (complex64)", "array: float64 cast to float32: wide"]
    wide = next(tensor for tensor in dump.tensors if tensor.spec.name == "wide")
    np.testing.assert_array_equal(wide.read(0, 6), F32)


def test_without_matrices_every_float_is_coded() -> None:
    assert types(dump_of({"a": np.ones(4, np.float64), "n": np.arange(4)})) == {"a": "float32", "n": "int64"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((3, 2), np.int8), "data has type int8"),
        ({"codes": np.zeros((3, 2), np.int8), "norms": np.ones(3)}, "codes has type int8"),
        (np.zeros(3, bool), "data has type bool"),
        (np.zeros((3, 2), np.complex128), "data has type complex128"),
        ({}, "found nothing"),
        ("text", "expected numpy arrays or torch tensors, found data (str)"),
    ],
)
def test_nothing_to_code_is_refused(value: Any, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        dump_of(value)
    assert words in caught.value.message


@pytest.mark.parametrize("options", [{"lossless": True}, {"codec": "lossless"}])
def test_float64_is_not_cast_under_lossless(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="x is float64") as caught:
        dump_of({"x": F32.astype(np.float64)}, **options)
    assert "yourself" in (caught.value.hint or "")
    assert types(dump_of({"x": F32, "t": np.ones(6)}, **options)) == {"x": "float32", "t": "float64"}


@pytest.mark.parametrize(
    ("shape", "at", "shown"),
    [((4, 3, 2), (2, 1, 0), r"\[2, 1, 0\]"), ((6, 2), (5, 1), r"\[5, 1\]"), ((3,), (2,), r"\[2\]")],
)
def test_a_float64_beyond_float32_is_refused(shape: tuple[int, ...], at: tuple[int, ...], shown: str) -> None:
    value = np.zeros(shape)
    value[at] = -1e300
    with pytest.raises(SourceError, match=f"stream 'data': -1e\\+300 at {shown}, expected at most 3.40282347e\\+38"):
        dump_of(value).tensors[0].read(0, shape[0])


def test_a_float64_that_is_infinite_stays_so() -> None:
    value = np.array([[np.inf, -np.inf, np.nan, 3.4e38]])
    np.testing.assert_array_equal(dump_of(value).tensors[0].read(0, 1), value.astype(np.float32))


def test_keys() -> None:
    value = {"a": F32, "b": FEATURES, "n": np.arange(3)}
    assert types(dump_of(value, key="b")) == {"b": "float16"}
    with pytest.raises(SourceError, match="no tensor called 'c'") as caught:
        dump_of(value, key="c")
    assert caught.value.hint == "there is: a, b, n"
    with pytest.raises(SourceError, match="n has type int64"):
        dump_of(value, key="n")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 3), "t,c"), ((2, 3, 4), "t,n,c"), ((2, 3, 4, 5), "t,h,w,c"), ((2, 3, 4, 5, 6), "t,a1,a2,a3,c"), ((3,), "c"),
     ((), "")],
)  # fmt: skip
def test_usual_axes(shape: tuple[int, ...], axes: str) -> None:
    spec = dump_of(np.ones(shape, np.float32)).tensors[0].spec
    assert (spec.axes, spec.shape) == (axes, shape)


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 3, 4), "t,h,c"), ((2, 3), "t, n"), ((3,), "t"), ((3,), "x"), ((), "")]
)
def test_named_axes(shape: tuple[int, ...], axes: str) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    (tensor,) = dump_of(array, axes=axes).tensors
    assert tensor.spec.axes == axes.replace(" ", "")
    assert tensor.spec.timed == axes.startswith("t")
    assert tensor.spec.shape == shape
    np.testing.assert_array_equal(tensor.read(0, tensor.spec.known_rows).reshape(shape), array)


@pytest.mark.parametrize("axes", ["t", "t,n", "t,n,c,d", "n,t,c", "t,t,c", "t,,c", "t,N,c", "time,n,c", ""])
def test_axes_that_do_not_fit(axes: str) -> None:
    with pytest.raises(UsageError, match="--axes"):
        dump_of(np.ones((2, 3, 4), np.float32), axes=axes)


def test_a_single_axis_is_rows_only_as_t() -> None:
    with pytest.raises(UsageError, match="expected t"):
        dump_of(np.ones(3, np.float32), axes="tokens")


@pytest.mark.parametrize(
    ("tokens", "special"),
    [(197, 1), (257, 1), (198, 2), (200, 4), (201, 5), (196, 0), (199, 0), (17, 1), (18, 2), (10, 0), (1, 0), (0, 0)],
)
def test_special_tokens_beside_a_square(tokens: int, special: int) -> None:
    spec = dump_of(np.ones((2, tokens, 3), np.float32), special_tokens="auto").tensors[0].spec
    assert spec.special_tokens == special


def test_special_tokens_by_number() -> None:
    assert dump_of(np.ones((2, 7, 3), np.float32), special_tokens="3").tensors[0].spec.special_tokens == 3
    assert (
        dump_of(np.ones((2, 7, 3), np.float32), special_tokens="auto", axes="t,h,c").tensors[0].spec.special_tokens == 0
    )
    ragged = [np.ones((count, 3), np.float32) for count in (4, 7)]
    assert dump_of(ragged, special_tokens="3").tensors[0].spec.special_tokens == 3
    for value, number in [
        (np.ones((2, 7, 3), np.float32), "7"),
        (ragged, "4"),
        (np.ones((2, 7, 3), np.float32), "x"),
        (np.ones((2, 7, 3), np.float32), "-1"),
        (np.ones((2, 7), np.float32), "1"),
    ]:
        with pytest.raises(UsageError, match="--special-tokens"):
            dump_of(value, special_tokens=number)


@pytest.mark.parametrize("name", ["timestamps", "times", "pts_seconds"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_times_beside_features(name: str, dtype: type) -> None:
    seconds = np.array([0, 1, 2, 4, 5, 7]).astype(dtype)
    dump = dump_of({"x": F32, name: seconds, "ids": np.arange(6)})
    assert dump.timeline is not None
    assert dump.timeline.timebase == Fraction(1, 1_000_000)
    assert dump.timeline.starts.tolist() == [0, 1_000_000, 2_000_000, 4_000_000, 5_000_000, 7_000_000]
    assert dump.timeline.ends.tolist() == [1_000_000, 2_000_000, 4_000_000, 5_000_000, 7_000_000, 8_000_000]
    assert dump.timed_streams == {"x"}
    assert dump.exact_streams == {name}
    assert types(dump)[name] == np.dtype(dtype).name


def test_starts_and_ends() -> None:
    pairs = np.stack([np.arange(6.0), np.arange(6.0) + 0.25], axis=1).astype(np.float32)
    dump = dump_of({"v/x": F32, "v/timestamps": pairs})
    assert dump.timeline is not None
    assert dump.timeline.ends[0] == 250_000
    assert types(dump) == {"v/x": "float32", "v/timestamps": "float32"}
    assert dump.exact_streams == {"v/timestamps"}


@pytest.mark.parametrize("count", [0, 1])
def test_times_of_few_rows(count: int) -> None:
    dump = dump_of({"x": F32[:count], "times": np.arange(float(count))})
    assert dump.timeline is not None
    assert len(dump.timeline) == count


@pytest.mark.parametrize(
    "seconds",
    [
        [0, 2, 1, 3, 4, 5],
        [0, 1, np.nan, 3, 4, 5],
        [0, 1, 2, 3, 4, 1e300],
        [[0, 1], [5, 6], [2, 3], [7, 8], [8, 9], [9, 10]],
        [[0, 1], [2, 1], [3, 4], [7, 8], [8, 9], [9, 10]],
    ],
)
def test_times_that_are_none(seconds: list[float]) -> None:
    dump = dump_of({"x": F32, "times": np.array(seconds)})
    assert dump.timeline is None
    assert dump.timed_streams == frozenset()
    assert dump.warnings == ["array: times: expected increasing seconds, so rows have no times"]


@pytest.mark.parametrize(
    "value",
    [
        {"x": F32, "times": np.arange(5.0)},
        {"x": F32, "y": F32[:3], "times": np.arange(6.0)},
        {"x": F32, "times": np.arange(6.0), "v": {"times": np.arange(6.0)}},
    ],
)
def test_ambiguous_times_are_only_companions(value: Any) -> None:
    dump = dump_of(value)
    assert dump.timeline is None
    assert dump.warnings == []
    assert types(dump)["times"] == "float64"


def test_flat_tokens_with_counts_are_ragged() -> None:
    value = {"x": F32, "x.token_counts": np.array([2, 0, 4])}
    (tensor,) = dump_of(value).tensors
    assert tensor.spec.shape == (3, -1, 5)
    np.testing.assert_array_equal(tensor.read(1, 3), F32[2:])
    for counts in ([2, 0, 3], [8, -2, 0]):
        assert len(dump_of(value | {"x.token_counts": np.array(counts)}).tensors) == 2
