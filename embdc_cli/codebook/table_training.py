"""Coding tables of a corpus: how often each symbol follows each class when its coefficients are quantised.

Coefficients pass the codec's own stages (codebook KLT, DCT over time, dead zone) at steps seven octaves wide, since a
codebook serves every rate. Counts become 12-bit frequencies by integer arithmetic, on top of the static tables as if
those had been seen first, with zeros where these have zeros (such magnitudes are escaped).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import Chunk, layout_of
from embdc_cli.codec.transform.bands import band_count, band_of
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.entropy.tables import (
    ESCAPE,
    ROWS,
    SYMBOLS,
    TOTAL,
    Tables,
    class_rows,
    class_shifts,
    classes_of_means,
    static_tables,
)
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

STEPS: Final = tuple(2.0**octave for octave in range(-4, 3))
"""In units of the rms coefficient: from about 5 to 0.05 bits per value."""
GROUPS: Final = (1, 16)
MAX_VALUES: Final = 1 << 24
PRIOR: Final = 1
"""Times the static frequencies (4096 symbols a row) that are added to the counts."""


def trained_tables(codebook: Codebook, sample: Sequence[tuple[Tensor, list[Chunk]]], reporter: Reporter) -> Tables:
    """Tables for the coefficients of `sample` in the basis of `codebook`."""
    basis = CodebookKlt(codebook, codebook.rank)
    counts = np.zeros((ROWS, SYMBOLS), np.int64)
    thinned = _thinned(sample, codebook.channels)
    for done, (tensor, chunk) in enumerate(thinned):
        reporter.progress("tables", done, len(thinned), "chunks")
        x = layout_of(tensor.spec).split(tensor.read(*chunk))[-1]
        y = basis.forward(x - x.mean(axis=(0, 1), dtype=np.float64).astype(np.float32), b"")
        rms = float(np.sqrt(np.square(y, dtype=np.float64).mean()))
        if rms == 0:
            continue
        for group in GROUPS:
            coefficients = TimeDct(group).forward(y, b"")
            for step in STEPS:
                codes = DeadZone(step * rms, (0, 0, 0)).forward(coefficients, b"")
                counts += symbol_counts(codes, group)
    return tables_of(counts)


def symbol_counts(codes: np.ndarray, group: int) -> np.ndarray:
    """(ROWS, SYMBOLS) int64: how often each symbol is sent in each table row; bands of zeros send nothing.

    codes: (F, N, r) int32 after a DCT over groups of `group` rows; F a multiple of it, or a shorter last group, whose
    frequencies count as those of a full one.
    """
    magnitudes = np.abs(codes)
    bands = np.resize(band_of(group), len(codes))
    counts = np.zeros((ROWS, SYMBOLS), np.int64)
    for band in range(band_count(group)):
        plane = magnitudes[bands == band].reshape(-1, codes.shape[2])
        if not plane.size:
            continue
        classes = classes_of_means(plane.sum(axis=0, dtype=np.int64), len(plane))
        coded = classes > 0
        symbols = np.minimum(plane[:, coded] >> class_shifts()[classes[coded]], ESCAPE)
        rows = class_rows()[classes[coded]].astype(np.int64)
        counts += np.bincount((rows * SYMBOLS + symbols).ravel(), minlength=ROWS * SYMBOLS).reshape(counts.shape)
    return counts


def tables_of(counts: np.ndarray) -> Tables:
    """12-bit tables for (ROWS, SYMBOLS) counts: integers in, integers out."""
    static = static_tables().freq.astype(np.int64)
    codable = static > 0
    weights = np.where(codable, counts, 0) + PRIOR * static
    weights[:, ESCAPE] += np.where(codable, 0, counts).sum(axis=1)
    totals = weights.sum(axis=1, keepdims=True)
    freq = np.where(codable, np.maximum(1, (2 * weights * TOTAL + totals) // (2 * totals)), 0)
    most = np.argmax(freq, axis=1)
    freq[np.arange(ROWS), most] += TOTAL - freq.sum(axis=1)
    return Tables(freq.astype(np.uint16))


def _thinned(sample: Sequence[tuple[Tensor, list[Chunk]]], channels: int) -> list[tuple[Tensor, Chunk]]:
    """Chunks spread evenly over the sample, of about MAX_VALUES values; a single chunk at least."""
    places = [(tensor, chunk) for tensor, chunks in sample for chunk in chunks]
    values = sum((stop - start) * sum(layout_of(tensor.spec).tokens) * channels for tensor, (start, stop) in places)
    every = max(1, -(-values // MAX_VALUES))
    return places[::every]
