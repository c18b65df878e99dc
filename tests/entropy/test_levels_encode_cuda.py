"""Levels of many payloads encoded by kernels in Triton: the bytes of `encode_levels`, or a flag where it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from embdc_cli.entropy.bits import encode_varint
from embdc_cli.entropy.levels import LARGEST, cuda, cuda_encode, encode_levels, reference
from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.entropy.rans.layout import choose_lanes
from embdc_cli.entropy.tables import Tables, rounded_tables, static_tables
from tests.entropy.device_cases import DEVICES, INTERPRETED, elements_in, elements_of, joined, on, watched
from tests.entropy.entropy_cases import drawn_levels, mixed_classes


@pytest.fixture(autouse=True)
def _many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes long for a program, however much there is in it; and blocks are to have edges."""
    if INTERPRETED:
        monkeypatch.setattr(rans, "_TOGETHER", 64)
        monkeypatch.setattr(cuda, "BLOCK", 64)


@pytest.fixture
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes long for a step as well."""
    if INTERPRETED:
        monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
        monkeypatch.setattr(cuda_encode, "_lanes", lambda cost, errors: torch.where(errors != 0, 0, 32).to(torch.int32))


Case = tuple[np.ndarray, np.ndarray]


def encoded(device: str, cases: Sequence[Case], tables: Tables | None = None) -> list[bytes | None]:
    """The payload of each (levels, classes), encoded all at once; None where it is refused."""
    classes, spans = joined([cls.tobytes() for _, cls in cases])
    levels = np.full(classes.size, 77, np.int32)
    for (own, _), (start, stop) in zip(cases, spans.tolist(), strict=True):
        levels[start:stop] = own
    found = cuda_encode.encode_levels(
        *(on(device, one) for one in (levels, classes, spans)),
        max(cls.size for _, cls in cases),
        cuda.tables_on(tables, torch.device(device)),
    )
    ranges = zip(found.payloads.tolist(), found.raw_bits.tolist(), found.errors.tolist(), strict=True)
    payloads: list[bytes | None] = []
    for (begin, end), (raw_begin, raw_end), error in ranges:
        head, rest = (bytes(one.cpu().numpy()) for one in (found.data[begin:end], found.raw[raw_begin:raw_end]))
        assert not error or (head, rest) == (b"", b"")
        payloads.append(None if error else encode_varint(len(head)) + head + rest)
    return payloads


def odd_cases(scale: int) -> list[Case]:
    """No levels and one, none coded, none without low bits, escapes of every size, and blocks that end anywhere."""
    classes = [mixed_classes(scale * count, seed=count) for count in (0, 1, 7, 63, 64, 65, 130)]
    classes += [np.zeros(70 * scale, np.uint8), np.full(70 * scale, 18, np.uint8), np.full(33 * scale, 63, np.uint8)]
    levels = [drawn_levels(one, seed=one.size) for one in classes]
    levels[-1][:3] = LARGEST, -LARGEST, 0
    rng = np.random.default_rng(3)
    for cls in (1, 20, 21, 24, 30, 63):  # all escapes, of 1 to 31 bits
        classes.append(np.full(40, cls, np.uint8))
        levels.append(np.rint(np.exp2(rng.uniform(0, 31, 40)) * rng.choice([-1, 1], 40)).clip(-LARGEST, LARGEST))
    for level in (0, 1, -1, LARGEST, -LARGEST):  # one row of one channel
        for cls in (1, 20, 40):
            classes.append(np.full(1, cls, np.uint8))
            levels.append(np.array([level]))
    return [(one.astype(np.int32), cls) for one, cls in zip(levels, classes, strict=True)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tables", [static_tables(), rounded_tables()], ids=["static", "rounded"])
@pytest.mark.usefixtures("_few_steps")
def test_bytes_are_those_of_the_cpu_and_of_the_definition(
    tables: Tables, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = odd_cases(1 if device == "cpu" else 3000)
    expected = [encode_levels(*case, tables) for case in cases]
    assert encoded(device, cases, tables) == expected
    monkeypatch.setattr("embdc_cli.entropy.levels.kernels", lambda _: reference)
    assert [encode_levels(*case, tables) for case in cases] == expected


@pytest.mark.parametrize("device", DEVICES)
def test_lanes_follow_from_what_symbols_cost(device: str) -> None:
    """Of 1, 2 and 4 lanes, without help; and as the layout says at its edges."""
    cases = [(np.full(count, 15, np.int32), np.full(count, 18, np.uint8)) for count in (25, 540, 1080)]  # 12 bits each
    if device == "cpu":
        cases = cases[:2]
    found = encoded(device, cases)
    assert found == [encode_levels(*case) for case in cases]
    edges = [edge << bits for bits in range(7) for edge in (400 * 8 * 256 - 1, 400 * 8 * 256)]
    costs = on(device, np.array([0, *edges]))
    lanes = cuda_encode._lanes(costs, torch.zeros(len(costs), dtype=torch.int32, device=device))
    assert lanes.tolist() == [choose_lanes(cost) for cost in (0, *edges)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("_few_steps")
def test_what_cannot_be_coded_is_flagged_and_nothing_else(device: str) -> None:
    good = (np.array([0, 3, -70, 0], np.int32), np.array([0, 20, 30, 1], np.uint8))
    bad: list[Case] = []
    for at, level, cls in ((0, 1, 0), (3, -1, 0), (1, 3, 64), (2, 0, 255), (1, -(2**31), 20)):
        levels, classes = (one.copy() for one in good)
        levels[at], classes[at] = level, cls
        bad.append((levels, classes))
        with pytest.raises(ValueError, match="levels"):
            encode_levels(levels, classes)
    whole = encode_levels(*good)
    cases = [case for one in bad for case in (good, one)]
    assert encoded(device, [*cases, good]) == [*([whole, None] * len(bad)), whole]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("_few_steps")
def test_tables_with_gaps_escape_where_the_cpu_does(device: str) -> None:
    freq = static_tables().freq.copy()
    freq[20, 0] += freq[20, 2]
    freq[20, 2] = 0
    tables = Tables(freq)
    cases = [(np.array([level, 0], np.int32), np.full(2, 20, np.uint8)) for level in (1, 2)]
    assert tables.direct[20] == 2
    assert encoded(device, cases, tables) == [encode_levels(*case, tables) for case in cases]


@pytest.mark.skipif(not INTERPRETED, reason="accesses are seen in the interpreter")
@pytest.mark.usefixtures("_few_steps")
def test_nothing_beyond_the_ranges_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels and classes of every kind, also wrong ones; what is written lies in each payload's own room."""
    rng = np.random.default_rng(1)
    cases = [case for case in odd_cases(1) if case[1].size]
    for number in range(6):
        levels, classes = cases[number][0].copy(), cases[number][1].copy()
        classes[rng.integers(classes.size)] = 0 if number % 2 else 200
        levels[rng.integers(levels.size)] = -(2**31) if number < 3 else 5
        cases.append((levels, classes))
    classes, spans = joined([cls.tobytes() for _, cls in cases])
    levels = np.full(classes.size, 77, np.int32)
    for (own, _), (start, stop) in zip(cases, spans.tolist(), strict=True):
        levels[start:stop] = own
    given = [torch.from_numpy(one) for one in (levels, classes, spans)]
    made: list[torch.Tensor] = []
    encode = rans.encode
    monkeypatch.setattr(rans, "encode", lambda *arguments: (made.extend(arguments[:2]), encode(*arguments))[1])
    with watched(monkeypatch) as seen:
        found = cuda_encode.encode_levels(*given, 130, cuda.tables_on(None, torch.device("cpu")))
    symbols, rows = made
    inside = elements_in(spans)
    assert elements_of(given[0], seen.reads) == elements_of(given[1], seen.reads) == inside
    assert set() < elements_of(symbols, seen.writes) <= inside
    assert elements_of(rows, seen.writes) == elements_of(symbols, seen.writes)
    assert found.errors.any()
    assert not found.errors.all()
    words = found.raw_bits.numpy() // 4
    words[:, 1] = -(-found.raw_bits.numpy()[:, 1] // 4)
    raw = found.raw.view(torch.int32)
    assert elements_of(raw, seen.writes) == elements_of(raw, seen.reads) | elements_in(words) == elements_in(words)


@pytest.mark.parametrize("device", DEVICES)
def test_no_payloads_at_all(device: str) -> None:
    nothing, ranges = on(device, np.zeros(0, np.uint8)), on(device, np.zeros((0, 2), np.int64))
    found = cuda_encode.encode_levels(nothing.int(), nothing, ranges, 0, cuda.tables_on(None, torch.device(device)))
    assert [one.numel() for one in found] == [0] * 5


def test_other_types_are_refused() -> None:
    classes, spans = torch.zeros(4, dtype=torch.uint8), torch.tensor([[0, 4]])
    for levels in (classes, classes.int()[:3], torch.zeros(8, dtype=torch.int32)[::2]):
        with pytest.raises(ValueError, match="levels: expected"):
            cuda_encode.encode_levels(levels, classes, spans, 4, cuda.tables_on(None, torch.device("cpu")))


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [5], [1 << 23, *[1] * (1 << 18)], [*[1] * 5000, 1 << 20, 3, 1 << 20], [1, 1 << 23] * 50, [3000] * 9],
    ids=lambda sizes: f"{len(sizes)} of {sum(sizes)}",
)
def test_launches_have_programs_in_proportion_to_levels(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of 2^18 payloads beside a long one, which in one launch would be more programs than a grid may have."""
    monkeypatch.setattr(cuda, "BLOCK", 1024)
    parts = list(cuda.launches(sizes))
    assert [at for part in parts for at in range(part.start, part.stop)] == list(range(len(sizes)))
    for part in parts:
        own = sizes[part]
        programs = len(own) * cuda.blocks_of(max(own))
        assert programs <= 2 * sum(cuda.blocks_of(size) for size in own) < 2**31
        for work_bytes, per_program, per_level in ((cuda.work_bytes, 48, 14), (cuda_encode.work_bytes, 96, 12)):
            assert sum(map(work_bytes, own)) >= per_program * programs + per_level * sum(own)
