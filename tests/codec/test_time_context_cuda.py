"""Codes under time contexts on a CUDA device: the bytes of the stage, and what it decodes and refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.codec.transform.time_context import TimeContext, model, reference
from embdc_cli.codec.transform.time_context.chunk_table import ChunkTable, DeviceChunk
from embdc_cli.codec.transform.time_context.model import (
    RENEW_AFTER,
    ROWS,
    SYMBOLS,
    TOKEN_CLASSES,
    ContextModel,
    frequencies,
    static_model,
)
from embdc_cli.codec.transform.time_context.payload import join_parts, read_payload
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.rans import layout
from embdc_cli.entropy.rans.layout import join_payload
from embdc_cli.errors import CorruptArchive
from tests.codec.sparse_cases import sticky_codes
from tests.codec.time_context_watch import Watch

triton = pytest.importorskip("triton")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

from embdc_cli.codec.transform.time_context import cuda, cuda_tables  # noqa: E402

FILLER = 0xA5  # of memory that nobody has written to
compiled = kernels("embdc_cli.codec.transform.time_context")
DEVICES = [
    pytest.param("cpu", marks=pytest.mark.skipif(not INTERPRETED, reason="Triton compiles for the CUDA device here")),
    pytest.param("cuda", marks=pytest.mark.gpu),
]


class Case(NamedTuple):
    """A chunk's bytes, and the codes (F, N, D) that they are meant to be."""

    data: bytes
    codes: np.ndarray
    width: int


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """The interpreter without sums in 64 bits beside each sum, and without a search of Triton in each call."""
    from triton.runtime import interpreter

    def call(self: Any, *args: Any, **options: Any) -> Any:
        if self.fn.__module__.startswith("triton."):
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter.InterpretedFunction, "__call__", call)
        options = replace(interpreter.interpreter_builder.options, sanitize_overflow=False)
        patch.setattr(interpreter.interpreter_builder, "options", options)
        yield


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch | None:
    """Of every launch that is interpreted."""
    return Watch(monkeypatch) if INTERPRETED else None


def encoded(codes: np.ndarray, width: int, lanes: int) -> Case:
    sent = compiled.symbols_of(np.abs(codes), width, static_model())
    rans = join_payload(*compiled.encode(*compiled.intervals_of(sent, static_model()), lanes))
    negative = codes[codes != 0] < 0
    signs = np.packbits(negative, bitorder="little").tobytes() if negative.any() else None
    return Case(join_parts(rans, sent.escapes, signs), codes, width)


def decoded(cases: list[Case], device: str) -> list[np.ndarray | None]:
    """The codes of all cases in one launch, None where the bytes are corrupt."""
    data, chunks, places = bytes([FILLER]), [], []
    for number, case in enumerate(cases):
        try:
            chunks.append(DeviceChunk.read(memoryview(case.data), len(data), case.codes.shape, case.width))
        except CorruptArchive:
            continue
        data += case.data + bytes([FILLER]) * (number % 3)
        places.append(number)
    table = ChunkTable.of(chunks)
    work = torch.full((table.work_bytes + 64,), FILLER, dtype=torch.uint8, device=device)
    codes, faults = cuda.decode(torch.frombuffer(bytearray(data), dtype=torch.uint8).to(device), table, work)
    assert codes.dtype == faults.dtype == torch.int32
    assert (work[table.work_bytes :] == FILLER).all()
    found: list[np.ndarray | None] = [None] * len(cases)
    for i, number in enumerate(places):
        if not faults[i]:
            part = codes[table.offsets[i] : table.offsets[i + 1]]
            found[number] = part.cpu().numpy().reshape(cases[number].codes.shape)
    return found


def by_the_stage(case: Case) -> np.ndarray | None:
    try:
        return TimeContext(case.width).decode(memoryview(case.data), case.codes.shape, b"")
    except CorruptArchive:
        return None


def encoded_there(cases: list[tuple[np.ndarray, int]], device: str) -> list[bytes]:
    """The bytes of all codes, each with a width, from one launch."""
    table = ChunkTable.of([DeviceChunk.of(codes.shape, width) for codes, width in cases])
    work = torch.full((table.work_bytes + 64,), FILLER, dtype=torch.uint8, device=device)
    flat = torch.from_numpy(np.concatenate([codes.ravel() for codes, _ in cases])).to(device)
    found = cuda.encode(flat, table, work).chunks(table)
    assert (work[table.work_bytes :] == FILLER).all()
    return found


