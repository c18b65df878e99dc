"""An archive opened for reading: streams by name, slices decoded lazily, a cache of the last chunks.

    archive["patch"][100:200]    reads and decodes only the chunks that hold these rows
    archive.at(12.5)             the row shown 12.5 seconds after the first

Chunks are always decoded whole, so that a value does not depend on the slice it was asked in. An `Archive` can be
pickled and used after a fork: every process opens the file for itself, once for all its threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codebook import file as codebook_file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.find import find
from embdc_cli.codec.stage import ChunkCodec
from embdc_cli.codec.table import DecoderChoices, codec_for
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.contents import Entry, Stream
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.device import check_device, computing_device
from embdc_cli.errors import CorruptArchive, UsageError
from embdc_cli.item_streams import stream_names
from embdc_cli.parallel import one_blas_thread
from embdc_cli.recent import Recent
from embdc_cli.remote.filesystem import is_url
from embdc_cli.stream_view import StreamView, lost, take

if TYPE_CHECKING:
    import torch

    from embdc_cli.codec.vq.scores import CodedTokens
    from embdc_cli.device_decoding import DeviceDecoder

    CodedChunk = tuple[Entry, list[CodedTokens] | None]

_CHUNK_BYTES = 128 << 20
_CODEC_BYTES = 64 << 20
_WORTH_BYTES = 1 << 30  # decoded; a choice: a device takes seconds to start, and kernels to load
_FIRST_BYTES = 1 << 12  # of a chunk, to find out where its levels end


class Archive:
    """One archive; with several items its streams are named `item/stream`, unless all go by the clock of the first.

    path: local path or URL (`https://`, `s3://`, `memory://`), or an open seekable file (then not picklable).
    codebooks: files to look in for a codebook that the archive refers to.
    device: where tensors go: cpu, cuda, cuda:N, or auto; a CUDA device that is named decodes them too
    (`device_decoding`), but not what is read as numpy arrays. auto is a CUDA device where there is one, which decodes
    them where that is worth it: where the archive is large, so that every slice of it has the same bits.
    backend: who decodes video codecs: auto, software or nvidia.
    levels: how many levels of streams of codec vq to read, None for all; streams of other codecs cannot be read then.
    reconstruction: whether the network of a codebook is run where the encoder asks for it; with `levels` it never is.
    resident: whether all chunks are copied to the device at once, as they are coded, and slices decoded from there.
    """

    def __init__(
        self,
        path: str | BinaryIO,
        *,
        codebooks: Sequence[str] = (),
        device: str = "cpu",
        backend: str = "auto",
        levels: int | None = None,
        reconstruction: bool = True,
        resident: bool = False,
    ) -> None:
        if levels is not None and levels < 1:
            raise UsageError(f"--levels: expected at least 1, found {levels}")
        self._path = path
        self._codebooks = tuple(codebooks)
        check_device(device)
        self.device = device
        self._choices = DecoderChoices(backend, levels, reconstruction, computing_device(device))
        self._is_resident = resident
        if resident and (self._choices.device == "cpu" or levels is not None):
            raise UsageError(
                "resident: expected a CUDA device by name, and no levels", hint='open(path, resident="cuda")'
            )
        self._opening = threading.Lock()
        self._open()
        if resident:
            self.device_decoder  # noqa: B018  # takes everything there

    def _open_in_child(self) -> None:
        """A forked child opens the file anew; nothing in the process that opened it."""
        if self._pid != os.getpid():
            with self._opening:
                if self._pid != os.getpid():
                    self._open()

    def _open(self) -> None:
        self._reader = ArchiveReader.open(self._path)
        self._chunks, self._codecs = Recent(_CHUNK_BYTES), Recent(_CODEC_BYTES)
        self._device_decoder: DeviceDecoder | None = None  # a forked child makes its own
        self._device_lock = threading.Lock()  # that of the parent may be held for ever
        self._coded, self._syntheses = Recent(_CHUNK_BYTES), Recent(_CODEC_BYTES)
        self._token_counts: dict[str, np.ndarray] = {}
        self._streams = stream_names(self._reader.items)  # no views: what is dropped is freed at once, without cycles
        self._pid = os.getpid()  # last: until then other threads of a forked child wait

    def __getstate__(self) -> dict[str, Any]:
        if not isinstance(self._path, str):
            raise UsageError("archive: one opened from a file object cannot be sent to another process")
        return {
            "path": self._path,
            "codebooks": self._codebooks,
            "device": self.device,
            "backend": self._choices.backend,
            "levels": self._choices.levels,
            "reconstruction": self._choices.reconstruction,
            "resident": self._is_resident,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def reader(self) -> ArchiveReader:
        """The container reader of this process: a forked child opens the file anew."""
        self._open_in_child()
        return self._reader

    @property
    def device_decoder(self) -> DeviceDecoder | None:
        """What decodes slices on a CUDA device, None where the CPU does; one for all threads."""
        name = self._decoding_device
        if name == "cpu":
            return None
        self._open_in_child()
        with self._device_lock:
            if self._device_decoder is None:
                from embdc_cli.device_decoding import DeviceDecoder

                decoder = DeviceDecoder(name)
                if self._is_resident:
                    decoder.make_resident(self)
                self._device_decoder = decoder
            return self._device_decoder

    @cached_property
    def _decoding_device(self) -> str:
        """Where slices are decoded, in torch's words. It depends on the archive, never on what is asked of it."""
        streams = (stream.spec for stream in self._streams.values())
        size = sum(spec.known_rows * spec.row_values * dtypes.item_bytes(spec.dtype) for spec in streams)
        if self.device == "auto" and size >= _WORTH_BYTES:
            from embdc_cli.entropy.cuda import why_not

            return "cuda" if why_not("cuda") is None else "cpu"
        return computing_device(self.device)

    @property
    def peak_device_bytes(self) -> int:
        """The most that decoding held of the device at once since the archive was opened; 0 where the CPU decodes.

        Counted, not measured: models, chunks that are resident, kept or in work, as bytes and as codes, 32 bytes for
        each value of a chunk to work in, and rows, those of a slice until it is returned. Not in it is what the
        allocator of torch keeps beyond that, and what others take: `torch.cuda.max_memory_allocated` measures the whole
        process. 0 as well once the archive is closed.
        """
        self._open_in_child()
        decoder = self._device_decoder
        return 0 if decoder is None else decoder.peak_bytes

    @property
    def resident_bytes(self) -> int:
        """Of the device, that chunks and models take there; 0 of an archive that is not resident, or closed."""
        self._open_in_child()
        decoder = self._device_decoder
        return 0 if decoder is None else decoder.resident_bytes

    @property
    def cache_bytes(self) -> int:
        """Of decoded chunks that are kept, or one where that is more."""
        return _CHUNK_BYTES

    @property
    def held_bytes(self) -> int:
        """Memory of the host that index, models and decoded chunks take, as far as they are counted."""
        self._open_in_child()
        kept = (self._chunks, self._codecs, self._coded, self._syntheses)
        return self._reader.held_bytes + sum(recent.held_bytes for recent in kept)

    @property
    def streams(self) -> list[str]:
        """Names of all streams, in order."""
        return list(self._streams)

    @property
    def complete(self) -> bool:
        """False when the archive was cut or damaged; then lengths are what is readable."""
        return self._reader.complete

    def __getitem__(self, name: str) -> StreamView:
        found = self._streams.get(name)
        if found is None:
            raise UsageError(f"stream {name!r} is not in the archive", hint=f"it has {', '.join(self._streams)}")
        return StreamView(self, name, found, self._reader.items[found.item])

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def at(self, seconds: float, stream: str | None = None) -> int:
        """The row that is shown `seconds` after the first row of the archive starts: the last that starts by then, or
        the first, of a stream that begins later.

        Time counts from the first row: in an archive of `--time 60s..90s` of a video, 0 is the frame at 60 s.
        stream: whose clock; needed only when items differ. Raises: UsageError where no times are kept.
        """
        view = self[stream if stream is not None else next(iter(self._streams))]
        return view.at(seconds)

    def between(self, start: float, stop: float) -> dict[str, torch.Tensor]:
        """The rows of every stream that start in [start, stop) seconds, by name; none of streams that keep no times.

        Raises: UsageError where no stream keeps times, or start is after stop.
        """
        views = [view for view in map(self.__getitem__, self._streams) if view.timeline is not None]
        if not views:
            raise UsageError("archive: no stream keeps times", hint="ask for rows by number")
        return {view.name: view.between(start, stop) for view in views}

    def close(self) -> None:
        """Let go of the file, and of memory on a device; slices cannot be read after this."""
        self._device_decoder = None
        self._reader.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(self[name].shape)}" for name in self._streams)
        return f"<embdc archive: {shapes}{'' if self.complete else ', incomplete'}>"

    def ahead(self, stream: Stream, pieces: Iterable[tuple[Entry | None, range]]) -> AbstractContextManager[None]:
        """Inside the block these pieces of a stream are going to be decoded, about in this order."""
        if self._choices.levels is not None and not stream.spec.ragged:
            return nullcontext()  # of chunks only their starts are read
        wanted = [entry for entry, _ in pieces if entry is not None]
        return self.reader.ahead([one for one in wanted if self._chunks.known((one.part, one.offset)) is None])

    def rows(self, view: StreamView, entry: Entry | None, wanted: range) -> np.ndarray:
        """The `wanted` rows of a chunk in storage dtype. Raises: CorruptArchive when it is damaged or lost (None)."""
        if entry is None:
            raise lost(view, wanted)
        return take(*self.decoded(view.stream, entry), wanted)

    def token_counts(self, view: StreamView) -> np.ndarray:
        """Tokens of every row of a ragged stream, (T,) int64. Raises: CorruptArchive for damaged or lost rows."""
        if view.name not in self._token_counts:
            found = [np.zeros(0, np.int64)]
            for entry, wanted in view.pieces(range(view.spec.known_rows)):
                if entry is None:
                    raise lost(view, wanted)
                ((full, _),) = self.reader.fetch([entry])
                found.append(np.asarray(full.record.token_counts, np.int64))
            self._token_counts[view.name] = np.concatenate(found)
        return self._token_counts[view.name]

    def decoded(self, stream: Stream, entry: Entry) -> tuple[Entry, np.ndarray]:
        """One chunk with its full record, and all its rows in storage dtype, from the cache where it holds them."""
        _ = self.reader  # a forked child begins with caches of its own
        return self._chunks.get(
            (entry.part, entry.offset), lambda: self._fetched(stream, entry), lambda found: found[1].nbytes
        )

    def touch(self, entry: Entry) -> bool:
        """Whether a chunk is kept as it is decoded; it is then the last to be dropped."""
        _ = self.reader  # as above
        return self._chunks.known((entry.part, entry.offset)) is not None

    def _fetched(self, stream: Stream, entry: Entry) -> tuple[Entry, np.ndarray]:
        ((found, payload),) = self.payloads(stream, [entry])
        return found, self.decode(stream, found, payload)

    def payloads(self, stream: Stream, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """(entry with its full record, payload) of each of `entries`, with as much of it as is going to be decoded.

        Raises: CorruptArchive at the first damaged chunk.
        """
        if self._choices.levels is None or stream.spec.ragged:
            yield from self.reader.fetch(entries)
            return
        for entry in entries:
            yield self._first_levels(stream, entry)

    def _first_levels(self, stream: Stream, entry: Entry) -> tuple[Entry, bytes]:
        """A chunk of a stream that is not ragged, read up to where its first levels end; each checks itself."""
        codec = self.codec(stream, entry.record.segment, entry.record.kind)
        start, size = self.reader.start(entry, _FIRST_BYTES)
        wanted = codec.bytes_read(start, size)
        if wanted >= size:
            ((found, payload),) = self.reader.fetch([entry])
            return found, payload
        if wanted > len(start):
            start, _ = self.reader.start(entry, wanted)
        return entry, start.ljust(size, b"\0")  # nobody looks at what was not read

    def decode(self, stream: Stream, entry: Entry, payload: bytes) -> np.ndarray:
        """The rows in a fetched payload. Raises: CorruptArchive when its integers are not those that were written."""
        record = entry.record
        codec = self.codec(stream, record.segment, record.kind)
        with one_blas_thread():
            rows, symbol_crc = codec.decode(payload, record.rows, record.token_counts)
        self.check_symbols(stream, record, symbol_crc)
        return rows

    def check_symbols(self, stream: Stream, record: DataRecord, symbol_crc: int) -> None:
        """Nothing, when the integers of a chunk are those that were written. Raises: CorruptArchive.

        Fewer levels than there are have other integers; each level checks itself.
        """
        if self._choices.levels is None and symbol_crc != record.symbol_crc:
            raise CorruptArchive(
                f"stream {stream.name!r}: rows {record.row0} to {record.stop}: decoded integers have checksum "
                f"{symbol_crc:08x}, expected {record.symbol_crc:08x}"
            )

    def coded(self, stream: Stream, entry: Entry) -> CodedChunk:
        """One chunk with its full record, and the tokens of its groups as codes, from the cache where it holds them.

        Without tokens where its values have to be decoded.

        Raises: CorruptArchive.
        """
        _ = self.reader  # as above
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
            self.check_symbols(stream, found.record, symbol_crc)
            return found, coded_tokens(codec.models, groups, coded, exact)

    def codec(self, stream: Stream, segment: int, kind: int) -> ChunkCodec:
        """The codec of the chunks of that kind in a segment. Raises: CorruptArchive, MissingModel."""
        limits = self.reader.parts[stream.part].header.limits

        def make() -> ChunkCodec:
            models = self.reader.models(stream, segment)
            return codec_for(kind, stream.spec, models, limits, self.codebook, self._choices)

        key = (stream.part, stream.number, segment, kind)
        return self._codecs.get(key, make, lambda _: 8 * stream.spec.channels**2)

    def codebook(self, digest: bytes) -> Codebook:
        """The codebook of that hash: embedded, given, or found. Raises: MissingModel."""
        embedded = self.reader.codebook(digest)
        if embedded is not None:
            return codebook_file.read(embedded, digest=digest)
        local = isinstance(self._path, str) and not is_url(self._path)
        return find(digest, files=self._codebooks, folder=Path(str(self._path)).parent if local else None)


def _bytes_of(chunk: CodedChunk) -> int:
    return sum(tokens.nbytes for tokens in chunk[1] or [])
