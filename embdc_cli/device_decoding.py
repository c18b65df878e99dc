"""Rows of a stream decoded on a device, where they stay: `Archive(device="cuda")` reads through this.

Chunks of a slice are decoded whole, one after the other. Whatever the length of the slice, the device holds beside its
rows: at most `budget_bytes` of chunks in work, as bytes and as codes, or one where that is more; tokens and
coefficients of one chunk (up to 32 bytes for each of its values); the models in use (_MODELS_BYTES); and chunks that
slices took only a part of (_KEPT_BYTES). The CPU reads the next chunks in threads while the device is at work, and
waits for it where that budget is full, and once at the end.

An archive may be resident: all its chunks lie on the device as they are coded, and a slice needs neither the file nor
the CPU. That is for streams whose codes are decoded on the device, and refused for others.

Threads: one slice at a time per archive. Those that ask at once for parts of a chunk find it kept and decode it once;
a chunk that is wanted whole is decoded for each that wants it.
Streams: all that an archive has on a CUDA device is made, used and freed on one stream of its decoder, uploads of
models in threads as well, so what comes first there is done first. (`Staging` copies on a stream of its own, for which
that one waits.) The caller's current stream waits for it, and rows that are returned are recorded on the caller's, so
they may be used and dropped there like any tensor of its own.

Values: a chunk gives the same bits in whatever slice it is asked for, on one machine and device, since every product
has the shape of its chunk. Those of the CPU they are within 1/64 of the rms of the step in each chunk, before the cast
to the storage type; of lossless streams they are the same.
Checked is what the CPU checks: the bytes of every chunk by their CRC-32, and its integers by theirs, as long as they
are decoded on the CPU. Those that are decoded on the device are not summed up there, which would take as long as
decoding them; a damaged chunk is found by its bytes, a faulty decoder by `verify --deep`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import torch

from embdc_cli.archive import Archive
from embdc_cli.codec.device.codec import CopiedChunk, DeviceCodec, TakenChunk, copied, device_codec
from embdc_cli.codec.device.precision import full_precision
from embdc_cli.codec.device.staging import Staging
from embdc_cli.container.contents import Entry, Stream
from embdc_cli.entropy.cuda import why_not
from embdc_cli.errors import CorruptArchive, EmbdcError, ResourceError, UsageError
from embdc_cli.parallel import one_blas_thread, ordered_map
from embdc_cli.recent import Recent
from embdc_cli.stream_view import StreamView, lost, row_slice, token_slices
from embdc_cli.values import StreamSpec

LEAST_BUDGET_BYTES: Final = 512 << 20
_SHARE_OF_DEVICE: Final = 8
"""An eighth of the memory of a device is for chunks in work: their codes are decoded side by side, so many are fast."""
_MODELS_BYTES: Final = 64 << 20
_KEPT_BYTES: Final = 128 << 20
_THREADS: Final = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class _Piece:
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
class _Work:
    """A chunk that is to be decoded. entry: with its full record. chunk: as the CPU has read it, or on the device."""

    piece: _Piece
    entry: Entry
    codec: DeviceCodec
    chunk: TakenChunk | CopiedChunk


class DeviceDecoder:
    """Decodes the streams of an archive on `device`: a CUDA device, or the CPU, where torch then does the same.

    It knows no archive, so that one that is dropped is closed at once.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda" and self._device.index is None:  # whatever is current later
            self._device = torch.device("cuda", torch.cuda.current_device())
        self._staging = Staging(self._device)
        self._stream: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()
        self.budget_bytes = LEAST_BUDGET_BYTES
        if self._device.type == "cuda":
            memory = torch.cuda.get_device_properties(self._device).total_memory
            self.budget_bytes = max(LEAST_BUDGET_BYTES, memory // _SHARE_OF_DEVICE)
        self._resident: dict[tuple[int, int], _Work] = {}
        self._codecs, self._kept = Recent(_MODELS_BYTES), Recent(_KEPT_BYTES)

    def rows(self, archive: Archive, view: StreamView, rows: range) -> torch.Tensor:
        """`rows` in storage type on the device: (len(rows), *row_shape), flat (n, D) when ragged.

        Raises: CorruptArchive for rows that are damaged or lost, ResourceError for too little memory there.
        """
        pieces, count = [], 0
        for entry, wanted in view.pieces(rows):
            if entry is None:
                raise lost(view, wanted)
            pieces.append(_Piece(entry, wanted, count))
            count += len(wanted)
        caller = None if self._stream is None else torch.cuda.current_stream(self._device)
        with self._at_work():
            out = _Rows(view.spec, count, self._device)
            flags: list[tuple[Entry, torch.Tensor]] = []
            missing = [piece for piece in pieces if not self._put_kept(piece, out, flags)]
            in_work = _InWork(self._device, self.budget_bytes)
            for batch in _batches(self._works(archive, view.stream, missing), self.budget_bytes // 2):
                size = sum(work.chunk.device_bytes for work in batch)
                in_work.make_room(size)
                targets = [out.target(work.piece, work.chunk.length) for work in batch]
                found = batch[0].codec.decode([self._there(work) for work in batch], targets, self._staging)
                in_work.add(size)
                for work, target, flag in zip(batch, targets, found, strict=True):
                    flags.append((work.entry, flag))
                    out.put(work.piece, work.entry, target)
                    if not work.piece.whole:
                        self._kept.put(work.piece.key, (work.entry, target, flag), target.nbytes)
            joined = out.joined()  # before the check, which waits for the device
            self._check(archive, view, flags)
            if self._stream is not None and caller is not None:
                caller.wait_stream(self._stream)
                joined.record_stream(caller)
            return joined

    def _check(self, archive: Archive, view: StreamView, flags: list[tuple[Entry, torch.Tensor]]) -> None:
        """Wait for the device. Raises CorruptArchive as the CPU does, where it found chunks to be corrupt."""
        if not flags:
            return
        bad = torch.stack([flag for _, flag in flags]).isnan().tolist()
        for (entry, _), is_bad in zip(flags, bad, strict=True):
            if is_bad:
                self._kept = Recent(_KEPT_BYTES)
                archive.decoded(view.stream, entry)
                record = entry.record
                raise CorruptArchive(
                    f"stream {view.name!r}: rows {record.row0} to {record.stop}: {self._device} finds them corrupt, "
                    "and the CPU does not"
                )

    def _put_kept(self, piece: _Piece, out: _Rows, flags: list[tuple[Entry, torch.Tensor]]) -> bool:
        """Whether the chunk of `piece` is kept, and its rows are put to `out`. It may not have been checked yet."""
        known = self._kept.known(piece.key)
        if known is None:
            return False
        entry, rows, flag = known
        out.put(piece, entry, rows)
        flags.append((entry, flag))
        return True

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """On this device and the stream of its own, in full precision, one thread at a time.

        Raises ResourceError for too little memory.
        """
        try:
            on_device = torch.cuda.device(self._staging.device_index)
            with self._lock, full_precision(self._device), on_device, torch.cuda.stream(self._stream):
                yield
        except torch.OutOfMemoryError as error:
            hint = "shorter slices, or embdc.open(path), which decodes on the CPU"
            raise ResourceError(f"{self._device}: {next(iter(str(error).splitlines()), '')}", hint=hint) from error

    @property
    def resident_bytes(self) -> int:
        """Of chunks that lie on the device, and of their models."""
        codecs = {id(work.codec): work.codec for work in self._resident.values()}
        copies = sum(self._there(work).nbytes for work in self._resident.values())
        return copies + sum(codec.held_bytes for codec in codecs.values())

    def make_resident(self, archive: Archive) -> None:
        """Copy all chunks of all streams to the device, from where they are decoded from then on.

        Raises: UsageError where the CPU decodes codes of some, ResourceError where this device decodes none, or for too
        little memory, CorruptArchive for damage.
        """
        found = {}
        with self._at_work():
            for name in archive:
                stream = archive[name].stream
                pieces = [_Piece(entry, range(entry.row0, entry.stop), entry.row0) for entry in stream.entries]
                for work in self._read(archive, stream, pieces):
                    if not work.codec.together:
                        raise self._not_resident(name)
                    found[work.piece.key] = replace(work, chunk=self._there(work))
        self._resident = found

    def _not_resident(self, stream: str) -> EmbdcError:
        why = why_not(str(self._device))
        if why is not None:
            return ResourceError(f"resident: entropy coders do not run on {self._device}: {why}")
        return UsageError(
            f"resident: stream {stream!r} has chunks whose codes are decoded on the CPU",
            hint="archives of codec transform can be resident",
        )

    def _there(self, work: _Work) -> CopiedChunk:
        return copied(work.chunk, self._staging) if isinstance(work.chunk, TakenChunk) else work.chunk

    def _works(self, archive: Archive, stream: Stream, pieces: Sequence[_Piece]) -> Iterator[_Work]:
        if not self._resident:
            return self._read(archive, stream, pieces)
        return (replace(self._resident[piece.key], piece=piece) for piece in pieces)

    def _read(self, archive: Archive, stream: Stream, pieces: Sequence[_Piece]) -> Iterator[_Work]:
        """The chunks of `pieces` as the CPU reads them, in order, a few ahead in threads. Raises CorruptArchive."""

        def read(one: tuple[_Piece, tuple[Entry, bytes]]) -> _Work:
            piece, (entry, payload) = one
            record = entry.record
            codec = self._codec(archive, stream, record.segment, record.kind)
            taken = codec.take(payload, record.rows, record.token_counts)
            if taken.symbol_crc is not None:
                archive.check_symbols(stream, record, taken.symbol_crc)
            return _Work(piece, entry, codec, taken)

        payloads = archive.payloads(stream, [piece.entry for piece in pieces])
        return ordered_map(read, zip(pieces, payloads, strict=True), min(_THREADS, len(pieces)))

    def _codec(self, archive: Archive, stream: Stream, segment: int, kind: int) -> DeviceCodec:
        def make() -> DeviceCodec:
            # one thread, so that bases are to the bit those of the CPU; of which stream is current every thread has
            # its own idea
            with one_blas_thread(), torch.cuda.stream(self._stream):
                return device_codec(archive.codec(stream, segment, kind), self._device)

        return self._codecs.get((stream.part, stream.number, segment, kind), make, lambda codec: codec.held_bytes)


class _Rows:
    """The rows of a slice, as they come."""

    def __init__(self, spec: StreamSpec, count: int, device: torch.device) -> None:
        self._dtype = getattr(torch, spec.dtype)
        self._spec, self._device = spec, device
        self._parts: dict[int, torch.Tensor] = {}
        self._out = None if spec.ragged else self._empty(count)

    def _empty(self, length: int) -> torch.Tensor:
        return torch.empty((length, *self._spec.row_shape), dtype=self._dtype, device=self._device)

    def target(self, piece: _Piece, length: int) -> torch.Tensor:
        """Where to decode a chunk: its place in the slice, or apart, where that wants only a part of it."""
        if self._out is None or not piece.whole:
            return self._empty(length)
        return self._out[piece.start : piece.start + length]

    def put(self, piece: _Piece, entry: Entry, rows: torch.Tensor) -> None:
        """Take the wanted rows out of those of a chunk, perhaps decoded in their place."""
        if self._out is None:
            self._parts[piece.start] = torch.cat([rows[part] for part in token_slices(entry, piece.wanted)])
            return
        place = self._out[piece.start : piece.start + len(piece.wanted)]
        if place.data_ptr() != rows.data_ptr():
            place.copy_(rows[row_slice(entry, piece.wanted)])

    def joined(self) -> torch.Tensor:
        """All of them."""
        if self._out is not None:
            return self._out
        return torch.cat([self._empty(0), *(self._parts[start] for start in sorted(self._parts))])


class _InWork:
    """What the device is at: batches whose bytes together stay within the budget."""

    def __init__(self, device: torch.device, budget_bytes: int) -> None:
        self._device, self._budget_bytes = device, budget_bytes
        self._batches: deque[tuple[torch.cuda.Event, int]] = deque()

    def make_room(self, size: int) -> None:
        """Wait until there is room for a batch of `size` bytes."""
        while self._batches and size + sum(bytes_ for _, bytes_ in self._batches) > self._budget_bytes:
            event, _ = self._batches.popleft()
            event.synchronize()

    def add(self, size: int) -> None:
        """A batch of `size` bytes has been started on the current stream. The CPU is done with it by now."""
        if self._device.type == "cuda":
            self._batches.append((torch.cuda.current_stream(self._device).record_event(), size))


def _batches(works: Iterator[_Work], most_bytes: int) -> Iterator[list[_Work]]:
    """Chunks of one codec, as many as it wants to have together within so many bytes."""
    batch: list[_Work] = []
    size = 0
    for work in works:
        bytes_ = work.chunk.device_bytes
        fits = batch and work.codec is batch[0].codec and work.codec.together and size + bytes_ <= most_bytes
        if batch and not fits:
            yield batch
            batch, size = [], 0
        batch.append(work)
        size += bytes_
    if batch:
        yield batch
