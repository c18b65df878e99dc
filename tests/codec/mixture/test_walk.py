"""The order of tracks and what neighbours foretell: both kernels alike, back and forth, whatever the symbols are."""

from __future__ import annotations

from math import isqrt
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform.mixture.tracks import Tracks, longest_levels
from embdc_cli.codec.transform.mixture.walk import cpu, reference
from embdc_cli.codec.transform.mixture.walk.reference import NO_MATCH
from tests.codec.mixture.mixture_cases import maps

KERNELS = [reference, cpu]
SENTINEL = -77
MARGIN = 5


class Guarded:
    """An int64 array (n,) between margins that nobody may write to."""

    def __init__(self, size: int) -> None:
        self._whole = np.full(size + 2 * MARGIN, SENTINEL, np.int64)
        self.inner = self._whole[MARGIN : MARGIN + size]

    @property
    def intact(self) -> bool:
        edges = np.concatenate([self._whole[:MARGIN], self._whole[len(self._whole) - MARGIN :]])
        return bool((edges == SENTINEL).all())


def symbols(kernel: ModuleType, tracks: Tracks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(tracks.starts)
    shifts, matches, numbers = np.zeros(count, np.uint8), np.zeros(count, np.uint8), np.zeros(count, np.int64)
    sent = kernel.to_symbols(
        tracks.starts,
        tracks.token,
        tracks.level,
        tracks.mode,
        longest_levels(tracks.rows),
        tracks.tokens,
        isqrt(tracks.tokens),
        shifts,
        matches,
        numbers,
    )
    return shifts, matches, numbers[:sent]


def walked(
    kernel: ModuleType, shifts: np.ndarray, rows: int, tokens: int
) -> tuple[bool, np.ndarray, np.ndarray, np.ndarray]:
    out = [Guarded(shifts.size) for _ in range(3)]
    whole = kernel.to_tracks(shifts, longest_levels(rows), tokens, *(one.inner for one in out))
    assert all(one.intact for one in out)
    return bool(whole), *(one.inner for one in out)


def named(
    kernel: ModuleType, token: np.ndarray, matches: np.ndarray, numbers: np.ndarray, tokens: int
) -> tuple[bool, np.ndarray]:
    mode = Guarded(token.size)
    known = kernel.to_modes(token, matches, numbers, tokens, isqrt(tokens), mode.inner)
    assert mode.intact
    return bool(known), mode.inner


@settings(max_examples=80, deadline=None)
@given(maps())
def test_kernels_agree_and_tracks_come_back(found: tuple[np.ndarray, np.ndarray]) -> None:
    tracks = Tracks.of_maps(*found)
    shifts, matches, numbers = symbols(reference, tracks)
    for mine, other in zip((shifts, matches, numbers), symbols(cpu, tracks), strict=True):
        np.testing.assert_array_equal(mine, other)
    for kernel in KERNELS:
        whole, *back = walked(kernel, shifts, tracks.rows, tracks.tokens)
        assert whole
        for mine, other in zip((tracks.starts, tracks.token, tracks.level), back, strict=True):
            np.testing.assert_array_equal(mine, other)
        known, mode = named(kernel, tracks.token, matches, numbers, tracks.tokens)
        assert known
        np.testing.assert_array_equal(mode, tracks.mode)


def test_neighbours_foretell_levels_and_modes() -> None:
    """Four tokens, two rows of a grid, over six rows of time; each symbol worked out by hand."""
    levels = np.array([[2, 2, 0, 2]] * 4 + [[1, 1, 0, 0]] * 2)
    modes = np.array([[5, 5, 7, 5]] * 4 + [[5, 8, 7, 9]] * 2)
    levels[:, 2], modes[:, 2] = 0, [7, 7, 7, 5, 7, 8]
    tracks = Tracks.of_maps(levels, modes)
    expected = [
        (6, 3), (6, 0), (4, 3), (8, 1),  # row 0: 4 rows fit; no mode is known, then left, then a new one, then above
        (6, 2), (5, 2), (6, 0),  # rows 1 to 3 of token 2, where 1, 2 and 1 rows fit; twice as before, then left
        (6, 2), (6, 3), (5, 3), (6, 3),  # row 4, where 2 rows fit
        (6, 0), (6, 2),  # row 5 of the last two tokens
    ]  # fmt: skip
    for kernel in KERNELS:
        shifts, matches, numbers = symbols(kernel, tracks)
        assert list(zip(shifts.tolist(), matches.tolist(), strict=True)) == expected
        assert numbers.tolist() == [5, 7, 8, 7, 9]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("modes", "matches"),
    [
        ([5, 7, 5, 9], [3, 3, 1, 3]),  # the first that has one above itself
        ([5, 5, 5, 5], [3, 0, 0, 0]),  # the left comes before the one above
        ([5, 7, 7, 7], [3, 3, 0, 0]),
        ([5, 7, 9, 7], [3, 3, 3, 1]),
    ],
)
def test_neighbours_are_asked_left_first_then_above(kernel: ModuleType, modes: list[int], matches: list[int]) -> None:
    tracks = Tracks.of_maps(np.zeros((1, 4), int), np.array([modes]))
    assert symbols(kernel, tracks)[1].tolist() == matches


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 66), st.integers(0, 5), st.booleans())
def test_any_shifts_tile_the_chunk_or_are_refused(raw: bytes, rows: int, tokens: int, likely: bool) -> None:
    shifts = np.frombuffer(raw, np.uint8)
    shifts = 3 + shifts % 6 if likely else shifts
    whole, starts, token, level = walked(reference, shifts, rows, tokens)
    again, *others = walked(cpu, shifts, rows, tokens)
    assert whole == again
    for mine, other in zip((starts, token, level), others, strict=True):
        np.testing.assert_array_equal(mine, other)
    if whole:
        covered = np.zeros((rows, tokens), int)
        for start, where, exponent in zip(starts, token, level, strict=True):
            covered[start : start + (1 << exponent), where] += 1
        assert (covered == 1).all()
        assert (1 << level).sum() == rows * tokens


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("shifts", "rows", "tokens", "whole"),
    [
        ([6], 64, 1, True), ([6], 65, 1, False), ([6, 6], 65, 1, True), ([6, 6], 64, 1, False), ([], 0, 3, True),
        ([], 5, 0, True), ([], 1, 1, False), ([7], 64, 1, False), ([7], 1, 1, False), ([5], 1, 1, False),
        ([5, 6], 64, 1, True), ([5, 7], 64, 1, False), ([255], 64, 1, False), ([0] * 64, 64, 1, False),
        ([0, 5, *[6] * 62], 64, 1, False), ([6, 6], 64, 2, True), ([5, 6, 6, 6], 64, 2, True),
    ],
)  # fmt: skip
def test_tracks_that_do_not_tile_are_refused(
    kernel: ModuleType, shifts: list[int], rows: int, tokens: int, whole: bool
) -> None:
    assert walked(kernel, np.array(shifts, np.uint8), rows, tokens)[0] is whole