def check(cases: list[Case], device: str) -> int:
    """Compares with the stage, and says how many are corrupt."""
    expected = [by_the_stage(case) for case in cases]
    for one, other in zip(decoded(cases, device), expected, strict=True):
        assert (one is None) == (other is None)
        np.testing.assert_array_equal(one, other)
    return sum(one is None for one in expected)


ODD = [  # shape, width, lanes, scale, negative
    ((1, 1, 1), 1, 1, 3.0, False),
    ((2, 1, 7), 1, 2, 3.0, True),
    ((3, 5, 3), 3, 4, 300.0, True),  # the last row of the grid is not full
    ((1, 6, 40), 1000, 32, 4.0, False),
    ((2, 3, 33), 2, 16, 1.0, True),
    ((2, 3, 9), 1, 8, 0.6, False),
    ((4, 2, 2), 2, 1, 2.0, False),
    ((2, 2, 66), 2, 32, 30.0, False),
]


@pytest.mark.parametrize("device", DEVICES)
def test_codes_of_unlike_chunks_in_one_launch(device: str) -> None:
    cases = [
        encoded(sticky_codes(shape, scale, seed, negative=negative), width, lanes)
        for seed, (shape, width, lanes, scale, negative) in enumerate(ODD)
    ]
    cases += [Case(b"", np.zeros(shape, np.int32), 2) for shape in ((0, 3, 4), (3, 0, 4), (3, 4, 0))]
    for found, case in zip(decoded(cases, device), cases, strict=True):
        np.testing.assert_array_equal(found, case.codes)
    assert {int((case.codes < 0).any()) for case in cases} == {0, 1}
    assert max(np.abs(case.codes).max(initial=0) for case in cases) > model.ESCAPE


