"""The table of planes: which octave and group a plane belongs to, whatever the length of its track."""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.transform.plane_table import OCTAVES, add, vectors_of


def test_a_period_is_in_the_same_octave_whatever_the_length_of_the_track() -> None:
    for rows in (1, 2, 4, 8, 16, 32, 64):
        for k in range(rows):
            planes = np.zeros((rows, 1))
            planes[k] = 1.0
            (octave,) = np.flatnonzero(add(np.zeros((OCTAVES, 0)), [planes]).sum(axis=1))
            if k == 0:
                assert octave == 0
            else:
                assert 128 / 2**octave < 2 * rows / k <= 256 / 2**octave


def test_groups_of_vectors_hold_all_and_tables_grow() -> None:
    table = add(np.zeros((OCTAVES, 0)), [np.ones((1, 3)), np.full((2, 9), 2.0), np.ones((4, 0))])
    assert vectors_of(table.shape[1]) == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16)]
    assert table[0].tolist() == [3.0, 3.0, 5.0, 8.0, 2.0]
    assert table[6].tolist() == [2.0, 2.0, 4.0, 8.0, 2.0]
    assert table[1:6].sum() == 0
