"""The order in which tracks are sent, and what their neighbours foretell of them.

Tracks go by first row, then token. The level of a track is foretold by that of the track to its left at its first row
(for the first token: the longest), as far as it fits; sent is the difference. Its mode is foretold by three neighbours:
left, above and before in time; sent is which of them has it, 3 when none does, and then its number.
Plain loops, so that the compiled twin is these same functions. Rows that lie above each other in the token grid are
`width` tokens apart.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.transform.mixture.tracks import LEVELS

NO_MATCH = 3


def to_symbols(
    starts: np.ndarray,
    token: np.ndarray,
    level: np.ndarray,
    mode: np.ndarray,
    longest: np.ndarray,
    tokens: int,
    width: int,
    shifts: np.ndarray,
    matches: np.ndarray,
    numbers: np.ndarray,
) -> int:
    """Fill shifts, matches (n,) uint8 and numbers (n,) int64; returns how many numbers there are.

    starts, token, level, mode: (n,) int64 in order. longest: (rows,) int64, the largest level that fits at each row.
    """
    level_at = np.full(tokens, LEVELS - 1)
    mode_at = np.full(tokens, -1)
    count = 0
    for i in range(starts.size):
        t = token[i]
        foretold = level_at[t - 1] if t > 0 else LEVELS - 1
        shifts[i] = level[i] - min(foretold, longest[starts[i]]) + LEVELS - 1
        if t > 0 and mode_at[t - 1] == mode[i]:
            matches[i] = 0
        elif t >= width and mode_at[t - width] == mode[i]:
            matches[i] = 1
        elif mode_at[t] == mode[i]:
            matches[i] = 2
        else:
            matches[i] = NO_MATCH
            numbers[count] = mode[i]
            count += 1
        level_at[t] = level[i]
        mode_at[t] = mode[i]
    return count


def to_tracks(
    shifts: np.ndarray,
    longest: np.ndarray,
    tokens: int,
    starts: np.ndarray,
    token: np.ndarray,
    level: np.ndarray,
) -> bool:
    """Fill starts, token, level (n,) int64 from shifts (n,) uint8; False when they do not tile the chunk exactly."""
    until = np.zeros(tokens, np.int64)
    level_at = np.full(tokens, LEVELS - 1)
    i = 0
    for row in range(longest.size):
        for t in range(tokens):
            if until[t] > row:
                continue
            if i == shifts.size:
                return False
            foretold = level_at[t - 1] if t > 0 else LEVELS - 1
            found = int(shifts[i]) + min(foretold, longest[row]) - (LEVELS - 1)
            if found < 0 or found > longest[row]:
                return False
            starts[i] = row
            token[i] = t
            level[i] = found
            level_at[t] = found
            until[t] = row + (1 << found)
            i += 1
    return bool(i == shifts.size)


def to_modes(
    token: np.ndarray,
    matches: np.ndarray,
    numbers: np.ndarray,
    tokens: int,
    width: int,
    mode: np.ndarray,
) -> bool:
    """Fill mode (n,) int64; False where a neighbour is asked for that is not there."""
    mode_at = np.full(tokens, -1)
    count = 0
    for i in range(token.size):
        t = token[i]
        found = -1
        if matches[i] == 0:
            if t > 0:
                found = mode_at[t - 1]
        elif matches[i] == 1:
            if t >= width:
                found = mode_at[t - width]
        elif matches[i] == 2:
            found = mode_at[t]
        else:
            found = numbers[count]
            count += 1
        if found < 0:
            return False
        mode[i] = found
        mode_at[t] = found
    return True