@pytest.fixture
def short_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little chunks have many lanes."""
    for module in (layout, cuda):
        monkeypatch.setattr(module, "BYTES_PER_LANE", 1)


@pytest.mark.usefixtures("short_lanes")
@pytest.mark.parametrize("device", DEVICES)
def test_bytes_of_unlike_chunks_from_one_launch(device: str) -> None:
    cases = [
        (sticky_codes(shape, scale, seed, negative=negative), width)
        for seed, (shape, width, _, scale, negative) in enumerate(ODD)
    ]
    cases += [(np.zeros(shape, np.int32), 2) for shape in ((0, 3, 4), (3, 0, 4), (3, 4, 0), (3, 2, 5))]
    cases += [(LARGEST, 1)]
    expected = [TimeContext(width).encode(codes, b"") for codes, width in cases]
    assert encoded_there(cases, device) == expected
    assert len({data[1] for data in expected if data}) > 3  # lanes


LARGEST = np.array([MAX_LEVEL, -MAX_LEVEL, 14, 15, 0, MAX_LEVEL - 7, 6, -1, 5, -13], np.int32).reshape(5, 1, 2)


@pytest.mark.parametrize("device", DEVICES)
def test_largest_codes_are_exact_and_larger_ones_refused(device: str) -> None:
    beyond = np.array([MAX_LEVEL, MAX_LEVEL + 3], np.int32).reshape(2, 1, 1)
    assert check([encoded(LARGEST, 1, 2), encoded(beyond, 1, 1)], device) == 1


@pytest.mark.usefixtures("short_lanes")
@pytest.mark.parametrize("device", DEVICES)
def test_tables_are_renewed_between_rows(device: str) -> None:
    codes = sticky_codes((3, 8, 512), 2.0, 5)
    codes[1, :, ::3] += 1
    codes[2] = codes[1]
    codes[2, 0, ::3] += 1
    case = encoded(codes, 4, 32)
    sent = compiled.symbols_of(codes, 4, static_model())
    freq, _ = compiled.intervals_of(sent, static_model())
    renewed = slice(sent.ends[1], None)
    assert sent.ends[1] > RENEW_AFTER
    assert not np.array_equal(freq[renewed], static_model().freq[sent.rows[renewed], sent.symbols[renewed]])
    np.testing.assert_array_equal(decoded([case], device)[0], codes)
    assert encoded_there([(codes, 4)], device) == [case.data]


@pytest.mark.parametrize("device", DEVICES)
def test_renewed_tables_are_those_of_the_definition(device: str) -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 1 << 12, (ROWS, SYMBOLS), dtype=np.int32)
    hits = (rng.random((ROWS, SYMBOLS)) ** 20 * 2**31).astype(np.int32)
    hits[:50] = rng.integers(0, 3, (50, SYMBOLS))
    starts[0], starts[1], hits[1] = 0, 7, 5  # rows of equals
    starts[0, 3], hits[0] = 1, 0
    cums = torch.zeros((ROWS, SYMBOLS), dtype=torch.int16, device=device)
    renewal[(1,)](torch.from_numpy(starts).to(device), torch.from_numpy(hits).to(device), cums, **cuda.LAUNCH)
    freq = frequencies(starts + model.COUNT * hits.astype(np.int64))
    np.testing.assert_array_equal(cums.cpu().numpy(), np.cumsum(freq, axis=1) - freq)


@triton.jit
def renewal(starts: Any, hits: Any, cums: Any) -> None:
    cuda_tables.renew(starts, hits, cums)


def damaged(case: Case, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    good = case.data
    at = int(rng.integers(len(good)))
    extra = rng.integers(0, 256, 1 + seed % 3, dtype=np.uint8).tobytes()
    kind = seed % 4
    if kind == 0:
        return case._replace(data=good[:at] + bytes([good[at] ^ 1 << int(rng.integers(8))]) + good[at + 1 :])
    if kind == 1:
        return case._replace(data=good[:at] + extra + good[at:])
    if kind == 2:
        return case._replace(data=good[:at] + extra + good[at + len(extra) :])
    parts = read_payload(memoryview(good), case.codes.shape)
    out = FieldWriter()  # random states and words under a good head
    size = parts.rans.stop - parts.rans.start - 1 + 2 * int(rng.integers(-1, 3))
    out.blob(good[parts.rans.start : parts.rans.start + 1] + rng.integers(1, 256, size, dtype=np.uint8).tobytes())
    return case._replace(data=out.bytes() + good[parts.rans.stop :])


HOSTILE = [
    encoded(sticky_codes((3, 2, 5), scale, 7, negative=negative), 1, lanes)
    for scale, negative, lanes in ((1.0, False, 4), (30.0, True, 2), (3.0, True, 32))
]


@pytest.mark.parametrize("device", DEVICES)
def test_hostile_bytes_are_refused_or_decode_as_by_the_stage(device: str, watch: Watch | None) -> None:
    cases = [*HOSTILE, *(damaged(HOSTILE[i % 3], i) for i in range(14))]
    signs = read_payload(memoryview(HOSTILE[1].data), HOSTILE[1].codes.shape).signs
    assert signs is not None
    turned = bytearray(HOSTILE[1].data)
    turned[signs.start] ^= 1
    assert 8 < check([*cases, HOSTILE[1]._replace(data=bytes(turned))], device) <= 14
    assert watch is None or watch.seen > 1000


@pytest.mark.parametrize("device", DEVICES)
def test_words_escapes_and_signs_come_out_even(device: str) -> None:
    case = HOSTILE[1]
    parts = read_payload(memoryview(case.data), case.codes.shape)
    good = case.data[parts.rans]
    assert parts.escapes.size
    assert parts.signs is not None
    assert np.count_nonzero(case.codes) % 8
    signs = case.data[parts.signs]
    bad = [join_parts(changed, parts.escapes, signs) for changed in (good[:-2], good + b"\0\0")]
    bad += [join_parts(good, escapes, signs) for escapes in (parts.escapes[:-1], np.append(parts.escapes, 1))]
    bad += [case.data + b"\0", case.data[:-1], case.data[:-1] + bytes([case.data[-1] | 128])]
    bad.append(case.data[: parts.signs.start] + bytes(parts.signs.stop - parts.signs.start))  # none is negative
    assert check([case._replace(data=one) for one in bad], device) == len(bad)


@pytest.mark.parametrize("device", DEVICES)
def test_a_code_has_one_symbol(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zero as a difference, and a difference as an escape, are refused."""
    honest = reference.symbols_after
    bad = []
    for codes, symbol in (([6, 0], 2), ([7, 0], 1), ([6, 7], model.ESCAPE), ([9, 2], model.ESCAPE)):

        def wrong(magnitudes: np.ndarray, before: np.ndarray, symbol: int = symbol) -> np.ndarray:
            return np.where(before >= model.RELATIVE_FROM, symbol, honest(magnitudes, before))

        monkeypatch.setattr(reference, "symbols_after", wrong)
        shaped = np.array(codes, np.int32).reshape(2, 1, 1)
        sent = reference.symbols_of(shaped, 1, static_model())
        rans = join_payload(*reference.encode(*reference.intervals_of(sent, static_model()), 1))
        bad.append(Case(join_parts(rans, sent.escapes, None), shaped, 1))
    monkeypatch.setattr(reference, "symbols_after", honest)
    assert check(bad, device) == len(bad)


