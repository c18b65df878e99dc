"""Slices that threads have asked a device for, and what they share: a chunk that several wait for is decoded once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from embdc_cli import dtypes
from embdc_cli.container.contents import Entry
from embdc_cli.stream_view import row_slice, token_slices
from embdc_cli.values import StreamSpec


@dataclass(frozen=True)
class Piece:
    """Rows wanted of a chunk. start: of them in the slice."""

    entry: Entry
    wanted: range
    start: int

    @property
    def whole(self) -> bool:
        """Whether they are all rows of the chunk."""
        return len(self.wanted) == self.entry.record.rows

    @property
    def key(self) -> tuple[int, int]:
        return self.entry.part, self.entry.offset


@dataclass(frozen=True)
class Decoded:
    """A chunk on the device. entry: with its full record. rows: all of its. flag: a number, NaN where it is corrupt."""

    entry: Entry
    rows: torch.Tensor
    flag: torch.Tensor

    def wanted(self, piece: Piece) -> torch.Tensor:
        """The rows of a piece of it."""
        if self.entry.record.token_counts is None:
            return self.rows[row_slice(self.entry, piece.wanted)]
        return torch.cat([self.rows[part] for part in token_slices(self.entry, piece.wanted)])


def empty_rows(spec: StreamSpec, length: int, device: torch.device) -> torch.Tensor:
    """(length, *row_shape) in storage type, tokens of a ragged stream."""
    return torch.empty((length, *spec.row_shape), dtype=getattr(torch, spec.dtype), device=device)


def row_bytes(spec: StreamSpec) -> int:
    """Of a row, or a token of a ragged stream."""
    return spec.row_values * dtypes.item_bytes(spec.dtype)


class Slice:
    """The rows of a slice, as they come, and the flags of the chunks that they are of. Memory is taken at the first.

    Used by one thread at a time, with the stream of the decoder current.
    """

    def __init__(self, spec: StreamSpec, pieces: Sequence[Piece], device: torch.device) -> None:
        self._spec, self._device = spec, device
        self._missing = {piece.key: piece for piece in pieces}
        self._count = sum(len(piece.wanted) for piece in pieces)
        self._out: torch.Tensor | None = None
        self._parts: dict[int, torch.Tensor] = {}
        self.flags: list[tuple[Entry, torch.Tensor]] = []

    @property
    def missing(self) -> list[Piece]:
        """What no chunk has given yet, in order."""
        return list(self._missing.values())

    @property
    def nbytes(self) -> int:
        """Of the device, by now."""
        return sum(part.nbytes for part in self._parts.values()) + (0 if self._out is None else self._out.nbytes)

    def target(self, piece: Piece, length: int) -> torch.Tensor:
        """Where to decode a chunk: its place in the slice, or apart, where that wants only a part of it."""
        if self._spec.ragged or not piece.whole:
            return empty_rows(self._spec, length, self._device)
        return self._all()[piece.start : piece.start + length]

    def apart_bytes(self, piece: Piece, length: int) -> int:
        """Of what `target` takes beside the slice."""
        return length * row_bytes(self._spec) if self._spec.ragged or not piece.whole else 0

    def growth_bytes(self, chunk: Decoded) -> int:
        """What `put` will take."""
        if self._spec.ragged:
            return chunk.rows.nbytes
        return 0 if self._out is not None else self._count * row_bytes(self._spec)

    def wants(self, key: tuple[int, int]) -> bool:
        return key in self._missing

    def put(self, key: tuple[int, int], chunk: Decoded) -> None:
        """Take the wanted rows out of a chunk, perhaps decoded in their place. It may not have been checked yet."""
        piece = self._missing.pop(key)
        self.flags.append((chunk.entry, chunk.flag))
        if self._spec.ragged:
            self._parts[piece.start] = chunk.wanted(piece)
            return
        place = self._all()[piece.start : piece.start + len(piece.wanted)]
        if place.data_ptr() != chunk.rows.data_ptr():
            place.copy_(chunk.wanted(piece))

    def joined(self) -> torch.Tensor:
        """All of them."""
        if not self._spec.ragged:
            return self._all()
        return torch.cat(
            [empty_rows(self._spec, 0, self._device), *(self._parts[start] for start in sorted(self._parts))]
        )

    def _all(self) -> torch.Tensor:
        if self._out is None:
            self._out = empty_rows(self._spec, self._count, self._device)
        return self._out


class Asked:
    """The slices that threads wait for. budget_bytes: of rows that are begun for those whose turn has not come."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._slices: list[Slice] = []
        self._lock = threading.Lock()

    @contextmanager
    def listed(self, one: Slice) -> Iterator[None]:
        """Meanwhile `one` takes what is decoded for others."""
        with self._lock:
            self._slices.append(one)
        try:
            yield
        finally:
            with self._lock:
                self._slices = [other for other in self._slices if other is not one]

    @property
    def nbytes(self) -> int:
        """Of rows of all slices, by now."""
        return sum(one.nbytes for one in self._slices)

    def give(self, mine: Slice, key: tuple[int, int], chunk: Decoded) -> None:
        """A chunk that was decoded for `mine` to all that want it."""
        mine.put(key, chunk)
        others = [one for one in self._slices if one is not mine]
        begun = sum(one.nbytes for one in others)
        for one in others:
            growth = one.growth_bytes(chunk)
            if one.wants(key) and begun + growth <= self._budget_bytes:
                one.put(key, chunk)
                begun += growth
