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
from embdc_cli.encoding.segments import _PIECE_TOKENS, divide, pieces_of
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


class Stream:
    """Pieces of three chunks, each of a kind: models cost `models` for every kind they serve, and waste on several."""

    def __init__(self, kinds: str, *, models: float = 1.0, waste: float = 0.5) -> None:
        self._models, self._waste = models, waste
        self.pieces = [chunks(3 * len(kinds))[3 * i : 3 * i + 3] for i in range(len(kinds))]
        self._kind = {cut: kind for piece, kind in zip(self.pieces, kinds, strict=True) for cut in piece}
        self.scenes = frozenset(
            piece[0][0] for piece, kind, last in zip(self.pieces[1:], kinds[1:], kinds, strict=False) if kind != last
        )
        self.fits = 0

    def fit(self, cuts: list[Cut]) -> Any:
        self.fits += 1
        kinds = len({self._kind[cut] for cut in cuts})
        cost = self._models * kinds + len(cuts) * (1 + self._waste * (kinds - 1))
        return SimpleNamespace(foretell=lambda step: SimpleNamespace(cost=cost))

    def lengths(self, *, told: bool = True) -> list[int]:
        """Pieces in each segment. told: where scenes begin."""
        found = divide(self.pieces, self.scenes if told else frozenset(), 0.5, self.fit)
        assert [segment.number for segment in found] == list(range(len(found)))
        assert [cut for segment in found for cut in segment.cuts] == [cut for piece in self.pieces for cut in piece]
        return [len(segment.cuts) // 3 for segment in found]


@pytest.mark.parametrize(
    ("kinds", "options", "expected", "fits"),
    [
        ("A", {}, [1], 0),
        ("AAAA", {}, [4], 3),
        ("A" * 64, {}, [64], 3),
        ("AABB", {}, [2, 2], 7),
        ("AAAB", {}, [3, 1], 5),
        ("ABBA", {}, [1, 2, 1], 7),
        ("AAAAAAABBBBBBBBBBBCCD", {}, [7, 11, 2, 1], 13),
        ("AABB", {"waste": 0.01}, [4], 3),  # one pair of bases does for both
        ("".join(chr(65 + i) for i in range(40)), {}, [2, 3] * 8, 31),
    ],
)
def test_streams_are_halved_where_models_of_their_own_pay(
    kinds: str, options: dict[str, float], expected: list[int], fits: int
) -> None:
    stream = Stream(kinds, **options)
    assert stream.lengths() == expected
    assert stream.fits == fits


def test_without_scenes_the_middle_is_tried() -> None:
    assert Stream("AAAABBBB").lengths(told=False) == [4, 4]
    assert Stream("AAAAAABB").lengths(told=False) == [4, 2, 2]


def test_what_is_won_has_to_exceed_what_foretelling_errs() -> None:
    for waste, expected in ((0.5, [1, 1]), (0.01, [2])):
        assert Stream("AB", models=0.0, waste=waste).lengths() == expected


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
