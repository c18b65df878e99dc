"""An archive opened for reading: streams by name, slices decoded lazily, a cache of the last chunks.

    archive["patch"][100:200]    reads and decodes only the chunks that hold these rows
    archive.at(12.5)             the row shown 12.5 seconds after the first

Chunks are always decoded whole, so that a value does not depend on the slice it was asked in. An `Archive` can be
pickled and used after a fork: every process opens the file for itself.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codebook import file as codebook_file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.find import find
from embdc_cli.codec.stage import ChunkCodec
from embdc_cli.codec.table import codec_for
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.contents import Entry, Item, Stream
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.device import check_device
from embdc_cli.errors import CorruptArchive, UsageError, WrongIndex
from embdc_cli.parallel import one_blas_thread
from embdc_cli.recent import Recent
from embdc_cli.slicing import row_at
from embdc_cli.values import Timeline

if TYPE_CHECKING:
    import torch

    from embdc_cli.codec.vq.scores import CodedTokens

    CodedChunk = tuple[Entry, list[CodedTokens] | None]

_CHUNK_BYTES = 128 << 20
_CODEC_BYTES = 64 << 20
_FIRST_BYTES = 1 << 12  # of a chunk, to find out where its levels end


class Archive:
    """One archive; with several items its streams are named `item/stream`.

    path: local path or URL (`https://`, `s3://`, `memory://`), or an open seekable file (then not picklable).
    codebooks: files to look in for a codebook that the archive refers to.
    device: where tensors go: cpu, cuda, cuda:N, or auto. backend: who decodes video codecs: auto, software or nvidia.
    levels: how many levels of streams of codec vq to read, None for all; streams of other codecs cannot be read then.
    """

    def __init__(
        self,
        path: str | BinaryIO,
        *,
        codebooks: Sequence[str] = (),
        device: str = "cpu",
        backend: str = "auto",
        levels: int | None = None,
    ) -> None:
        if levels is not None and levels < 1:
            raise UsageError(f"--levels: expected at least 1, found {levels}")
        self._levels = levels
        self._path = path
        self._codebooks = tuple(codebooks)
        check_device(device)
        self.device = device
        self._backend = backend
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._reader = ArchiveReader.open(self._path)
        self._chunks, self._codecs = Recent(_CHUNK_BYTES), Recent(_CODEC_BYTES)
        self._coded, self._syntheses = Recent(_CHUNK_BYTES), Recent(_CODEC_BYTES)
        self._token_counts: dict[str, np.ndarray] = {}
        several = len(self._reader.items) > 1
        self._streams: dict[str, StreamView] = {}
        for item in self._reader.items:
            for stream in item.streams:
                name = f"{item.name}/{stream.name}" if several else stream.name
                if name in self._streams:  # two items of one name
                    name = f"{item.number}/{stream.name}"
                self._streams[name] = StreamView(self, name, stream, item)

    def __getstate__(self) -> dict[str, Any]:
        if not isinstance(self._path, str):
            raise UsageError("archive: one opened from a file object cannot be sent to another process")
        return {
            "path": self._path,
            "codebooks": self._codebooks,
            "device": self.device,
            "backend": self._backend,
            "levels": self._levels,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def reader(self) -> ArchiveReader:
        """The container reader of this process: a forked child opens the file anew."""
        if self._pid != os.getpid():
            self._open()
        return self._reader

    @property
    def streams(self) -> list[str]:
        """Names of all streams, in order."""
        return list(self._streams)

    @property
    def complete(self) -> bool:
        """False when the archive was cut or damaged; then lengths are what is readable."""
        return self._reader.complete

    def __getitem__(self, name: str) -> StreamView:
        view = self._streams.get(name)
        if view is None:
            raise UsageError(f"stream {name!r} is not in the archive", hint=f"it has {', '.join(self._streams)}")
        return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def at(self, seconds: float, stream: str | None = None) -> int:
        """The row that is shown `seconds` after the first row of the archive starts: the last that starts by then.

        Time counts from the first row: in an archive of `--time 60s..90s` of a video, 0 is the frame at 60 s.
        stream: whose clock; needed only when items differ. Raises: UsageError where no times are kept.
        """
        view = self[stream] if stream is not None else next(iter(self._streams.values()))
        return view.at(seconds)

    def close(self) -> None:
        """Let go of the file; slices cannot be read after this."""
        self._reader.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(view.shape)}" for name, view in self._streams.items())
        return f"<embdc archive: {shapes}{'' if self.complete else ', incomplete'}>"

    def rows(self, view: StreamView, entry: Entry | None, wanted: range) -> np.ndarray:
        """The `wanted` rows of a chunk in storage dtype. Raises: CorruptArchive when it is damaged or lost (None)."""
        if entry is None:
            raise _lost(view, wanted)
        return take(*self.decoded(view.stream, entry), wanted)

    def token_counts(self, view: StreamView) -> np.ndarray:
        """Tokens of every row of a ragged stream, (T,) int64. Raises: CorruptArchive for damaged or lost rows."""
        if view.name not in self._token_counts:
            found = [np.zeros(0, np.int64)]
            for entry, wanted in view.pieces(range(view.spec.known_rows)):
                if entry is None:
                    raise _lost(view, wanted)
                ((full, _),) = self.reader.fetch([entry])
                found.append(np.asarray(full.record.token_counts, np.int64))
            self._token_counts[view.name] = np.concatenate(found)
        return self._token_counts[view.name]

    def decoded(self, stream: Stream, entry: Entry) -> tuple[Entry, np.ndarray]:
        """One chunk with its full record, and all its rows in storage dtype, from the cache where it holds them."""
        return self._chunks.get(
            (entry.part, entry.offset), lambda: self._fetched(stream, entry), lambda found: found[1].nbytes
        )

    def _fetched(self, stream: Stream, entry: Entry) -> tuple[Entry, np.ndarray]:
        if self._levels is not None and not stream.spec.ragged:
            return entry, self._first_levels(stream, entry)
        ((found, payload),) = self.reader.fetch([entry])
        return found, self.decode(stream, found, payload)

    def _first_levels(self, stream: Stream, entry: Entry) -> np.ndarray:
        """The rows of a chunk as its first levels have them, read up to where these end; each checks itself."""
        codec = self.codec(stream, entry.record.segment, entry.record.kind)
        start, size = self.reader.start(entry, _FIRST_BYTES)
        wanted = codec.bytes_read(start, size)
        if wanted >= size:
            ((found, payload),) = self.reader.fetch([entry])
            return self.decode(stream, found, payload)
        if wanted > len(start):
            start, _ = self.reader.start(entry, wanted)
        with one_blas_thread():
            rows, _ = codec.decode(start.ljust(size, b"\0"), entry.record.rows)  # nobody looks at what was not read
        return rows

    def decode(self, stream: Stream, entry: Entry, payload: bytes) -> np.ndarray:
        """The rows in a fetched payload. Raises: CorruptArchive when its integers are not those that were written."""
        record = entry.record
        codec = self.codec(stream, record.segment, record.kind)
        with one_blas_thread():
            rows, symbol_crc = codec.decode(payload, record.rows, record.token_counts)
        if self._levels is None:
            _check(stream, record, symbol_crc)
        return rows

    def coded(self, stream: Stream, entry: Entry) -> CodedChunk:
        """One chunk with its full record, and the tokens of its groups as codes, from the cache where it holds them.

        Without tokens where its values have to be decoded.

        Raises: CorruptArchive.
        """
        return self._coded.get((entry.part, entry.offset), lambda: self._fetched_codes(stream, entry), _bytes_of)

    def _fetched_codes(self, stream: Stream, entry: Entry) -> CodedChunk:
        from embdc_cli.codec.transform.codec import TransformCodec
        from embdc_cli.codec.vq.scores import coded_tokens, syntheses

        record = entry.record
        codec = self.codec(stream, record.segment, record.kind)
        key = (stream.part, stream.number, record.segment, record.kind)
        groups = None
        if isinstance(codec, TransformCodec):
            models = codec.models
            groups = self._syntheses.get(key, lambda: syntheses(models), lambda _: 8 * stream.spec.channels**2)
        if groups is None or not isinstance(codec, TransformCodec):
            return entry, None
        ((found, payload),) = self.reader.fetch([entry])
        with one_blas_thread():
            coded, exact, symbol_crc = codec.codes(payload, found.record.rows, found.record.token_counts)
            if self._levels is None:
                _check(stream, found.record, symbol_crc)
            return found, coded_tokens(codec.models, groups, coded, exact)

    def codec(self, stream: Stream, segment: int, kind: int) -> ChunkCodec:
        """The codec of the chunks of that kind in a segment. Raises: CorruptArchive, MissingModel."""
        limits = self.reader.parts[stream.part].header.limits

        def make() -> ChunkCodec:
            models = self.reader.models(stream, segment)
            return codec_for(kind, stream.spec, models, limits, self.codebook, self._backend, self._levels)

        key = (stream.part, stream.number, segment, kind)
        return self._codecs.get(key, make, lambda _: 8 * stream.spec.channels**2)

    def codebook(self, digest: bytes) -> Codebook:
        """The codebook of that hash: embedded, given, or found. Raises: MissingModel."""
        embedded = self.reader.codebook(digest)
        if embedded is not None:
            return codebook_file.read(embedded, digest=digest)
        local = isinstance(self._path, str) and "://" not in self._path
        return find(digest, files=self._codebooks, folder=Path(str(self._path)).parent if local else None)


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

    def search(self, query: Any, k: int = 10, *, metric: str = "cosine", pooled: bool = False) -> dict[str, Any]:
        """The k tokens, or rows by the mean of their tokens, that are nearest to `query`: {"hits": [...]}.

        query: (D,) or (Q, D), anything numpy or torch makes an array of; of several rows {"queries": [{"hits"}, ...]}.
        metric: cosine, dot or l2. Hits are those of `embdc search --json`. Codes are kept from one call to the next.
        Raises: UsageError, CorruptArchive.
        """
        from embdc_cli.options import SearchOptions
        from embdc_cli.searching import search_view

        return search_view(self._archive, self, query, SearchOptions(k=k, metric=metric, pooled=pooled))

    def at(self, seconds: float) -> int:
        """The last row that starts at or before `seconds` after the first row."""
        timeline = self.timeline
        if timeline is None or not len(timeline):
            raise UsageError(f"stream {self.name!r} keeps no times", hint="ask for rows by number")
        return min(row_at(timeline, seconds), len(self) - 1)

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
        parts = [self._archive.rows(self, entry, part) for entry, part in self.pieces(rows)]
        if not parts:
            return np.empty((0, *self.spec.row_shape), dtypes.storage(self.spec.dtype))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __getitem__(self, index: int | slice) -> torch.Tensor:
        """One row, or a slice of them; a tensor without a row axis takes every index that torch does.

        Raises: WrongIndex (an IndexError), CorruptArchive for rows that are damaged or lost.
        """
        if not self.spec.timed:
            return self._part_of_whole(index)
        rows = self._rows(index)
        if isinstance(index, slice):
            return self._tensor(self.numpy(rows))
        array = self.numpy(rows)
        return self._tensor(array if self.spec.ragged else array[0])

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
        whole = self._tensor(self.numpy(range(self.spec.known_rows)).reshape(self.shape))
        if isinstance(index, slice) and index == slice(None):
            return whole  # also of a tensor without axes
        try:
            return whole[index]
        except (IndexError, TypeError, ValueError) as error:
            raise WrongIndex(f"stream {self.name!r}: {error}") from error

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        import torch

        # a copy: the cached chunk must not change when the caller writes into the tensor
        tensor = torch.from_numpy(array.copy())
        if self.spec.dtype == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        device = self._archive.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return tensor.to(device)


def _bytes_of(chunk: CodedChunk) -> int:
    return sum(tokens.nbytes for tokens in chunk[1] or [])


def _check(stream: Stream, record: DataRecord, symbol_crc: int) -> None:
    if symbol_crc != record.symbol_crc:
        raise CorruptArchive(
            f"stream {stream.name!r}: rows {record.row0} to {record.stop}: decoded integers have checksum "
            f"{symbol_crc:08x}, expected {record.symbol_crc:08x}"
        )


def _lost(view: StreamView, wanted: range) -> CorruptArchive:
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
    record = entry.record
    if record.token_counts is None:
        return rows[wanted.start - record.row0 : wanted.stop - record.row0 : wanted.step]
    edges = np.concatenate([[0], np.cumsum(record.token_counts)])
    return np.concatenate([rows[edges[row - record.row0] : edges[row - record.row0 + 1]] for row in wanted])
