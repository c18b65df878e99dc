"""What the tests of mixtures share: cuts of chunks, modes, damaged bytes, and scenes with tokens of several kinds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.transform.mixture.cutting import TrackTables, write_tracks
from embdc_cli.codec.transform.mixture.entries import PLAIN, Entries
from embdc_cli.codec.transform.mixture.extents import measure_extents, write_extents
from embdc_cli.codec.transform.mixture.frequencies import BANDS, occurring
from embdc_cli.codec.transform.mixture.modes import COARSEST_H, Mode
from embdc_cli.codec.transform.mixture.motion import write_activities
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.tracks import LEVELS, SPAN, Tracks

ROWS = (1, 3, 63, 64, 65, 200)
STILL, AS_FORETOLD, LIVELIEST = 0, 13, 24
"""Symbols of activities: no motion, as much as mode and level say, and 11 half octaves more."""


def longest_level(row: int, rows: int) -> int:
    """The definition: 2^level divides the place in the span, and the track ends within the chunk."""
    fits = [level for level in range(LEVELS) if row % SPAN % (1 << level) == 0 and row + (1 << level) <= rows]
    return max(fits)


def drawn_maps(
    rows: int, tokens: int, modes: int, seed: int, longest: int = LEVELS - 1
) -> tuple[np.ndarray, np.ndarray]:
    """(levels, modes) (F, N) of a cut drawn at random, tracks of up to 2^longest rows."""
    rng = np.random.default_rng(seed)
    levels, numbers = np.zeros((rows, tokens), np.int8), np.zeros((rows, tokens), np.int16)
    for token in range(tokens):
        row = 0
        while row < rows:
            level = int(rng.integers(0, min(longest, longest_level(row, rows)) + 1))
            levels[row : row + (1 << level), token] = level
            numbers[row : row + (1 << level), token] = rng.integers(modes)
            row += 1 << level
    return levels, numbers


@st.composite
def maps(draw: st.DrawFn, modes: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Maps of chunks of 0 to 200 rows of 0 to 9 tokens with up to `modes` modes."""
    rows = draw(st.sampled_from(ROWS) | st.integers(0, 140))
    return drawn_maps(
        rows,
        draw(st.sampled_from([1, 4, 9]) | st.integers(0, 9)),
        draw(st.integers(1, modes)),
        draw(st.integers(0, 1 << 32)),
        draw(st.integers(0, LEVELS - 1)),
    )


def drawn_mode(
    channels: int, rank: int, seed: int, entries: Entries = PLAIN, vectors: np.ndarray | None = None
) -> Mode:
    """A mode drawn at random: mean within +-12, orthonormal vectors (all of R^D in turn, or these), any classes."""
    rng = np.random.default_rng(seed)
    if vectors is None:
        vectors = np.linalg.qr(rng.normal(size=(channels, channels)))[0]
    h = np.sort(rng.integers(COARSEST_H, 31, rank))[::-1].astype(np.int64)
    mean = rng.uniform(-12, 12, channels)
    return Mode.fit(entries, mean, 2.0**-4, vectors[:rank], h, rng.integers(1, 64, (2, rank)))


def drawn_mixture(channels: int, ranks: tuple[int, ...], seed: int = 0, entries: Entries = PLAIN) -> Mixture:
    """A mixture of such modes, its tables made for all-equal counts."""
    rng = np.random.default_rng(seed)
    offsets = np.zeros((LEVELS, BANDS), int)
    offsets[occurring()] = rng.integers(-6, 7, len(occurring()[0]))
    modes = tuple(drawn_mode(channels, rank, seed + number, entries) for number, rank in enumerate(ranks))
    return Mixture(modes, offsets, TrackTables.of([]), 1.0)


def side_of(
    mixture: Mixture, levels: np.ndarray, modes: np.ndarray, activities: int | np.ndarray = AS_FORETOLD
) -> bytes:
    """The side information that tells these maps, the activities (n,) of their tracks, and that all codes count."""
    tracks = Tracks.of_maps(levels, modes)
    out = FieldWriter()
    write_tracks(out, tracks, mixture.tables, len(mixture.modes))
    write_activities(out, np.broadcast_to(np.asarray(activities, np.uint8), tracks.level.shape), tracks)
    ranks = [mode.rank for mode in mixture.modes]
    codes = np.ones(sum(block.token_index.size * ranks[block.mode] for block in tracks.blocks))
    write_extents(out, measure_extents(codes, tracks, ranks), tracks, ranks)
    return out.bytes()


def bit_flips(data: bytes, start: int = 0) -> Iterator[bytes]:
    """`data` with every single bit from byte `start` on turned, one at a time."""
    for bit in range(8 * start, 8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def populations(
    shape: tuple[int, int, int], count: int = 2, *, motion: float = 0.02, apart: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """((T, N, D) float32, labels (N,)): tokens of `count` kinds, each with a mean and principal axes of its own.

    motion: how far a token strays from its place, relative to how far the tokens of a kind are from each other.
    """
    rng = np.random.default_rng(seed)
    tokens, channels = shape[1:]
    labels = rng.integers(0, count, tokens)
    axes = np.stack([np.linalg.qr(rng.normal(size=(channels, channels)))[0] for _ in range(count)])
    means = apart * rng.normal(size=(count, channels))
    scales = np.exp2(-0.8 * np.arange(channels))
    z = (rng.normal(size=(1, tokens, channels)) + motion * rng.normal(size=shape)) * scales
    return (np.einsum("tnd,ndc->tnc", z, axes[labels]) + means[labels]).astype(np.float32), labels
