"""Tracks tile the chunk, in the order that both sides count on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from embdc_cli.codec.transform.mixture.tracks import LEVELS, SPAN, Tracks, longest_levels
from tests.codec.mixture.mixture_cases import ROWS, longest_level, maps


@pytest.mark.parametrize("rows", [*ROWS, 0, 2, 127, 129])
def test_longest_levels_are_those_that_fit(rows: int) -> None:
    assert longest_levels(rows).tolist() == [longest_level(row, rows) for row in range(rows)]


def test_the_longest_track_is_a_span() -> None:
    assert 1 << LEVELS - 1 == SPAN


@settings(max_examples=60, deadline=None)
@given(maps())
def test_tracks_are_in_order_and_say_what_the_maps_say(found: tuple[np.ndarray, np.ndarray]) -> None:
    levels, modes = found
    tracks = Tracks.of_maps(levels, modes)
    assert (tracks.rows, tracks.tokens) == levels.shape
    place = tracks.starts * tracks.tokens + tracks.token
    assert (np.diff(place) > 0).all()
    assert not (tracks.starts % SPAN % (1 << tracks.level)).any()
    covered = np.zeros(levels.shape, int)
    for start, token, level, mode in zip(tracks.starts, tracks.token, tracks.level, tracks.mode, strict=True):
        rows = slice(start, start + (1 << level))
        covered[rows, token] += 1
        assert (levels[rows, token] == level).all()
        assert (modes[rows, token] == mode).all()
    assert (covered == 1).all()


@settings(max_examples=60, deadline=None)
@given(maps(modes=5))
def test_blocks_hold_every_token_once(found: tuple[np.ndarray, np.ndarray]) -> None:
    levels, modes = found
    tracks = Tracks.of_maps(levels, modes)
    blocks = tracks.blocks
    assert [(block.mode, block.level) for block in blocks] == sorted(
        {*zip(modes.ravel().tolist(), levels.ravel().tolist(), strict=True)}
    )
    seen = [block.token_index.ravel() for block in blocks]
    assert sorted(np.concatenate([np.zeros(0, int), *seen]).tolist()) == list(range(levels.size))
    for block in blocks:
        assert block.token_index.shape == (len(block.tracks), block.rows)
        assert (np.diff(block.tracks) > 0).all()
        first = tracks.starts[block.tracks] * tracks.tokens + tracks.token[block.tracks]
        np.testing.assert_array_equal(block.token_index[:, 0], first)
        assert (np.diff(block.token_index, axis=1) == tracks.tokens).all()
