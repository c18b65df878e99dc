"""Names of a tensor's axes, and which leading tokens are special."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Final

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.values import StreamSpec

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KNOWN: Final = {0: "", 1: "c", 2: "t,c", 3: "t,n,c", 4: "t,h,w,c"}
_AUTO_SPECIAL = (1, 2, 4, 5)  # CLS; CLS and distillation; four registers; CLS and four registers
_AUTO_LEAST_GRID = 16

Shape = tuple[int | None, ...]
"""A shape whose first size may be unknown (a pipe)."""


def default_axes(dims: int) -> str:
    """The usual names for `dims` axes: rows, then tokens or a grid, then channels."""
    if dims in _KNOWN:
        return _KNOWN[dims]
    return ",".join(["t", *(f"a{number}" for number in range(1, dims - 1)), "c"])


def checked_axes(axes: str, dims: int, name: str) -> str:
    """The names of --axes for a tensor of `dims` dimensions; UsageError when they do not fit."""
    names = [part.strip() for part in axes.split(",")] if axes.strip() else []
    if len(names) != dims:
        raise UsageError(f"--axes: expected {dims} names for stream {name!r}, found {len(names)} in {axes!r}")
    for part in names:
        if not _NAME.fullmatch(part):
            raise UsageError(f"--axes: expected names such as t,n,c, found {part!r}")
    if len(set(names)) != dims:
        raise UsageError(f"--axes: expected different names, found {axes!r}")
    if dims and names[0] != "t" and (dims > 1 or names[0].startswith("t")):
        raise UsageError(f"--axes: expected t (rows) first, found {names[0]!r}", hint="rows are always the first axis")
    return ",".join(names)


def stream_spec(name: str, dtype: str, shape: Shape, options: EncodeOptions, *, main: bool = True) -> StreamSpec:
    """The spec of an array of `shape`; --axes and --special-tokens apply to the main arrays only."""
    dims = len(shape)
    axes = checked_axes(options.axes, dims, name) if main and options.axes is not None else default_axes(dims)
    timed = axes.split(",")[0] == "t"
    row_shape = tuple(size for size in (shape[1:] if timed else shape) if size is not None)
    spec = StreamSpec(name, dtype, axes, row_shape, shape[0] if timed else 1)
    return replace(spec, special_tokens=special_tokens(spec, options)) if main else spec


def ragged_spec(name: str, dtype: str, dim: int, counts: np.ndarray, options: EncodeOptions) -> StreamSpec:
    """The spec of rows with `counts` tokens (int64 (T,)) of `dim` channels each."""
    spec = StreamSpec(name, dtype, "t,n,c", (dim,), len(counts), ragged=True)
    least = int(counts.min()) if len(counts) else None
    return replace(spec, special_tokens=special_tokens(spec, options, least))


def special_tokens(spec: StreamSpec, options: EncodeOptions, least_count: int | None = None) -> int:
    """How many leading tokens of `spec` are no patches: 0 without an axis n, or with auto and a ragged stream.

    least_count: tokens of the shortest row, when the stream is ragged.
    """
    asked = special_tokens_asked(options)
    names = spec.axes.split(",")
    if asked == 0 or "n" not in names:
        return 0
    tokens = least_count if spec.ragged else spec.row_shape[names.index("n") - 1]
    if asked is None:
        return 0 if spec.ragged or tokens is None else _beside_square(tokens)
    if tokens is not None and asked >= tokens:
        raise UsageError(f"--special-tokens: expected fewer than the {tokens} tokens of {spec.name!r}, found {asked}")
    return asked


def special_tokens_asked(options: EncodeOptions) -> int | None:
    """The number that --special-tokens names, None for auto; UsageError for anything else."""
    text = options.special_tokens
    if text == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"--special-tokens: expected auto or a number, found {text!r}")
    return int(text)


def _beside_square(tokens: int) -> int:
    """The smallest usual number of special tokens that leaves a square grid; 0 when there is none."""
    if math.isqrt(tokens) ** 2 == tokens:
        return 0
    for special in _AUTO_SPECIAL:
        grid = tokens - special
        if grid >= _AUTO_LEAST_GRID and math.isqrt(grid) ** 2 == grid:
            return special
    return 0
