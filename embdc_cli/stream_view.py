"""One stream of an opened archive: rows by number or time as torch tensors, decoded when they are asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from embdc_cli import dtypes
from embdc_cli.container.contents import Entry, Item, Stream
from embdc_cli.errors import CorruptArchive, UsageError, WrongIndex
from embdc_cli.failure import out_of_memory_told
from embdc_cli.slicing import row_at, rows_between
from embdc_cli.values import Timeline

if TYPE_CHECKING:
    import torch

    from embdc_cli.archive import Archive


class StreamView:
    """One stream of an archive, indexed by rows: `view[3]`, `view[10:20]`, `view[::4]` are torch tensors."""

    def __init__(self, archive: Archive, name: str, stream: Stream, item: Item) -> None:
        self._archive = archive
        self.name = name
        self.stream = stream
        self.item = item
        self.spec = stream.spec

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> str:
        """float16, bfloat16, float32 (or a companion's integer type)."""
        return self.spec.dtype

    def __len__(self) -> int:
        """Rows; the length of a tensor without a row axis."""
        return self.shape[0] if self.shape else 0

    @property
    def timeline(self) -> Timeline | None:
        """Start and end of every row, or None where no times are kept."""
        return self._archive.reader.timeline(self.item) if self.stream.header.timed else None

    @property
    def token_counts(self) -> np.ndarray | None:
        """int64 (T,) of a ragged stream, read from its chunks, else None. Raises: CorruptArchive for lost rows."""
        return self._archive.token_counts(self) if self.spec.ragged else None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) in storage dtype: what makes a stream a `values.Tensor`."""
        return self.numpy(range(start, stop))

    @out_of_memory_told()
    def search(
        self, query: Any, k: int = 10, *, metric: str = "cosine", pooled: bool = False, on_damage: str = "fail"
    ) -> dict[str, Any]:
        """The k tokens, or rows by the mean of their tokens, that are nearest to `query`: {"hits": [...]}.

        query: (D,) or (Q, D), anything numpy or torch makes an array of; of several rows {"queries": [{"hits"}, ...]}.
        metric: cosine, dot or l2. on_damage: fail, or skip what is damaged and name it in `lost`. Both are those of
        `embdc search --json`. Codes are kept from one call to the next. Raises: UsageError, CorruptArchive.
        """
        from embdc_cli.options import SearchOptions
        from embdc_cli.searching import search_view

        options = SearchOptions(k=k, metric=metric, pooled=pooled, on_damage=on_damage)
        return search_view(self._archive, self, query, options)

    def at(self, seconds: float) -> int:
        """The last row that starts at or before `seconds` after the first row of the archive; else the first."""
        timeline = self.timeline
        if timeline is None or not len(timeline):
            raise UsageError(f"stream {self.name!r} keeps no times", hint="ask for rows by number")
        return min(row_at(timeline, seconds), len(self) - 1)

    def between(self, start: float, stop: float) -> torch.Tensor:
        """The rows that start in [start, stop) seconds on the clock of the archive. Raises: UsageError, as `at`."""
        timeline = self.timeline
        if timeline is None:
            raise UsageError(f"stream {self.name!r} keeps no times", hint="ask for rows by number")
        rows = rows_between(timeline, start, stop)
        return self[min(rows.start, len(self)) : min(rows.stop, len(self))]

    def pieces(self, rows: range) -> Iterator[tuple[Entry | None, range]]:
        """The chunks that hold `rows` (rising), each with the rows it gives; None for rows whose chunk is lost."""
        position, known = rows.start, self.stream.rows
        for entry in self.stream.overlapping(min(rows.start, known), min(max(rows.start, rows.stop), known)):
            yield from _part(None, rows, position, entry.record.row0)
            yield from _part(entry, rows, max(position, entry.record.row0), entry.record.stop)
            position = entry.record.stop
        yield from _part(None, rows, position, rows.stop)

    def numpy(self, rows: range) -> np.ndarray:
        """`rows` in storage dtype (bfloat16 as uint16): (len(rows), *row_shape), flat (n, D) when ragged.

        Raises: CorruptArchive for rows that are damaged or lost.
        """
        pieces = list(self.pieces(rows))
        with self._archive.ahead(self.stream, pieces):
            parts = [self._archive.rows(self, entry, part) for entry, part in pieces]
        if not parts:
            return np.empty((0, *self.spec.row_shape), dtypes.storage(self.spec.dtype))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @out_of_memory_told()
    def __getitem__(self, index: int | slice) -> torch.Tensor:
        """One row, or a slice of them; a tensor without a row axis takes every index that torch does.

        Raises: WrongIndex (an IndexError), CorruptArchive for rows that are damaged or lost, ResourceError.
        """
        if not self.spec.timed:
            return self._part_of_whole(index)
        found = self._tensor(self._rows(index))
        return found if isinstance(index, slice) or self.spec.ragged else found[0]

    async def load(self, index: int | slice) -> torch.Tensor:
        """`view[index]`, read and decoded in a thread while other coroutines go on.

        Coroutines that want the same chunk at once share its decoding, on a CUDA device one slice after the other.
        Raises: as `view[index]`.
        """
        import asyncio  # a tenth of a second, which only servers pay

        return await asyncio.to_thread(self.__getitem__, index)

    async def prefetch(self, wanted: Iterable[int | slice], most_bytes: int | None = None) -> dict[str, Any]:
        """Decode the chunks of slices that will be asked for next, in threads, into the memory that slices read from.

        most_bytes: of decoded chunks, default and limit `Archive.cache_bytes`, beyond which those used longest ago are
        dropped; chunks that do not fit are left. Chunks that are being decoded for somebody else are waited for, not
        decoded again. When it is cancelled, what has begun ends in the background, and nothing more is begun.

        Returns: {"chunks": decoded, "cached": there already, "left": beyond most_bytes, "bytes": decoded,
        "requests": ranges that the archive read meanwhile, "seconds"}. Raises: WrongIndex; UsageError for an archive on
        a CUDA device, which decodes slice by slice there; CorruptArchive for rows that are damaged or lost;
        ResourceError.
        """
        from embdc_cli.prefetching import prefetch

        rows = [self._rows(index) if self.spec.timed else range(self.spec.known_rows) for index in wanted]
        limit = self._archive.cache_bytes if most_bytes is None else most_bytes
        with out_of_memory_told():  # as a decorator it would end before the work begins
            return await prefetch(self._archive, self, rows, limit)

    def _rows(self, index: int | slice) -> range:
        """The rows that `index` means. Raises: WrongIndex."""
        if isinstance(index, slice):
            try:
                rows = range(len(self))[index]
            except (TypeError, ValueError) as error:  # bounds that are no whole numbers, a step of 0
                raise WrongIndex(f"stream {self.name!r}: {error}") from error
            if rows.step < 1:
                raise WrongIndex(f"stream {self.name!r}: expected a step of at least 1, found {rows.step}")
            return rows
        try:
            position = operator.index(index)
        except TypeError:
            position = None
        if position is None or isinstance(index, bool):
            raise WrongIndex(
                f"stream {self.name!r}: expected a whole number or a slice of rows, found {index!r}",
                hint="index the tensor of the rows further: archive[NAME][10:20][:, 0]",
            )
        if not -len(self) <= position < len(self):
            raise WrongIndex(f"stream {self.name!r}: row {position} is not there, it has {len(self)}")
        return range(position % len(self), position % len(self) + 1)

    def _part_of_whole(self, index: Any) -> torch.Tensor:
        whole = self._tensor(range(self.spec.known_rows)).reshape(self.shape)
        if isinstance(index, slice) and index == slice(None):
            return whole  # also of a tensor without axes
        try:
            return whole[index]
        except (IndexError, TypeError, ValueError) as error:
            raise WrongIndex(f"stream {self.name!r}: {error}") from error

    def _tensor(self, rows: range) -> torch.Tensor:
        """`rows` of a shape as of `numpy`, decoded on a CUDA device where one was asked for by name."""
        decoder = self._archive.device_decoder
        if decoder is not None:
            return decoder.rows(self._archive, self, rows)
        import torch

        # a copy: the cached chunk must not change when the caller writes into the tensor
        tensor = torch.from_numpy(self.numpy(rows).copy())
        if self.spec.dtype == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        device = self._archive.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return tensor.to(device)


def lost(view: StreamView, wanted: range) -> CorruptArchive:
    """The error for rows whose chunk is lost."""
    return CorruptArchive(
        f"stream {view.name!r}: rows {wanted.start} to {wanted[-1] + 1} are lost",
        hint="embdc decode --on-damage skip or nan gives the rest",
    )


def _part(entry: Entry | None, rows: range, start: int, stop: int) -> Iterator[tuple[Entry | None, range]]:
    """The members of `rows` in [start, stop), with `entry`, if there are any."""
    first = max(0, -(-(start - rows.start) // rows.step))
    last = max(first, -(-(min(stop, rows.stop) - rows.start) // rows.step))
    if rows[first:last]:
        yield entry, rows[first:last]


def take(entry: Entry, rows: np.ndarray, wanted: range) -> np.ndarray:
    """The `wanted` rows (absolute, rising) out of the decoded rows of a chunk."""
    if entry.record.token_counts is None:
        return rows[row_slice(entry, wanted)]
    return np.concatenate([rows[part] for part in token_slices(entry, wanted)])


def row_slice(entry: Entry, wanted: range) -> slice:
    """The `wanted` rows (absolute, rising) of a chunk among its rows."""
    row0 = entry.record.row0
    return slice(wanted.start - row0, wanted.stop - row0, wanted.step)


def token_slices(entry: Entry, wanted: range) -> list[slice]:
    """The `wanted` rows of a chunk of a ragged stream, each among its tokens."""
    record = entry.record
    edges = [0, *accumulate(record.token_counts or ())]
    return [slice(edges[row - record.row0], edges[row - record.row0 + 1]) for row in wanted]
