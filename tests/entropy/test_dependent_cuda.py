"""Dependent levels of many chunks decoded by kernels in Triton: those of `dependent.decode`, or a flag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from embdc_cli.entropy import dependent
from embdc_cli.entropy.dependent import cuda, reference
from embdc_cli.entropy.levels import cuda as levels_on
from embdc_cli.entropy.tables import static_tables
from embdc_cli.errors import CorruptArchive
from tests.entropy.device_cases import DEVICES, INTERPRETED, elements_in, elements_of, joined, on, watched
from tests.entropy.pinned_tables import PINNED
from tests.entropy.test_dependent import drawn, shapes

Case = tuple[bytes, np.ndarray, np.ndarray]
"""A chunk, its classes and its blocks."""


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes long for a step and for a program, however much there is in it."""
    if INTERPRETED:
        monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
        monkeypatch.setattr(cuda, "_TOGETHER", 64)
        monkeypatch.setattr(levels_on, "BLOCK", 128)
        monkeypatch.setattr(levels_on, "_CODES", 16)


def arguments_of(device: str, cases: Sequence[Case]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(data, chunks, classes, spans) and (blocks, block_spans) of all cases."""
    data, ranges = joined([data for data, _, _ in cases])
    classes, spans = joined([classes.tobytes() for _, classes, _ in cases])
    ends = np.cumsum([len(blocks) for _, _, blocks in cases])
    block_spans = np.stack([ends - [len(blocks) for _, _, blocks in cases], ends], axis=1)
    blocks = np.concatenate([blocks.reshape(-1, 2) for _, _, blocks in cases]).astype(np.int64)
    return [on(device, one) for one in (data, ranges, classes, spans)], [
        on(device, one) for one in (blocks, block_spans)
    ]


def by_cpu(data: bytes, classes: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        return dependent.decode(data, classes, blocks, PINNED, 2**30)
    except CorruptArchive:
        return None


def check_alike(device: str, cases: Sequence[Case]) -> list[int]:
    """Every chunk decodes as on the CPU or is refused as there. Gives the flags."""
    where, blocks = arguments_of(device, cases)
    longest = max(classes.size for _, classes, _ in cases)
    tables = cuda.tables_on(PINNED, torch.device(device))
    levels, chosen, errors = cuda.decode(*where, longest, *blocks, tables, 2**30)
    assert (levels.dtype, chosen.dtype, errors.dtype) == (torch.int32, torch.uint8, torch.int32)
    found = levels.cpu().numpy(), chosen.cpu().numpy()
    points = cuda.points_of(levels.clamp(1 - 2**30, 2**30 - 1), chosen).cpu().numpy()
    for case, (start, stop), error in zip(cases, where[3].tolist(), errors.tolist(), strict=True):
        expected = by_cpu(*case)
        assert error == int(expected is None)
        if expected is not None:
            for one, other in zip(expected, found, strict=True):
                assert np.array_equal(one, other[start:stop])
            clipped = expected[0].clip(1 - 2**30, 2**30 - 1)
            assert np.array_equal(points[start:stop], reference.points_of(clipped, expected[1]))
    return errors.tolist()


def case_of(blocks: np.ndarray, seed: int, zeros: float = 0.2, highest: int = 50) -> Case:
    levels, classes = drawn(blocks, seed, zeros, highest)
    return dependent.encode(levels, classes, blocks, PINNED), classes, blocks


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("lanes", [2, 32])
def test_levels_come_back(lanes: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes narrower and wider than the lanes, one track, one plane, no plane, and only zeros."""
    monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: lanes)
    shapes = [[[3, 5]], [[4, 1], [2, 3]], [[0, 9], [2, 4], [3, 0], [1, 7]], [[1, 20]], [[2, 9]], [[0, 0]], []]
    scale = 1 if device == "cpu" else 60
    blocks = [np.array(one, np.int64).reshape(-1, 2) * scale for one in shapes]
    cases = [case_of(one, seed, zeros=1.0 if seed == 4 else 0.2) for seed, one in enumerate(blocks)]
    if lanes == 32:
        cases += [case_of(np.array([[3, 33], [2, 32]]) * scale, 9, zeros=0.0)]
    assert check_alike(device, cases) == [0] * len(cases)


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=2, phases=[Phase.explicit, Phase.generate])  # to shrink takes minutes
@given(every=st.lists(shapes(), min_size=6, max_size=6), seed=st.integers(0, 99))
def test_any_blocks_decode_as_on_the_cpu(device: str, every: list[np.ndarray], seed: int) -> None:
    check_alike(device, [case_of(blocks, seed + number) for number, blocks in enumerate(every)])


@pytest.mark.parametrize("device", DEVICES)
def test_damage_is_found_as_on_the_cpu(device: str) -> None:
    data, classes, blocks = case_of(np.array([[3, 7], [2, 2]]), 5, highest=28)
    cases = [(data, classes, blocks)]
    for bit in range(0, 8 * len(data), 1 if device == "cuda" else 41):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        cases.append((bytes(damaged), classes, blocks))
    cases += [(data[:length], classes, blocks) for length in range(0, len(data), 1 if device == "cuda" else 19)]
    assert check_alike(device, cases).count(0) < len(cases) // 2


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_of_another_size_are_flagged(device: str) -> None:
    data, classes, _ = case_of(np.array([[3, 7], [2, 2]]), 5)
    wrong = [[[3, 7]], [[3, 7], [2, 3]], [], [[3, 7], [2, 2]]]
    where, others = arguments_of(device, [(data, classes, np.array(one).reshape(-1, 2)) for one in wrong])
    tables = cuda.tables_on(PINNED, torch.device(device))
    assert cuda.decode(*where, classes.size, *others, tables)[2].tolist() == [1, 1, 1, 0]


@pytest.mark.skipif(not INTERPRETED, reason="accesses are seen in the interpreter")
def test_nothing_beyond_the_ranges_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise behind the symbols and in their place, and blocks that are not those of the chunk."""
    rng = np.random.default_rng(3)
    cases = []
    for number, shape in enumerate([[[4, 9]], [[2, 33], [2, 2]], [[1, 50]], [[6, 1]]] * 2):
        data, classes, blocks = case_of(np.array(shape), number)
        if number > 3:
            data, blocks = data[:2] + rng.bytes(len(data)), blocks * [1, number - 3]
        cases += [(data, classes, blocks), (data[: len(data) // 2] + rng.bytes(30), classes, blocks[:1])]
    where, others = arguments_of("cpu", cases)
    with watched(monkeypatch) as seen:
        levels, chosen, errors = cuda.decode(*where, 200, *others, cuda.tables_on(PINNED, torch.device("cpu")))
    assert elements_of(where[0], seen.reads) <= elements_in(where[1])
    for one in (where[2], levels, chosen):
        assert elements_of(one, seen.reads + seen.writes) <= elements_in(where[3])
    assert 0 < int(errors.sum()) < len(cases)


def test_tables_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="64 x 16"):
        cuda.tables_on(static_tables(), torch.device("cpu"))
