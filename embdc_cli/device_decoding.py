"""Rows of a stream decoded on a device: `Archive(device="cuda")` reads through this, and `decode --device cuda`.

Chunks of a slice are decoded whole, one after the other. Whatever the length of the slice, the device holds beside its
rows: at most `budget_bytes` of chunks in work, as bytes and as codes, with rows that are decoded apart, or one where
that is more; tokens and coefficients of one chunk (up to 32 bytes for each of its values); the models in use
(_MODELS_BYTES); and chunks that slices took only a part of (_KEPT_BYTES). The CPU reads the next chunks in threads
while the device is at work, and waits for it where that budget is full, and once at the end. Of slices that wait for
their turn, at most `budget_bytes` of rows are there already. `peak_bytes` counts all of this.
Rows that are wanted in host memory (`chunks`) are decoded batch by batch, and copied chunk by chunk.

Threads: one slice at a time per archive, whose chunks go to all that wait for them; one that was wanted in part is kept
for those that come later.
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

import numpy as np
import torch

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.codec.device.codec import CopiedChunk, DeviceCodec, TakenChunk, copied, device_codec
from embdc_cli.codec.device.precision import full_precision
from embdc_cli.codec.device.staging import Staging
from embdc_cli.container.contents import Entry, Stream
from embdc_cli.device_slices import Asked, Decoded, Piece, Slice, empty_rows, row_bytes
from embdc_cli.entropy.cuda import why_not
from embdc_cli.errors import CorruptArchive, EmbdcError, ResourceError, UsageError
from embdc_cli.parallel import one_blas_thread, ordered_map
from embdc_cli.recent import Recent
from embdc_cli.stream_view import StreamView, lost
from embdc_cli.values import StreamSpec

LEAST_BUDGET_BYTES: Final = 512 << 20
_SHARE_OF_DEVICE: Final = 8
"""An eighth of the memory of a device is for chunks in work: their codes are decoded side by side, so many are fast."""
_MODELS_BYTES: Final = 64 << 20
_KEPT_BYTES: Final = 128 << 20
_BATCHES_OF_CHUNKS: Final = 4
"""In which the budget is parted where rows go back: some are decoded, some wait for it, some to be copied."""
_THREADS: Final = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class _Work:
    """A chunk that is to be decoded. entry: with its full record. chunk: as the CPU has read it, or on the device.

    values: how many it has. apart_bytes: of its rows, where they are not decoded in their place.
    """

    piece: Piece
    entry: Entry
    codec: DeviceCodec
    chunk: TakenChunk | CopiedChunk
    values: int
    apart_bytes: int = 0

    @property
    def device_bytes(self) -> int:
        """What the device has to hold until it is decoded."""
        return self.chunk.device_bytes + self.apart_bytes


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
        self._asked = Asked(self.budget_bytes)
        self._resident: dict[tuple[int, int], _Work] = {}
        self.resident_bytes = 0
        """Of chunks that lie on the device, and of their models."""
        self.peak_bytes = 0
        """The most that the device held at once."""
        self._codecs, self._kept = Recent(_MODELS_BYTES), Recent(_KEPT_BYTES)

    def rows(self, archive: Archive, view: StreamView, rows: range) -> torch.Tensor:
        """`rows` in storage type on the device: (len(rows), *row_shape), flat (n, D) when ragged.

        Raises: CorruptArchive for rows that are damaged or lost, ResourceError for too little memory there.
        """
        pieces, count = [], 0
        for entry, wanted in view.pieces(rows):
            if entry is None:
                raise lost(view, wanted)
            pieces.append(Piece(entry, wanted, count))
            count += len(wanted)
        out = Slice(view.spec, pieces, self._device)
        caller = None if self._stream is None else torch.cuda.current_stream(self._device)
        with self._asked.listed(out), self._at_work():
            for piece in out.missing:
                kept = self._kept.known(piece.key)
                if kept is not None:
                    out.put(piece.key, kept)
            in_work = _InWork(self._device, self.budget_bytes)
            for batch in _batches(self._works(archive, view.stream, out), self.budget_bytes // 2):
                size = sum(work.device_bytes for work in batch)
                in_work.make_room(size)
                targets = [out.target(work.piece, work.chunk.length) for work in batch]
                self._count(in_work.nbytes + size, batch)
                for work, chunk in zip(batch, self._decoded(batch, targets), strict=True):
                    self._asked.give(out, work.piece.key, chunk)
                    if not work.piece.whole:
                        self._kept.put(work.piece.key, chunk, chunk.rows.nbytes)
                in_work.add(size)
                self._count(in_work.nbytes)
            joined = out.joined()  # before the check, which waits for the device
            self._count(in_work.nbytes + (joined.nbytes if view.spec.ragged else 0))
            self._check(archive, view, out.flags)
            if self._stream is not None and caller is not None:
                caller.wait_stream(self._stream)
                joined.record_stream(caller)
            return joined

    def chunks(
        self, archive: Archive, view: StreamView, pieces: Sequence[tuple[Entry | None, range]]
    ) -> Iterator[np.ndarray | CorruptArchive]:
        """The rows of every piece (a chunk, None where it is lost, and the rows wanted of it) in host memory, in order.

        In storage dtype, as of `StreamView.numpy`; for a piece that is damaged or lost, the error that says so. While a
        batch of chunks is decoded the one before is copied back, a chunk at a time, through page-locked memory.
        Raises: ResourceError for too little memory on the device.
        """
        errors: dict[int, CorruptArchive] = {}
        there = []
        for number, (entry, wanted) in enumerate(pieces):
            if entry is None:
                errors[number] = lost(view, wanted)
            else:
                there.append(Piece(entry, wanted, number))

        def attempt(piece: Piece) -> _Work | None:
            try:
                ((entry, payload),) = archive.payloads(view.stream, [piece.entry])
                work = self._taken(archive, view.stream, piece, entry, payload)
            except CorruptArchive as error:
                errors[piece.start] = error
                return None
            return replace(work, apart_bytes=row_bytes(view.spec) * work.chunk.length)

        returning = _Returning()
        works = filter(None, ordered_map(attempt, there, min(_THREADS, len(there))))
        batches = _batches(works, self.budget_bytes // _BATCHES_OF_CHUNKS)
        done = 0
        # two threads: when the device is done with a batch, the next one is there already
        for decoded in ordered_map(lambda batch: self._apart(archive, view, batch, returning), batches, 2):
            while decoded:  # what is copied is dropped
                number, found = decoded.pop(0)
                yield from (errors.pop(before) for before in range(done, number))
                yield found if isinstance(found, CorruptArchive) else self._here(found, view.spec, returning)
                done = number + 1
        yield from (errors.pop(before) for before in range(done, len(pieces)))

    def _apart(
        self, archive: Archive, view: StreamView, batch: list[_Work], returning: _Returning
    ) -> list[tuple[int, torch.Tensor | CorruptArchive]]:
        """The wanted rows of chunks on the device, done, or what is wrong with them, by the numbers of their pieces."""
        with self._at_work():
            self._count(returning.nbytes + sum(work.device_bytes for work in batch), batch)
            targets = [empty_rows(view.spec, work.chunk.length, self._device) for work in batch]
            chunks = self._decoded(batch, targets)
            rows = [chunk.wanted(work.piece).contiguous() for work, chunk in zip(batch, chunks, strict=True)]
            bad = torch.stack([chunk.flag for chunk in chunks]).isnan().tolist()  # waits for the device
            returning.begun += sum(one.nbytes for one, is_bad in zip(rows, bad, strict=True) if not is_bad)
        return [
            (work.piece.start, self._why_corrupt(archive, view, work.entry) if is_bad else one)
            for work, one, is_bad in zip(batch, rows, bad, strict=True)
        ]

    def _here(self, rows: torch.Tensor, spec: StreamSpec, returning: _Returning) -> np.ndarray:
        """Rows that are done, in host memory."""
        bits = rows.view(torch.int16) if spec.dtype == "bfloat16" else rows  # numpy has no such type
        with torch.cuda.device(self._staging.device_index):  # which page-locked memory is for
            (found,) = self._staging.fetched([bits])
        returning.ended += rows.nbytes
        return found.view(dtypes.storage(spec.dtype))

    def _decoded(self, batch: list[_Work], targets: list[torch.Tensor]) -> list[Decoded]:
        """Chunks decoded into the targets; it has only been started."""
        flags = batch[0].codec.decode([self._there(work) for work in batch], targets, self._staging)
        return [Decoded(work.entry, target, flag) for work, target, flag in zip(batch, targets, flags, strict=True)]

    def _check(self, archive: Archive, view: StreamView, flags: list[tuple[Entry, torch.Tensor]]) -> None:
        """Wait for the device. Raises CorruptArchive as the CPU does, where it found chunks to be corrupt."""
        if not flags:
            return
        bad = torch.stack([flag for _, flag in flags]).isnan().tolist()
        for (entry, _), is_bad in zip(flags, bad, strict=True):
            if is_bad:
                self._kept = Recent(_KEPT_BYTES)
                raise self._why_corrupt(archive, view, entry)

    def _why_corrupt(self, archive: Archive, view: StreamView, entry: Entry) -> CorruptArchive:
        """What the CPU says of a chunk that the device finds to be corrupt."""
        try:
            archive.decoded(view.stream, entry)
        except CorruptArchive as error:
            return error
        record = entry.record
        return CorruptArchive(
            f"stream {view.name!r}: rows {record.row0} to {record.stop}: {self._device} finds them corrupt, and the "
            "CPU does not"
        )

    def _count(self, in_work_bytes: int, batch: Sequence[_Work] = ()) -> None:
        """Note what the device holds now: chunks in work, and what comes with them."""
        working = max((work.codec.working_bytes * work.values for work in batch), default=0)
        models = 0 if self._resident else self._codecs.held_bytes
        held = self.resident_bytes + models + self._kept.held_bytes + self._asked.nbytes
        self.peak_bytes = max(self.peak_bytes, held + in_work_bytes + working)

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

    def make_resident(self, archive: Archive) -> None:
        """Copy all chunks of all streams to the device, from where they are decoded from then on.

        Raises: UsageError where the CPU decodes codes of some, ResourceError where this device decodes none, or for too
        little memory, CorruptArchive for damage.
        """
        found = {}
        with self._at_work():
            for name in archive:
                stream = archive[name].stream
                pieces = [Piece(entry, range(entry.row0, entry.stop), entry.row0) for entry in stream.entries]
                for work in self._read(archive, stream, pieces):
                    if not work.codec.together:
                        raise self._not_resident(name)
                    found[work.piece.key] = replace(work, chunk=self._there(work))
        self._resident = found
        codecs = {id(work.codec): work.codec for work in found.values()}
        copies = sum(self._there(work).nbytes for work in found.values())
        self.resident_bytes = copies + sum(codec.held_bytes for codec in codecs.values())
        self._count(0)

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

    def _works(self, archive: Archive, stream: Stream, out: Slice) -> Iterator[_Work]:
        """What `out` has not got yet."""
        works = self._read(archive, stream, out.missing) if not self._resident else self._lying_there(out.missing)
        return (replace(work, apart_bytes=out.apart_bytes(work.piece, work.chunk.length)) for work in works)

    def _lying_there(self, pieces: Sequence[Piece]) -> Iterator[_Work]:
        return (replace(self._resident[piece.key], piece=piece) for piece in pieces)

    def _read(self, archive: Archive, stream: Stream, pieces: Sequence[Piece]) -> Iterator[_Work]:
        """The chunks of `pieces` as the CPU reads them, in order, a few ahead in threads. Raises CorruptArchive."""
        payloads = archive.payloads(stream, [piece.entry for piece in pieces])
        return ordered_map(
            lambda one: self._taken(archive, stream, one[0], *one[1]),
            zip(pieces, payloads, strict=True),
            min(_THREADS, len(pieces)),
        )

    def _taken(self, archive: Archive, stream: Stream, piece: Piece, entry: Entry, payload: bytes) -> _Work:
        """What the CPU reads of a chunk. Raises CorruptArchive."""
        record = entry.record
        codec = self._codec(archive, stream, record.segment, record.kind)
        taken = codec.take(payload, record.rows, record.token_counts)
        if taken.symbol_crc is not None:
            archive.check_symbols(stream, record, taken.symbol_crc)
        return _Work(piece, entry, codec, taken, taken.length * stream.spec.row_values)

    def _codec(self, archive: Archive, stream: Stream, segment: int, kind: int) -> DeviceCodec:
        def make() -> DeviceCodec:
            # one thread, so that bases are to the bit those of the CPU; of which stream is current every thread has
            # its own idea
            with one_blas_thread(), torch.cuda.stream(self._stream):
                return device_codec(archive.codec(stream, segment, kind), self._device)

        return self._codecs.get((stream.part, stream.number, segment, kind), make, lambda codec: codec.held_bytes)


class _InWork:
    """What the device is at: batches whose bytes together stay within the budget."""

    def __init__(self, device: torch.device, budget_bytes: int) -> None:
        self._device, self._budget_bytes = device, budget_bytes
        self._batches: deque[tuple[torch.cuda.Event, int]] = deque()

    @property
    def nbytes(self) -> int:
        """Of batches that have not been waited for."""
        return sum(bytes_ for _, bytes_ in self._batches)

    def make_room(self, size: int) -> None:
        """Wait until there is room for a batch of `size` bytes."""
        while self._batches and size + self.nbytes > self._budget_bytes:
            event, _ = self._batches.popleft()
            event.synchronize()

    def add(self, size: int) -> None:
        """A batch of `size` bytes has been started on the current stream. The CPU is done with it by now."""
        if self._device.type == "cuda":
            self._batches.append((torch.cuda.current_stream(self._device).record_event(), size))


class _Returning:
    """Bytes of rows that are on their way from the device: begun by threads one at a time, ended by another."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    @property
    def nbytes(self) -> int:
        return self.begun - self.ended


def _batches(works: Iterator[_Work], most_bytes: int) -> Iterator[list[_Work]]:
    """Chunks of one codec, as many as it wants to have together within so many bytes."""
    batch: list[_Work] = []
    size = 0
    for work in works:
        bytes_ = work.device_bytes
        fits = batch and work.codec is batch[0].codec and work.codec.together and size + bytes_ <= most_bytes
        if batch and not fits:
            yield batch
            batch, size = [], 0
        batch.append(work)
        size += bytes_
    if batch:
        yield batch