@settings(max_examples=150, deadline=None)
@given(st.data(), maps())
def test_any_matches_name_a_mode_or_are_refused(data: st.DataObject, found: tuple[np.ndarray, np.ndarray]) -> None:
    tracks = Tracks.of_maps(*found)
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    count = len(tracks.starts)
    chances = data.draw(st.sampled_from([[0.25] * 4, [0.3, 0.0, 0.3, 0.4], [0.0, 0.0, 0.0, 1.0]]))
    matches = rng.choice(4, count, p=chances).astype(np.uint8)
    matches[:1] = NO_MATCH
    numbers = rng.integers(0, 64, np.count_nonzero(matches == NO_MATCH))
    known, mode = named(reference, tracks.token, matches, numbers, tracks.tokens)
    again, other = named(cpu, tracks.token, matches, numbers, tracks.tokens)
    assert known == again
    np.testing.assert_array_equal(mode, other)
    lonely = (matches == 0) & (tracks.token == 0) | (matches == 1) & (tracks.token < isqrt(tracks.tokens))
    if known:
        assert np.isin(mode, numbers).all()
        assert not lonely.any()
    else:
        assert (mode == SENTINEL).any()  # nothing is made up from the refused match on


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("token", "match", "known"),
    [(0, 0, False), (0, 1, False), (0, 2, False), (1, 0, True), (1, 1, False), (1, 2, False), (2, 1, True)],
)
def test_a_mode_of_a_neighbour_that_is_not_there_is_refused(
    kernel: ModuleType, token: int, match: int, known: bool
) -> None:
    """A grid of 2 x 2: the tracks before `token` have mode 3."""
    matches = np.array([NO_MATCH] * token + [match], np.uint8)
    found = named(kernel, np.arange(token + 1), matches, np.full(token, 3), 4)
    assert found[0] is known
    assert not known or found[1].tolist() == [3] * (token + 1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("token", "match", "known"), [(0, 0, False), (0, 1, False), (1, 1, False), (0, 2, True), (1, 0, True), (2, 1, True)]
)
def test_the_edges_of_the_grid_have_no_neighbours_in_later_rows_either(
    kernel: ModuleType, token: int, match: int, known: bool
) -> None:
    """All of a grid of 2 x 2 has a mode when the second row of time begins; beyond the edge there is still none."""
    matches = np.array([NO_MATCH] * 4 + [match], np.uint8)
    assert named(kernel, np.array([0, 1, 2, 3, token]), matches, np.arange(4), 4)[0] is known
