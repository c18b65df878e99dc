"""What a file of tensors offers before anything is selected, and the re-readable tensor made of what is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from embdc_cli.dtypes import STORAGE
from embdc_cli.errors import SourceError
from embdc_cli.source.elements import as_coded
from embdc_cli.values import StreamSpec

Reader = Callable[[int, int], np.ndarray]
"""Rows [start, stop) of the first axis in the storage dtype: (stop - start, *shape[1:]); a 0-D array is one row."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One array of a file, not opened yet.

    dtype: embdc's name, or the file's own word for a type that embdc does not store.
    shape: of the array as it lies there; a ragged one is flat (sum of token_counts, D).
    open: makes it readable (checks its checksum, inflates it) and returns its reader; called when selected.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    open: Callable[[], Reader]
    token_counts: np.ndarray | None = None

    @property
    def storable(self) -> bool:
        return self.dtype in STORAGE

    @property
    def dims(self) -> int:
        """Dimensions as the user sees them: a ragged array is [T, N_i, D]."""
        return 3 if self.token_counts is not None else len(self.shape)


@dataclass
class Contents:
    """All arrays of one file, in its order.

    refused: arrays that must not be read, name -> why; an error unless --key selects another one.
    skipped: things that are no arrays at all, named in a warning.
    """

    candidates: list[Candidate]
    refused: dict[str, SourceError] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


class CandidateTensor:
    """A selected candidate as a `Tensor`: shaped as `spec` says, float64 cast when the spec says float32."""

    def __init__(self, spec: StreamSpec, candidate: Candidate) -> None:
        self.spec = spec
        self.token_counts = candidate.token_counts
        self._reader = candidate.open()
        self._length = candidate.shape[0] if candidate.shape else 1
        self._offsets: np.ndarray | None = None
        if candidate.token_counts is not None:
            self._offsets = np.concatenate([[0], np.cumsum(candidate.token_counts)])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop): (stop - start, *row_shape), flat (n, D) when ragged; storage dtype, C-contiguous."""
        if not 0 <= start <= stop <= self.spec.known_rows:
            raise IndexError(f"rows {start}:{stop} of stream {self.spec.name!r}, which has {self.spec.rows}")
        count = stop - start
        if self._offsets is not None:
            rows = self._reader(int(self._offsets[start]), int(self._offsets[stop]))
            count = len(rows)
        elif self.spec.timed:
            rows = self._reader(start, stop)
        else:
            rows = self._reader(0, self._length * count)
        return np.ascontiguousarray(as_coded(rows, self.spec, start)).reshape(count, *self.spec.row_shape)
