"""What interpreted kernels of codes under time contexts read and write."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from embdc_cli.codec.transform.time_context.chunk_table import Column
from embdc_cli.codec.transform.time_context.model import ROWS, SYMBOLS

KERNELS = ("decode_chunks", "find_intervals", "write_words")
HEAD = 129  # bytes of a payload before its words, at most


class Launches:
    """Stands for a kernel."""

    def __init__(self, launch: Callable[..., None]) -> None:
        self._launch = launch

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        return partial(self._launch, grid)


class Watch:
    """Sees to it that each program reads and writes only its chunk's parts of what it is given."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from triton.runtime.interpreter import InterpreterBuilder

        from embdc_cli.codec.transform.time_context import cuda

        self.seen = 0
        self._allowed: list[np.ndarray] = []  # of each chunk, (parts, 2) addresses
        for name in KERNELS:
            patch.setattr(cuda, name, Launches(partial(self._launch, getattr(cuda, name))))
        for name in ("create_masked_load", "create_masked_store", "create_atomic_rmw"):
            patch.setattr(InterpreterBuilder, name, self._watched(name, getattr(InterpreterBuilder, name)))

    def _launch(self, kernel: Any, grid: tuple[int], *args: Any, **options: Any) -> None:
        given = {name: one for name, one in zip(kernel.arg_names, args, strict=False) if hasattr(one, "data_ptr")}
        self._allowed = [
            ranges_of(chunk, {column: int(row[column]) for column in Column}, given)
            for chunk, row in enumerate(given["table"].numpy())
        ]
        kernel[grid](*args, **options)
        self._allowed = []

    def _watched(self, name: str, original: Any) -> Any:
        place, mask_place = {"create_masked_load": (0, 1), "create_masked_store": (0, 2)}.get(name, (1, 3))

        def touch(builder: Any, *args: Any) -> Any:
            pointers = args[place].data
            pointers = pointers[np.broadcast_to(args[mask_place].data, pointers.shape).astype(bool)]
            if self._allowed:
                allowed = self._allowed[builder.grid_idx[0]]
                inside = (pointers[:, None] >= allowed[:, 0]) & (pointers[:, None] < allowed[:, 1])
                assert inside.any(axis=1).all()
                self.seen += pointers.size
            return original(builder, *args)

        return touch


def ranges_of(chunk: int, field: dict[Column, int], given: dict[str, Any]) -> np.ndarray:
    """(parts, 2) addresses that the program of a chunk may touch, from and to, in the tensors of its launch."""
    tokens, channels = field[Column.TOKENS], -(-field[Column.CHANNELS] // 16) * 16
    places = field[Column.FRAMES] * tokens
    codes = (field[Column.CODES_AT], places * field[Column.CHANNELS])
    symbols = (codes[0] + field[Column.PLACES_BEFORE], codes[1] + places)
    counts = (chunk * ROWS * SYMBOLS, ROWS * SYMBOLS)
    maps = (field[Column.MAPS_BEFORE], tokens * channels)
    encoding = "intervals" in given
    parts: dict[str, list[tuple[int, int]]] = {
        "table": [(chunk * len(Column), len(Column))],
        "data": [
            (field[Column.STATES_AT], 4 * field[Column.LANES]),
            (field[Column.WORDS_AT], 2 * field[Column.WORDS]),
            (field[Column.SIGNS_AT], max(field[Column.SIGN_BYTES], 0)),
        ],
        "escapes": [codes if encoding else (field[Column.ESCAPES_AT], field[Column.ESCAPES])],
        "signs": [(codes[0] // 32 + chunk, -(-codes[1] // 32))],
        "intervals": [symbols],
        "found": [(5 * chunk, 5)],
        "payloads": [(2 * chunk, 2)],
        "codes": [codes],
        "faults": [(chunk, 1)],
        "classes": [(field[Column.TOKENS_BEFORE], tokens)],
        "rows": [(field[Column.CHANNELS_BEFORE], channels)],
        "symbols": [(field[Column.CHANNELS_BEFORE], channels)],
        "hits": [counts],
        "cums": [counts],
        "change_traces": [maps],
        "level_traces": [maps],
        "features": [(3 * maps[0], 3 * maps[1])],
    }
    if encoding:
        parts["data"] = [(2 * symbols[0] + HEAD * chunk, 2 * symbols[1] + HEAD)]
    ranges = []
    for name, tensor in given.items():
        for start, size in parts.get(name, [(0, tensor.numel())]):  # numbers of the model are everybody's
            assert start + size <= tensor.numel()
            address = tensor.data_ptr() + start * tensor.element_size()
            ranges.append((address, address + size * tensor.element_size()))
    return np.array(ranges, np.uint64)