@pytest.mark.parametrize("device", DEVICES)
def test_a_class_that_its_token_does_not_have_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = sticky_codes((2, 1, 30), 1.0, 7)
    assert 0 < np.count_nonzero(codes[1] != codes[0]) < 15
    good = static_model()
    biases = [np.pad(one, ((0, 0), (0, SYMBOLS - one.shape[1]))) for one in (good.change_biases, good.level_biases)]
    wider = ContextModel(good.change_weights, biases[0], good.level_weights, biases[1], good.counts)
    bad = []
    for wrong in (8, TOKEN_CLASSES, SYMBOLS - 1):
        monkeypatch.setattr(reference, "token_classes", lambda _, wrong=wrong: np.array([[0], [wrong]]))
        sent = reference.symbols_of(codes, 3, wider)
        rans = join_payload(*reference.encode(*reference.intervals_of(sent, good), 32))
        bad.append(Case(join_parts(rans, sent.escapes, None), codes, 3))
    assert check(bad, device) == len(bad)


@pytest.mark.gpu
def test_many_large_chunks() -> None:
    """Threads that ran ahead of each other would show here; the interpreter has only one."""
    codes = [
        sticky_codes((12, 17, 500 + 37 * seed), 1.0 + seed % 5, seed, negative=seed % 2 == 1) for seed in range(40)
    ]
    expected = [TimeContext(5).encode(one, b"") for one in codes]
    assert encoded_there([(one, 5) for one in codes], "cuda") == expected
    cases = [Case(*one, 5) for one in zip(expected, codes, strict=True)]
    assert check([*cases, *(damaged(cases[i % 40], i) for i in range(80))], "cuda") > 40


def test_no_chunks_are_no_codes() -> None:
    table = ChunkTable.of([])
    codes, faults = cuda.decode(torch.zeros(0, dtype=torch.uint8), table, torch.zeros(0, dtype=torch.uint8))
    assert (codes.numel(), faults.numel(), table.work_bytes) == (0, 0, 0)
    assert cuda.encode(codes, table, torch.zeros(0, dtype=torch.uint8)).chunks(table) == []


def test_too_little_memory_and_too_many_codes_are_refused() -> None:
    case = HOSTILE[0]
    table = ChunkTable.of([DeviceChunk.read(memoryview(case.data), 0, case.codes.shape, case.width)])
    data, work = (torch.zeros(size, dtype=torch.uint8) for size in (len(case.data), table.work_bytes))
    for few in ((data[: table.data_bytes - 1], work), (data, work[:-1])):
        with pytest.raises(ValueError, match="expected at least"):
            cuda.decode(few[0], table, few[1])
    with pytest.raises(ValueError, match="expected at least"):
        cuda.encode(torch.zeros(case.codes.size - 1, dtype=torch.int32), table, work)
    with pytest.raises(ValueError, match="expected at most"):
        DeviceChunk.read(memoryview(case.data), 0, (1 << 10, 1 << 10, 1 << 10), 1)


COMPILATION = """
import sys
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

class Device:
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", int(sys.argv[1]), 32)

def compile_only(kernel, *arguments, grid, warmup, **options):
    assert launch(kernel, *arguments, grid=grid, warmup=True, **options).asm["cubin"]
    print(kernel.fn.__name__)

triton.runtime.driver.set_active(Device())
launch, JITFunction.run = JITFunction.run, compile_only

from embdc_cli.codec.transform.time_context import cuda
from embdc_cli.codec.transform.time_context.chunk_table import ChunkTable, DeviceChunk

table = ChunkTable.of([DeviceChunk.of((3, 2, 600), 2)])
work = torch.zeros(table.work_bytes, dtype=torch.uint8)
cuda.decode(work, table, work)
cuda.encode(torch.zeros(3600, dtype=torch.int32), table, work)
"""


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_for_devices_that_are_not_here(capability: int, tmp_path: Path) -> None:
    """What the interpreter takes, the compiler may not."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMPILATION, str(capability)],
        capture_output=True,
        text=True,
        env={**variables, "TRITON_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["decode_chunks", "find_intervals", "write_words"]
