"""A row of a chunk table as the kernels see it, in Triton: numbers of one chunk, and its parts of working memory."""

from __future__ import annotations

import triton
import triton.language as tl

from embdc_cli.codec.transform.time_context import chunk_table, model
from embdc_cli.codec.transform.time_context.chunk_table import Column

_COUNTS = tl.constexpr(model.ROWS * model.SYMBOLS)
_PADDED_TO = tl.constexpr(chunk_table.PADDED_TO)
_COLUMNS = tl.constexpr(len(Column))
FRAMES = tl.constexpr(int(Column.FRAMES))
TOKENS = tl.constexpr(int(Column.TOKENS))
CHANNELS = tl.constexpr(int(Column.CHANNELS))
WIDTH = tl.constexpr(int(Column.WIDTH))
LANES = tl.constexpr(int(Column.LANES))
STATES_AT = tl.constexpr(int(Column.STATES_AT))
WORDS_AT = tl.constexpr(int(Column.WORDS_AT))
WORDS = tl.constexpr(int(Column.WORDS))
ESCAPES_AT = tl.constexpr(int(Column.ESCAPES_AT))
ESCAPES = tl.constexpr(int(Column.ESCAPES))
SIGNS_AT = tl.constexpr(int(Column.SIGNS_AT))
SIGN_BYTES = tl.constexpr(int(Column.SIGN_BYTES))
CODES_AT = tl.constexpr(int(Column.CODES_AT))
TOKENS_BEFORE = tl.constexpr(int(Column.TOKENS_BEFORE))
CHANNELS_BEFORE = tl.constexpr(int(Column.CHANNELS_BEFORE))
MAPS_BEFORE = tl.constexpr(int(Column.MAPS_BEFORE))
PLACES_BEFORE = tl.constexpr(int(Column.PLACES_BEFORE))


@triton.jit
def row_of_chunk(table: tl.tensor) -> tl.tensor:
    """Where this program's row begins."""
    return table + tl.program_id(0).to(tl.int64) * _COLUMNS


@triton.jit
def number(field: tl.tensor, column: tl.constexpr) -> tl.tensor:
    """An int32 of the row that begins at `field`."""
    return tl.load(field + column).to(tl.int32)


@triton.jit
def shape_of(field: tl.tensor) -> tl.tensor:
    """(frames, tokens, channels, channels of working memory, width), int32."""
    channels = number(field, CHANNELS)
    padded = tl.multiple_of((channels + _PADDED_TO - 1) // _PADDED_TO * _PADDED_TO, _PADDED_TO)
    return number(field, FRAMES), number(field, TOKENS), channels, padded, number(field, WIDTH)


@triton.jit
def counts_of(hits: tl.tensor, cums: tl.tensor) -> tl.tensor:
    """This program's."""
    before = tl.program_id(0).to(tl.int64) * _COUNTS
    return hits + before, cums + before


@triton.jit
def maps_of(field: tl.tensor, change_traces: tl.tensor, level_traces: tl.tensor, features: tl.tensor) -> tl.tensor:
    """The chunk's."""
    before = tl.multiple_of(tl.load(field + MAPS_BEFORE), _PADDED_TO)
    return change_traces + before, level_traces + before, features + 3 * before


@triton.jit
def channels_of(field: tl.tensor, rows: tl.tensor, symbols: tl.tensor) -> tl.tensor:
    """The chunk's."""
    before = tl.multiple_of(tl.load(field + CHANNELS_BEFORE), _PADDED_TO)
    return rows + before, symbols + before
