"""Coding tables of a corpus: how often each symbol follows each class in what the codec really codes.

Streams are fitted and quantised as encode does, with the basis of the codebook at hand, at the effort that uses a kind
of tables and at steps five octaves wide, since a codebook serves every rate. Counts become 12-bit frequencies by
integer arithmetic, on top of the fixed tables as if those had been seen first, with zeros where these have zeros (such
magnitudes are escaped). The law of a class differs from video to video: on three streams of each of two layers of a
ViT, tables of the other two saved 1.0 to 1.4 % of the bits of planes, but -0.1 to 0.4 % of rounded levels and -0.2 to
0.3 % of paths. So tables are kept, kind by kind, only where each stream, coded with the tables of the others, needs
fewer bits in total than with the fixed ones.
Mixtures take a second or two for 2^20 values, so fewer streams teach the tables of their levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeVar

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import Chunk, channels_of, tokens_in
from embdc_cli.codebook.engine import HERE, Engine, told
from embdc_cli.codebook.symbol_counts import TableKind, chain_counts
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.entropy.coding_tables import CodingTables, fixed_tables
from embdc_cli.entropy.tables import TOTAL, Tables
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

STEPS: Final = tuple(2.0**octave for octave in range(-2, 3))
"""In units of the rms: from about 3 to 0.1 bits per value."""
KINDS: Final[tuple[TableKind, ...]] = ("planes", "rounded", "paths")
LESSONS: Final[dict[TableKind, tuple[int, int]]] = {"planes": (0, 8), "rounded": (1, 4), "paths": (2, 4)}
"""The effort that uses each kind, and the most streams that are coded to count its symbols."""
MAX_STREAM_VALUES: Final = 1 << 22
MIN_ROWS: Final = 8
"""Longer chunks are cut to MAX_STREAM_VALUES, but no shorter than this."""

_T = TypeVar("_T")


def trained_tables(
    codebook: Codebook, sample: Sequence[tuple[Tensor, list[Chunk]]], reporter: Reporter, engine: Engine = HERE
) -> CodingTables | None:
    """Tables for streams like those of `sample` coded with `codebook`; None where they save nothing of any kind."""
    plan = [(*one, kind) for kind in KINDS for one in _evenly(sample, LESSONS[kind][1])]
    found = told(engine.map(partial(_stream_counts, codebook), plan), len(plan), reporter, "tables", "streams")
    counts: dict[TableKind, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for (_, _, kind), own in zip(plan, found, strict=True):
        counts[kind].append(own)
    made = {}
    for kind in KINDS:
        fixed: Tables = getattr(fixed_tables(), kind)
        made[kind] = tables_of(np.sum(counts[kind], axis=0), fixed) if saved_cost(counts[kind], fixed) > 0 else fixed
    tables = CodingTables(**made)
    return tables if trained_kinds(tables) else None


def trained_kinds(tables: CodingTables | None) -> list[TableKind]:
    """Those that are not the fixed ones."""
    return [] if tables is None else [kind for kind in KINDS if getattr(tables, kind) != getattr(fixed_tables(), kind)]


def saved_cost(counts: Sequence[np.ndarray], fixed: Tables) -> int:
    """What tables of the others save on each stream in turn, in 1/65536 bit; 0 for a stream that has no others.

    Escapes are the same under both tables, so the symbols tell the difference exactly.
    """
    if len(counts) < 2:
        return 0
    total = np.sum(counts, axis=0)
    before = fixed.fine_cost.astype(np.int64)
    return sum(int((own * (before - tables_of(total - own, fixed).fine_cost)).sum()) for own in counts)


def tables_of(counts: np.ndarray, fixed: Tables) -> Tables:
    """12-bit tables for (rows, symbols) counts of what `fixed` can code: integers in, integers out."""
    prior = fixed.freq.astype(np.int64)
    weights = counts + prior
    totals = weights.sum(axis=1, keepdims=True)
    rounded = (2 * weights * TOTAL + totals) // (2 * totals)
    freq = np.where(prior > 0, np.maximum(1, rounded), 0)
    freq[np.arange(len(freq)), np.argmax(freq, axis=1)] += TOTAL - freq.sum(axis=1)
    return Tables(freq.astype(np.uint16))


def _stream_counts(codebook: Codebook, tensor: Tensor, chunks: Sequence[Chunk], kind: TableKind) -> np.ndarray:
    chosen = _within(tensor, chunks)
    rows = [tensor.read(*chunk) for chunk in chosen]
    token_counts = tensor.token_counts
    fit = Fit(
        tensor.spec,
        rows,
        None if token_counts is None else [token_counts[start:stop] for start, stop in chosen],
        FitOptions(effort=LESSONS[kind][0], codebook=codebook),
    )
    found = np.zeros(getattr(fixed_tables(), kind).freq.shape, np.int64)
    for step in STEPS if fit.rms > 0 else ():
        models = fit.models(fit.rms * step)
        for chunk in rows:
            for group, tokens in zip(models.groups, models.layout.split(chunk), strict=True):
                counted = chain_counts(group.chain, group.chain.encode(tokens))
                if counted is not None and counted[0] == kind:
                    found += counted[1]
    return found


def _within(tensor: Tensor, chunks: Sequence[Chunk]) -> list[Chunk]:
    """As many of the chunks, evenly spread, as MAX_STREAM_VALUES hold, and at least one, cut to that if need be."""
    values = sum(tokens_in(tensor, *chunk) for chunk in chunks) * channels_of(tensor.spec)
    chosen = list(_evenly(chunks, max(1, len(chunks) * MAX_STREAM_VALUES // max(1, values))))
    if len(chosen) == 1:
        start, stop = chosen[0]
        values = tokens_in(tensor, start, stop) * channels_of(tensor.spec)
        rows = max(MIN_ROWS, (stop - start) * MAX_STREAM_VALUES // max(1, values))
        chosen = [(start, min(stop, start + rows))]
    return chosen


def _evenly(items: Sequence[_T], most: int) -> Sequence[_T]:
    return items[:: max(1, -(-len(items) // most))]
