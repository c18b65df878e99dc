"""Coding tables of a corpus: how often each symbol follows each class in what the codec really codes.

Every stream is fitted and quantised as encode does, at steps five octaves wide, since a codebook serves every rate.
Counts become 12-bit frequencies by integer arithmetic, on top of the static tables as if those had been seen first,
with zeros where these have zeros (such magnitudes are escaped). The law of a class differs from video to video: on
four streams of two ViTs, tables of the other three cost from -0.9 to +2.7 % of the bits. So tables are kept only where
each stream, coded with the tables of the others, needs fewer bits in total than with the static ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import Chunk, channels_of, tokens_in
from embdc_cli.codec.transform.bands import band_of
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.planes import FLAGGED_CLASSES, Planes
from embdc_cli.entropy.tables import ESCAPE, ROWS, SYMBOLS, TOTAL, Tables, class_rows, class_shifts, static_tables
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

STEPS: Final = tuple(2.0**octave for octave in range(-2, 3))
"""In units of the rms: from about 3 to 0.1 bits per value."""
MAX_STREAMS: Final = 8
MAX_STREAM_VALUES: Final = 1 << 21


def trained_tables(
    codebook: Codebook, sample: Sequence[tuple[Tensor, list[Chunk]]], reporter: Reporter
) -> Tables | None:
    """Tables for streams like those of `sample` coded with `codebook`; None where they save nothing."""
    streams = sample[:: max(1, -(-len(sample) // MAX_STREAMS))]
    counts = []
    for done, (tensor, chunks) in enumerate(streams):
        reporter.progress("tables", done, len(streams), "streams")
        counts.append(_stream_counts(codebook, tensor, chunks))
    total = np.sum(counts, axis=0)
    return tables_of(total) if saved_cost(counts) > 0 else None


def saved_cost(counts: Sequence[np.ndarray]) -> int:
    """What tables of the others save on each stream in turn, in 1/65536 bit; 0 for a stream that has no others.

    Escapes are the same under both tables, so the symbols tell the difference exactly.
    """
    if len(counts) < 2:
        return 0
    total = np.sum(counts, axis=0)
    static = static_tables().fine_cost.astype(np.int64)
    return sum(int((codable_counts(own) * (static - tables_of(total - own).fine_cost)).sum()) for own in counts)


def tables_of(counts: np.ndarray) -> Tables:
    """12-bit tables for (ROWS, SYMBOLS) counts: integers in, integers out."""
    static = static_tables().freq.astype(np.int64)
    weights = codable_counts(counts) + static
    totals = weights.sum(axis=1, keepdims=True)
    rounded = (2 * weights * TOTAL + totals) // (2 * totals)
    freq = np.where(static > 0, np.maximum(1, rounded), 0)
    freq[np.arange(ROWS), np.argmax(freq, axis=1)] += TOTAL - freq.sum(axis=1)
    return Tables(freq.astype(np.uint16))


def symbol_counts(codes: np.ndarray, coder: Planes) -> np.ndarray:
    """(ROWS, SYMBOLS) int64: how often each symbol is sent under each table row for codes (F, N, r) of one chunk.

    Planes of classes that carry flags are left out: most of them are skipped, and the others change class.
    """
    classes = coder.classes[np.resize(band_of(coder.group), len(codes))]
    counted = classes > FLAGGED_CLASSES
    kept = classes[counted]
    magnitudes = np.abs(codes).transpose(0, 2, 1)[counted]
    symbols = np.minimum(magnitudes >> class_shifts()[kept][:, None], ESCAPE)
    places = class_rows()[kept].astype(np.int64)[:, None] * SYMBOLS + symbols
    return np.bincount(places.ravel(), minlength=ROWS * SYMBOLS).reshape(ROWS, SYMBOLS)


def _stream_counts(codebook: Codebook, tensor: Tensor, chunks: list[Chunk]) -> np.ndarray:
    values = sum(tokens_in(tensor, *chunk) for chunk in chunks) * channels_of(tensor.spec)
    thinned = chunks[:: max(1, -(-values // MAX_STREAM_VALUES))]
    rows = [tensor.read(*chunk) for chunk in thinned]
    counts = tensor.token_counts
    fit = Fit(
        tensor.spec,
        rows,
        None if counts is None else [counts[start:stop] for start, stop in thinned],
        FitOptions(effort=0, codebook=codebook),
    )
    found = np.zeros((ROWS, SYMBOLS), np.int64)
    for step in STEPS if fit.rms > 0 else ():
        models = fit.models(fit.rms * step)
        for chunk in rows:
            for group, tokens in zip(models.groups, models.layout.split(chunk), strict=True):
                coder = group.chain.coder
                if isinstance(coder, Planes) and coder.classes.size:
                    found += symbol_counts(group.chain.encode(tokens).codes, coder)
    return found


def codable_counts(counts: np.ndarray) -> np.ndarray:
    """`counts` with the magnitudes that the static tables escape counted as escapes."""
    codable = static_tables().freq > 0
    merged = np.where(codable, counts, 0)
    merged[:, ESCAPE] += np.where(codable, 0, counts).sum(axis=1)
    return merged
