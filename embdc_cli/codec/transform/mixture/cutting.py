"""How a chunk's tracks are sent: the cut of every token into tracks, and the mode of each, beside the chunk.

`walk` turns tracks into symbols (differences of levels, matches with neighbours, numbers of modes); these go through
rANS under two tables of the segment, made from its sample, and the numbers as raw bits. A segment without tables has
single rows of one mode for tracks, and nothing to send of them.
Layout: in the models of a segment: [blob] table of level differences, empty without tables; [blob] table of matches,
not there without tables. In a chunk: [varint] rows; [varint] tokens; with tables also [varint] tracks; [blob] level
differences; [blob] matches; numbers. The last two are there for more than one mode only. The activities of the tracks
follow (`motion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks, longest_levels
from embdc_cli.codec.transform.mixture.walk.reference import NO_MATCH
from embdc_cli.entropy import rans
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.bits import pack_bits, packed_bytes, unpack_bits
from embdc_cli.entropy.tables import FINE_COST_UNIT, TOTAL, Tables

_WALK: Final = "embdc_cli.codec.transform.mixture.walk"
_SHIFTS: Final = 2 * LEVELS - 1
_MAX_SIDE: Final = 1 << 31


@dataclass(frozen=True)
class TrackTables:
    """One row each. shifts: 13 level differences. matches: 4."""

    shifts: Tables
    matches: Tables

    @classmethod
    def of(cls, sample: Sequence[Tracks]) -> TrackTables:
        """Tables that suit the tracks of a sample; whatever it lacks can still be sent."""
        shifts, matches = np.zeros(_SHIFTS, np.int64), np.zeros(NO_MATCH + 1, np.int64)
        for tracks in sample:
            found = _symbols(tracks)
            shifts += np.bincount(found[0], minlength=_SHIFTS)
            matches += np.bincount(found[1], minlength=NO_MATCH + 1)
        return cls(adapted(shifts), adapted(matches))


def write_tables(out: FieldWriter, tables: TrackTables | None) -> None:
    if tables is None:
        out.blob(b"")
        return
    for one in (tables.shifts, tables.matches):
        out.blob(one.to_bytes())


def read_tables(fields: FieldReader) -> TrackTables | None:
    """As `write_tables` wrote them. Raises CorruptArchive."""
    shifts = fields.blob()
    if not len(shifts):
        return None
    found = [Tables.from_bytes(data) for data in (shifts, fields.blob())]
    if [one.freq.shape for one in found] != [(1, count) for count in (_SHIFTS, NO_MATCH + 1)]:
        raise fields.corrupt("tables of tracks: wrong number of symbols")
    return TrackTables(*found)


def side_bits(tracks: Tracks, tables: TrackTables, modes: int) -> float:
    """What `write_tracks` takes for them, but for its few bytes of framing."""
    shifts, matches, numbers = _symbols(tracks)
    bits = float(tables.shifts.fine_cost[0, shifts].sum()) / FINE_COST_UNIT
    if modes > 1:
        bits += float(tables.matches.fine_cost[0, matches].sum()) / FINE_COST_UNIT
        bits += len(numbers) * (modes - 1).bit_length()
    return bits


def adapted(counts: np.ndarray) -> Tables:
    """One row of 12-bit frequencies for counts (symbols,), every symbol possible, precise to an eighth of an octave."""
    share = (counts.astype(np.int64) * 64 + 1) / float((counts * 64 + 1).sum()) * TOTAL
    coarse = np.exp2(np.rint(8 * np.log2(np.maximum(share, 1.0))) / 8).astype(np.int64)
    freq = np.maximum(1, coarse)
    while freq.sum() > TOTAL:
        freq[freq.argmax()] -= min(freq.sum() - TOTAL, freq.max() // 2)
    freq[freq.argmax()] += TOTAL - freq.sum()
    return Tables(freq[None])


def write_tracks(out: FieldWriter, tracks: Tracks, tables: TrackTables | None, modes: int) -> None:
    """modes: how many there are; numbers take as many bits as the largest needs."""
    out.varint(tracks.rows)
    out.varint(tracks.tokens)
    if tables is None:
        return
    out.varint(len(tracks.starts))
    shifts, matches, numbers = _symbols(tracks)
    out.blob(rans.encode(shifts, np.zeros_like(shifts), tables.shifts))
    if modes > 1:
        out.blob(rans.encode(matches, np.zeros_like(matches), tables.matches))
        out.raw(pack_bits(numbers, np.full(len(numbers), (modes - 1).bit_length())))


def read_tracks(fields: FieldReader, tables: TrackTables | None, modes: int) -> Tracks:
    """The tracks that `write_tracks` wrote. Raises CorruptArchive."""
    rows, tokens = fields.varint(limit=_MAX_SIDE), fields.varint(limit=_MAX_SIDE)
    if tables is None:
        return Tracks.single_rows(rows, tokens)
    count = fields.varint(limit=rows * tokens)
    row = np.zeros(count, np.uint8)
    shifts = rans.decode(fields.blob(), row, tables.shifts)
    starts, token, level, mode = (np.zeros(count, np.int64) for _ in range(4))
    walk = kernels(_WALK)
    if not walk.to_tracks(shifts, longest_levels(rows), tokens, starts, token, level):
        raise fields.corrupt("tracks: they do not tile the chunk")
    if modes > 1:
        matches = rans.decode(fields.blob(), row, tables.matches)
        numbers_sent = int(np.count_nonzero(matches == NO_MATCH))
        width = (modes - 1).bit_length()
        sent = fields.raw(packed_bytes(numbers_sent * width))
        numbers = unpack_bits(sent, np.full(numbers_sent, width)).astype(np.int64)
        if numbers.max(initial=0) >= modes:
            raise fields.corrupt(f"tracks: expected modes below {modes}, found {numbers.max()}")
        if not walk.to_modes(token, matches, numbers, tokens, isqrt(tokens), mode):
            raise fields.corrupt("tracks: a mode is taken from a neighbour that is not there")
    return Tracks(rows, tokens, starts, token, level, mode)


def _symbols(tracks: Tracks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level differences and matches (n,) uint8, and the numbers of the modes that match no neighbour."""
    count = len(tracks.starts)
    shifts, matches, numbers = np.zeros(count, np.uint8), np.zeros(count, np.uint8), np.zeros(count, np.int64)
    sent = kernels(_WALK).to_symbols(
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
