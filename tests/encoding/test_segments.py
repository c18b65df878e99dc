"""Segments: pieces cover every chunk, new models are taken where they pay, and archives of several decode right."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.encoding.segments import _PIECE_TOKENS, MAX_SEGMENTS, Segment, divide, pieces_of, plain_error
from embdc_cli.tokens import Cut
from tests.synthetic import embeddings, errors

ROWS, TOKENS, CHANNELS = 192, 16, 12  # a piece is 48 rows
ENOUGH = _PIECE_TOKENS * CHANNELS
OPTIONS: dict[str, Any] = {"chunk_frames": 16, "target_nmse": 0.01}


def chunks(count: int, rows: int = 8) -> list[Cut]:
    return [(rows * i, rows * (i + 1)) for i in range(count)]


@pytest.mark.parametrize(
    ("tokens", "scenes", "expected"),
    [
        ([], [], []),
        ([ENOUGH], [], [1]),
        ([5], [], [1]),
        ([ENOUGH, ENOUGH, ENOUGH], [], [1, 1, 1]),
        ([ENOUGH // 2] * 6, [], [2, 2, 2]),
        ([ENOUGH // 2] * 3, [], [3]),  # the rest is too short for models of its own
        ([ENOUGH // 2] * 7, [], [2, 2, 3]),
        ([ENOUGH // 2] * 9, [], [2, 2, 2, 3]),
        ([ENOUGH // 2] * 8, [3], [2, 1, 2, 3]),
        ([ENOUGH, 1, ENOUGH], [], [1, 2]),
        ([1] * 640, [], [640]),
        ([ENOUGH] * 6400, [], [100] * 64),
    ],
)
def test_pieces_have_enough_tokens(tokens: list[int], scenes: list[int], expected: list[int]) -> None:
    """scenes: numbers of the chunks that begin one."""
    cuts = chunks(len(tokens))
    pieces = pieces_of(cuts, tokens, CHANNELS, frozenset(cuts[at][0] for at in scenes))
    assert [len(piece) for piece in pieces] == expected
    assert [cut for piece in pieces for cut in piece] == cuts


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 2 * ENOUGH), max_size=80), st.sets(st.integers(0, 79)))
def test_pieces_cover_every_chunk_once(tokens: list[int], scenes: set[int]) -> None:
    cuts = chunks(len(tokens))
    starts = frozenset(8 * at for at in scenes)
    pieces = pieces_of(cuts, tokens, CHANNELS, starts)
    assert all(pieces)
    assert [cut for piece in pieces for cut in piece] == cuts
    plain = pieces_of(cuts, tokens, CHANNELS, frozenset())
    assert len(plain) < 2 or all(sum(tokens[cut[0] // 8] for cut in piece) >= ENOUGH for piece in plain)


class Chunks:
    """A stream of pieces of several kinds, where models of one kind waste `waste` per value on another."""

    def __init__(self, kinds: str, *, own: float = 1.0, waste: float = 2.0, step: float = 0.5) -> None:
        self.own, self.waste, self.step = own, waste, step
        self.pieces = [chunks(3 * len(kinds))[3 * i : 3 * i + 3] for i in range(len(kinds))]
        self._kind = {cut: kind for piece, kind in zip(self.pieces, kinds, strict=True) for cut in piece}
        self.fitted: list[Cut] = []
        self.tried: list[Cut] = []

    def fit(self, piece: list[Cut]) -> Any:
        self.fitted.append(piece[0])
        models = SimpleNamespace(to_bytes=lambda: self._kind[piece[0]].encode())
        foretold = SimpleNamespace(cost=100 * self.own, values=100)
        return SimpleNamespace(foretell=lambda step: foretold, models=lambda step: models)

    def coded(self, codec: Any, cut: Cut) -> tuple[float, int, int]:
        self.tried.append(cut)
        cost = 1.0 if codec == self._kind[cut].encode() else self.waste
        return 50 * cost * self.step**2, 0, 50

    def divided(self) -> list[Segment]:
        codec: Any = bytes
        return divide(self.pieces, self.step, self.fit, codec, self.coded)

    def lengths(self) -> list[int]:
        """Pieces in each segment."""
        found = self.divided()
        assert [segment.number for segment in found] == list(range(len(found)))
        assert [cut for segment in found for cut in segment.cuts] == [cut for piece in self.pieces for cut in piece]
        return [len(segment.cuts) // 3 for segment in found]


@pytest.mark.parametrize(
    ("kinds", "options", "expected", "fits"),
    [
        ("A", {}, [1], 1),
        ("AAAA", {}, [4], 1),
        ("AABB", {}, [2, 2], 2),
        ("ABBA", {}, [1, 2, 1], 3),
        ("AAAB", {}, [3, 1], 2),
        ("AABB", {"own": 1.99, "waste": 2.0}, [4], 3),  # new models are hardly cheaper
        ("AABB", {"own": 1.8, "waste": 2.0}, [2, 2], 2),
        ("AABB", {"own": 3.0, "waste": 2.0}, [4], 1),  # the present ones waste less than the first piece took
        ("AAAA", {"own": 0.99}, [4], 4),
        ("".join(chr(65 + i) for i in range(40)), {}, [*[1] * (MAX_SEGMENTS - 1), 41 - MAX_SEGMENTS], MAX_SEGMENTS),
    ],
)
def test_new_models_are_taken_where_they_are_cheaper(
    kinds: str, options: dict[str, float], expected: list[int], fits: int
) -> None:
    stream = Chunks(kinds, **options)
    assert stream.lengths() == expected
    assert len(stream.fitted) == fits


def test_bytes_count_as_errors_do() -> None:
    stream = Chunks("AB")
    stream.coded = lambda codec, cut: (0.0, 10 * len(cut), 1)  # type: ignore[method-assign]  # all bits, no error
    assert stream.lengths() == [1, 1]


def test_the_middle_chunk_of_a_piece_is_tried() -> None:
    stream = Chunks("AAB")
    stream.divided()
    assert stream.tried == [piece[1] for piece in stream.pieces[1:]]


@pytest.mark.parametrize(
    ("errors_of_channels", "variances", "expected"),
    [
        ([1.0, 2.0, 3.0], None, 6.0),
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], 1.5),
        ([0.0, 2.0], [0.0, 1.0], 2.0),
        ([5.0, 2.0], [0.0, 1.0], 2.0),
        ([], None, 0.0),
    ],
)
def test_plain_error(errors_of_channels: list[float], variances: list[float] | None, expected: float) -> None:
    found = plain_error(np.array(errors_of_channels), None if variances is None else np.array(variances))
    assert found == expected


def two_halves() -> np.ndarray:
    """(ROWS, TOKENS, CHANNELS): steep variances, in another basis in the second half."""
    steep = 2.0 ** -np.arange(CHANNELS)
    rng = np.random.default_rng(3)
    halves = []
    for seed in (5, 6):
        x = embeddings(ROWS // 2, TOKENS, CHANNELS, seed=seed).astype(np.float32)
        x = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
        halves.append(x * steep @ np.linalg.qr(rng.standard_normal((CHANNELS, CHANNELS)))[0])
    return np.concatenate(halves).astype(np.float32)


def archive_of(x: np.ndarray, folder: Path, name: str = "a.embdc", **options: Any) -> Path:
    out = folder / name
    embdc.encode(x, str(out), force=True, **{**OPTIONS, **options})
    return out


def segments_of(archive: Path) -> list[tuple[int, list[int]]]:
    """The segment and the rows of every chunk."""
    document = embdc.inspect(str(archive), chunks=True, stats=True)
    found = [(chunk["segment"], chunk["rows"]) for chunk in document["chunks"]]
    assert document["stats"][0]["segments"] == len({segment for segment, _ in found})
    return found


@pytest.mark.parametrize("effort", range(4))
def test_unlike_halves_have_models_of_their_own(tmp_path: Path, effort: int) -> None:
    x = two_halves()
    archive = archive_of(x, tmp_path, effort=effort)
    found = segments_of(archive)
    numbers = [segment for segment, _ in found]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(max(numbers) + 1))
    assert max(numbers) >= 1
    assert [row for _, (start, stop) in found for row in range(start, stop)] == list(range(ROWS))
    with embdc.open(str(archive)) as opened:
        whole = opened["data"][:].numpy()
        assert errors(x, whole)["nmse"] <= 0.01
        for rows in (slice(ROWS // 2 - 5, ROWS // 2 + 5), slice(3, ROWS, 17), slice(ROWS // 2, ROWS // 2 + 1)):
            np.testing.assert_array_equal(opened["data"][rows].numpy(), whole[rows])
    assert embdc.verify(str(archive))["ok"]
    again = archive_of(x, tmp_path, "b.embdc", effort=effort, jobs=3)
    assert again.read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("options", [{"target_bpv": 2.5, "target_nmse": None}, {"weighting": "channel"}], ids=str)
def test_several_pieces_meet_their_target_under_any_option(tmp_path: Path, options: dict[str, Any]) -> None:
    x = two_halves()
    archive = archive_of(x, tmp_path, **options)
    whole = embdc.open(str(archive))["data"][:].numpy()
    if "target_bpv" in options:
        assert 8 * archive.stat().st_size <= 2.5 * x.size
        assert errors(x, whole)["nmse"] < 0.01
    else:
        assert 0.0095 <= errors(x, whole)["nmse"] <= 0.01


def test_segments_cost_no_more_than_archives_apart(tmp_path: Path) -> None:
    x = two_halves()
    names = ("both", x), ("first", x[: ROWS // 2]), ("second", x[ROWS // 2 :])
    both, first, second = (coded_bytes(archive_of(rows, tmp_path, name, effort=0)) for name, rows in names)
    assert both <= 1.03 * (first + second)


def coded_bytes(archive: Path) -> int:
    """Bytes of models and chunks."""
    parts = embdc.inspect(str(archive))["parts"]
    return sum(parts[name] for name in ("models", "data"))


def test_what_does_not_change_stays_one_segment(tmp_path: Path) -> None:
    still = np.random.default_rng(4).standard_normal((1, TOKENS, CHANNELS)).repeat(ROWS, axis=0).astype(np.float32)
    assert {segment for segment, _ in segments_of(archive_of(still, tmp_path, chunk_frames=48))} == {0}


def test_the_same_statistics_stay_one_segment(tmp_path: Path) -> None:
    x = np.random.default_rng(4).standard_normal((ROWS, TOKENS, CHANNELS)) * 2.0 ** -np.arange(CHANNELS)
    archive = archive_of(x.astype(np.float32), tmp_path, chunk_frames=48, effort=0)
    assert {segment for segment, _ in segments_of(archive)} == {0}
