"""What a sink writes, the source of that format reads back: names, shapes, types and bits."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.dtypes import FLOATS, STORAGE, storage
from embdc_cli.options import EncodeOptions
from embdc_cli.source import open_dump
from embdc_cli.source.axes import default_axes
from embdc_cli.values import StreamSpec
from tests.sink.written import Dribble, written

MANY = ("npz", "safetensors", "h5", "pt")
NAMES = st.sampled_from(["a", "b", "g/x", "g/y", "item/0/patch", "w.weight", "émile", "v 1", "0"])


@dataclass
class Case:
    specs: list[StreamSpec]
    values: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]


def bits(draw: st.DrawFn, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random bits of type `dtype`, NaN payloads included."""
    seed = draw(st.integers(0, 1 << 30))
    kind = storage(dtype)
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * kind.itemsize)
    values = np.frombuffer(raw, kind).reshape(shape)
    return values.view(np.uint8).astype(bool) if dtype == "bool" else values


@st.composite
def streams(draw: st.DrawFn, name: str, dtype: str, shape: tuple[int, ...]) -> tuple[StreamSpec, np.ndarray]:
    axes = default_axes(len(shape))
    timed = axes.startswith("t")
    row_shape = shape[1:] if timed else shape
    rows = shape[0] if timed else 1
    return StreamSpec(name, dtype, axes, row_shape, rows), bits(draw, dtype, (rows, *row_shape))


SHAPES = st.lists(st.integers(0, 4), min_size=2, max_size=5).map(tuple)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One float matrix that may be ragged, with companions of any type and shape."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    case = Case([], {}, {})
    for number, name in enumerate(names):
        if number == 0 and draw(st.booleans()):
            counts = np.array(draw(st.lists(st.integers(0, 4), min_size=2, max_size=5)), np.int64)
            counts[0] = counts[1] + 1  # equal counts come back from .pt as separate tensors
            dim = draw(st.integers(1, 4))
            dtype = draw(st.sampled_from(FLOATS))
            case.specs.append(StreamSpec(name, dtype, "t,n,c", (dim,), len(counts), ragged=True))
            case.values[name] = bits(draw, dtype, (int(counts.sum()), dim))
            case.counts[name] = counts
            continue
        small = draw(st.sampled_from([(), (0,), (3,)])) if number else None
        shape = draw(SHAPES) if small is None else small
        dtype = draw(
            st.sampled_from([*FLOATS] if number == 0 else [*FLOATS, "float64", "int64", "uint8", "bool", "int16"])
        )
        if dtype == "float64" and len(shape) >= 2:
            dtype = "float32"  # which the source would cast
        spec, values = draw(streams(name, dtype, shape))
        case.specs.append(spec)
        case.values[name] = values
    return case


def check(path: Path, case: Case, **options: str) -> None:
    dump = open_dump(path, EncodeOptions(**options))  # type: ignore[arg-type]  # any option, by keyword
    found = {tensor.spec.name: tensor for tensor in dump.tensors}
    names = [spec.name for spec in case.specs]
    if path.suffix == ".h5":  # datasets of one group follow each other
        assert sorted(found) == sorted(names)
    else:
        assert list(found) == names
    for spec in case.specs:
        tensor = found[spec.name]
        assert tensor.spec == spec
        rows = tensor.read(0, spec.known_rows)
        assert rows.shape == case.values[spec.name].shape
        assert rows.tobytes() == case.values[spec.name].tobytes()
        if spec.ragged:
            np.testing.assert_array_equal(tensor.token_counts, case.counts[spec.name])
    dump.close()


@pytest.mark.parametrize("form", MANY)
@given(case=cases(), step=st.integers(1, 4), backwards=st.booleans())
@settings(max_examples=40, deadline=None)
def test_many_streams(form: str, case: Case, step: int, backwards: bool) -> None:
    order = list(case.values)[:: -1 if backwards else 1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{form}"
        written(form, path, case.specs, case.values, case.counts, step=step, order=order)
        check(path, case)
        pipe = Dribble(1000)
        written(form, pipe, case.specs, case.values, case.counts)
        assert bytes(pipe.data) == path.read_bytes()


@given(data=st.data(), dtype=st.sampled_from(FLOATS), shape=SHAPES | st.sampled_from([(), (0,), (5,)]))
@settings(max_examples=60, deadline=None)
def test_one_array(data: st.DataObject, dtype: str, shape: tuple[int, ...]) -> None:
    spec, values = data.draw(streams("data", dtype, shape))
    case = Case([spec], {"data": values}, {})
    with tempfile.TemporaryDirectory() as folder:
        for form in ("npy", "pt"):
            path = Path(folder) / f"a.{form}"
            written(form, path, case.specs, case.values)
            check(path, case)
            pipe = Dribble(50)
            written(form, pipe, case.specs, case.values)
            assert bytes(pipe.data) == path.read_bytes()
        path = Path(folder) / "a.raw"
        (warning,) = written("raw", path, case.specs, case.values)
        assert path.read_bytes() == values.tobytes()
        if values.size and shape:
            check(path, case, raw=warning.rpartition("--raw ")[2])


@pytest.mark.parametrize("form", MANY)
def test_every_type(form: str, tmp_path: Path) -> None:
    case = Case([], {}, {})
    for name, kind in STORAGE.items():
        shape = (3,) if name == "float64" else (2, 3)
        spec = StreamSpec(name, name, default_axes(len(shape)), shape[-1:], 1 if name == "float64" else 2)
        case.specs.append(spec)
        case.values[name] = np.arange(spec.known_rows * 3).reshape(-1, 3).astype(kind)
    written(form, tmp_path / "a", case.specs, case.values)
    check(tmp_path / "a", case)
