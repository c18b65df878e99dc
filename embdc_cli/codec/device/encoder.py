"""Chunks of one segment encoded with transforms, search and rounding on a device, and packed there where Triton runs.

Chunks come in batches, of which a thread has one: it starts everything on the device up to the codes and the errors
that a decoder will make, chunk by chunk, then packs the codes of all together (`packing`), so that the host waits for
the device a few times for a batch. Where Triton does not run a batch is one chunk: its codes come back in as few bytes
as they fit, and the thread packs them while others use the device. Within a chunk only what is measured for its side
information (scales of tokens, tracks of a mixture) waits for the device.
A chunk is encoded by itself, in products of its own shape: on one machine and device its bytes are always the same,
whatever the batch, and wherever codes are packed. Those of the CPU differ where sums of float32 fall on the other side
of the edge between two codes.
Models are fitted by the CPU as ever. Of encoding there in one thread that is 43 % for 180 MB of tokens of a ViT at
effort 0, and coding chunks, for trials and for the archive, 48 %; at effort 1, for 15 MB, 69 % and 31 %.
Memory, for each of at most _AT_ONCE batches: up to 60 bytes on the device for each value of the chunk that it is at,
most of it for measuring errors; for a mixture the coefficients of tokens under all modes as well (`mixture_search`);
and codes, within its share of `budget_bytes`, or one chunk where that is more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

import numpy as np
import torch

from embdc_cli import dtypes
from embdc_cli.codec import exact_values
from embdc_cli.codec.chain import Chain, Parted
from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.chain import DeviceChain
from embdc_cli.codec.device.coders import narrowed
from embdc_cli.codec.device.distortion import measured
from embdc_cli.codec.device.forward import Measured
from embdc_cli.codec.device.forwards import all_forwards, forward_of
from embdc_cli.codec.device.packing import BYTES_PER_CHUNK, BYTES_PER_CODE, Ordered, Packed, packer_of
from embdc_cli.codec.device.precision import full_precision
from embdc_cli.codec.device.rows import put_exact, tokens_of, write_rows
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.stage import ChunkCodec, ChunkRows, CodedRows, Shape, Sides, TokenCounts
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.metrics import ErrorSums

_AT_ONCE: Final = 4
"""Batches on the device at once, whatever the number of threads and segments, so that its memory is bounded."""
_LEAST_BUDGET_BYTES: Final = 512 << 20
_SHARE_OF_DEVICE: Final = 8
"""An eighth of the memory of a device is for codes that wait to be packed side by side: many of them are fast."""
_MOST_CHUNKS: Final = 4096
"""Of a batch: half of what fills an H100 with rANS (`entropy.rans.cuda`)."""

_Seats = SimpleQueue[torch.cuda.Stream | None]
_seats: Final[dict[torch.device, _Seats]] = {}


def _some_seats(device: torch.device) -> _Seats:
    """A stream for each batch, None where there are none."""
    seats: _Seats = SimpleQueue()
    for _ in range(_AT_ONCE):
        seats.put(torch.cuda.Stream(device) if device.type == "cuda" else None)  # type: ignore[no-untyped-call]
    return seats


def device_encoder(codec: ChunkCodec, device: str) -> DeviceEncoder | None:
    """The codec on `device`, in torch's words; None where one of its stages is not run forwards there."""
    if not isinstance(codec, TransformCodec):
        return None
    if not all(all_forwards(models.chain.links) for models in codec.models.groups):
        return None
    return DeviceEncoder(codec, torch.device(device))


class DeviceEncoder:
    """A transform codec, its models uploaded. Threads may share it."""

    def __init__(self, codec: TransformCodec, device: torch.device) -> None:
        self._codec = codec
        if device.type == "cuda" and device.index is None:  # whatever is current in the threads
            device = torch.device("cuda", torch.cuda.current_device())
        self._device = device
        self._staging = Staging(device)
        self.budget_bytes = _LEAST_BUDGET_BYTES
        if device.type == "cuda":
            memory = torch.cuda.get_device_properties(device).total_memory
            self.budget_bytes = max(_LEAST_BUDGET_BYTES, memory // _SHARE_OF_DEVICE)
        upload = Upload(device)
        self._groups = [_Group(models.chain, upload, self._staging) for models in codec.models.groups]
        self._upload = upload
        self._seats = _seats.setdefault(device, _some_seats(device))  # atomic: the same for all threads
        if device.type == "cuda":  # what was uploaded is there, whatever stream it is used on
            torch.cuda.current_stream(device).synchronize()

    @property
    def held_bytes(self) -> int:
        """Of parameters on the device."""
        return self._upload.bytes

    def at_once(self, values: int) -> int:
        """How many chunks of so many values make a batch: 1 where their codes are packed by the CPU."""
        if not all(group.packer.together for group in self._groups):
            return 1
        return max(1, min(_MOST_CHUNKS, self.budget_bytes // _AT_ONCE // self._packing_bytes(values)))

    def _packing_bytes(self, values: int) -> int:
        """What the codes of a chunk of so many values have of the device at most, until they are packed."""
        models, spec = self._codec.models, self._codec.spec
        groups = zip(self._groups, models.layout.tokens, strict=True)
        codes = sum(_codes_per_row(group.chain, tokens, models.layout.fold) for group, tokens in groups)
        rows = -(-values // max(1, spec.row_values))
        return BYTES_PER_CODE * codes * rows + BYTES_PER_CHUNK * len(self._groups)

    def code(self, chunks: Sequence[ChunkRows]) -> list[CodedRows]:
        """The coded chunks. Errors as of `ChunkCodec.encode`."""
        coded: list[CodedRows] = []
        for batch in self._batches(chunks):
            coded += self._coded(batch)
        return coded

    def _batches(self, chunks: Sequence[ChunkRows]) -> Iterator[list[ChunkRows]]:
        """Such that each fits its share of the budget."""
        batch: list[ChunkRows] = []
        size = 0
        for chunk in chunks:
            own = self._packing_bytes(chunk.values)
            most = self.at_once(chunk.values)
            if batch and (len(batch) >= most or size + own > self.budget_bytes // _AT_ONCE):
                yield batch
                batch, size = [], 0
            batch.append(chunk)
            size += own
        if batch:
            yield batch

    def _coded(self, chunks: Sequence[ChunkRows]) -> list[CodedRows]:
        """The chunks of a batch; nothing of it stays on the device."""
        with self._working():
            started = [self._started(chunk) for chunk in chunks]
            wanted = [[*one.wanted, *(known for own in one.codes for known in own.known)] for one in started]
            fetched = [iter(one) for one in self._fetched(wanted)]
            sums = [self._checked(*pair) for pair in zip(chunks, fetched, strict=True)]
            packed = []
            for number, group in enumerate(self._groups):
                codes = [one.codes[number] for one in started]
                known = [[next(of_chunk) for _ in own.known] for own, of_chunk in zip(codes, fetched, strict=True)]
                sides = [group.chain.last_side(one.sides[number]) for one in started]
                packed.append(group.packer.packed(codes, known, sides))
        return [self._joined(one, own, its) for one, its, *own in zip(started, sums, *packed, strict=True)]

    def _fetched(self, wanted: Sequence[list[torch.Tensor]]) -> list[list[np.ndarray]]:
        """What is wanted of every chunk; of a single one it may be large, and is not put together first."""
        fetch = self._staging.fetched if len(wanted) == 1 else self._staging.fetched_together
        found = iter(fetch([tensor for one in wanted for tensor in one]))
        return [[next(found) for _ in one] for one in wanted]

    def _checked(self, chunk: ChunkRows, fetched: Iterator[np.ndarray]) -> ErrorSums:
        """The errors of a chunk. Raises SourceError for one with values that are not finite and not kept."""
        finite, cosine, channel_sse = (next(fetched) for _ in range(3))
        if not self._codec.models.keeps_values and not finite:
            exact_values.refuse(chunk.read(), self._codec.spec)
        return self._sums(cosine, channel_sse)

    def _started(self, chunk: ChunkRows) -> _Started:
        """A chunk on its way: its codes in order, and the errors of what they decode to."""
        rows, models = chunk.read(), self._codec.models
        coded_rows, record = rows, b""
        if models.keeps_values:
            if not models.nonfinite_keep:
                exact_values.refuse(rows, self._codec.spec)
            coded_rows, record = exact_values.take_out(rows, self._codec.spec, padding=models.padding)
        there, given = self._rows_there(rows, coded_rows)
        known = chunk.sides or (None,) * len(self._groups)
        groups = zip(self._groups, tokens_of(given, models.layout), known, strict=True)
        quantised = [group.quantised(tokens, side) for group, tokens, side in groups]
        errors = self._errors(there, [one.codes for one in quantised], [one.besides for one in quantised], record)
        ordered = [group.packer.ordered(one.codes) for group, one in zip(self._groups, quantised, strict=True)]
        sides = tuple(one.sides for one in quantised)
        return _Started(sides, ordered, [there.isfinite().all(), *errors], record)

    def _joined(self, one: _Started, packed: Sequence[Packed], sums: ErrorSums) -> CodedRows:
        out, crc = FieldWriter(), 0
        if self._codec.models.keeps_values:
            out.blob(one.record)
        for group, sides, own in zip(self._groups, one.sides, packed, strict=True):
            out.blob(group.chain.framed(sides, own.data()))
            crc = own.crc_behind(crc)
        return CodedRows(out.bytes(), crc, sums, one.sides)

    def measure(self, rows: np.ndarray, payload: bytes, count: int, token_counts: TokenCounts | None) -> ErrorSums:
        """The errors of a payload that `code` gave for these `count` rows: the same sums."""
        parts, record = self._codec.part(payload, count, token_counts)
        with self._working():
            there, _ = self._rows_there(rows, rows)
            decoded = [group.decoded(part) for group, part in zip(self._groups, parts, strict=True)]
            codes, besides = zip(*decoded, strict=True)
            return self._sums(*self._staging.fetched(self._errors(there, codes, besides, record)))

    @contextmanager
    def _working(self) -> Iterator[None]:
        """One of the batches on the device: on a stream of its own, in full precision, this device the current one."""
        stream = self._seats.get()
        try:
            on_device = torch.cuda.device(self._staging.device_index)
            with full_precision(self._device), on_device, torch.cuda.stream(stream):
                yield
        finally:
            self._seats.put(stream)

    def _rows_there(self, rows: np.ndarray, coded_rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Both on the device, in the type that they are of."""
        arrays = [rows] if coded_rows is rows else [rows, coded_rows]
        there = [one.view(getattr(torch, self._codec.spec.dtype)) for one in self._staging.copied(arrays)]
        return there[0], there[-1]

    def _errors(
        self,
        rows: torch.Tensor,
        codes: Sequence[torch.Tensor],
        besides: Sequence[Sequence[Beside]],
        record: bytes,
    ) -> list[torch.Tensor]:
        """What a decoder makes of these codes, against the rows."""
        groups = zip(self._groups, codes, besides, strict=True)
        tokens = [group.backwards.tokens(own, beside) for group, own, beside in groups]
        decoded = torch.empty_like(rows)
        write_rows(tokens, self._codec.models.layout, decoded)
        if record:
            width = dtypes.item_bytes(self._codec.spec.dtype)
            positions, patterns = exact_values.read(record, rows.numel(), width)
            put_exact(decoded, *self._staging.copied([positions, patterns.view(f"<i{width}")]))
        return measured(rows, decoded, self._codec.spec)

    def _sums(self, cosine: np.ndarray, channel_sse: np.ndarray) -> ErrorSums:
        sums = ErrorSums(self._codec.spec.channels)
        sums.take(cosine, channel_sse)
        return sums


def _codes_per_row(chain: Chain, tokens: int, channels: int) -> int:
    """Codes of a row of so many tokens, at most."""
    shape: Shape = (1, tokens, channels)
    for link in chain.links:
        if isinstance(link, Mixture):
            return tokens * max(mode.rank for mode in link.modes)
        shape = link.shape(shape, b"")
    return int(np.prod(shape))


@dataclass(frozen=True)
class _Quantised:
    """A token group on the device. besides: for its inverses, last stage first."""

    codes: torch.Tensor
    sides: tuple[bytes, ...]
    besides: list[Beside]


@dataclass(frozen=True)
class _Started:
    """A chunk on the device. sides, codes: of every token group; wanted: whether all is finite, and its errors."""

    sides: Sides
    codes: list[Ordered]
    wanted: list[torch.Tensor]
    record: bytes


class _Group:
    """The chain of a token group, forwards and backwards. packer: of its coder, on the device or on the CPU."""

    def __init__(self, chain: Chain, upload: Upload, staging: Staging) -> None:
        self.chain = chain
        self.backwards = DeviceChain(chain, upload)
        self._forwards = [forward_of(stage, upload, staging) for stage in chain.links]
        self._staging = staging
        self.packer = packer_of(chain.coder, staging)

    def quantised(self, x: torch.Tensor, known: tuple[bytes, ...] | None) -> _Quantised:
        """Codes of tokens (F, N, D), and side information; known: as of `Chain.encode`."""
        takes, besides = dict(self.backwards.takes), {}
        sides: list[bytes] = []
        for number, (stage, forward) in enumerate(zip(self.chain.links, self._forwards, strict=True)):
            found = Measured(b"" if known is None else known[number])
            if known is None and stage.has_side:
                found = forward.measure(x)
            sides.append(found.side)
            side, shape = self.chain.side_at(number, sides), tuple(x.shape)
            besides[number] = self._there(takes[number](side, shape)) if number in takes else Beside()
            if found.given is None:
                own = besides[number] if forward.take is None else self._there(forward.take(side, shape))
                x = forward.run(x, own)
            else:
                x = found.given
        return _Quantised(x, tuple(sides), [besides[number] for number in takes])

    def decoded(self, parted: Parted) -> tuple[torch.Tensor, list[Beside]]:
        """The codes of a chunk that is packed, on the device, and what goes with them."""
        codes = narrowed(self.chain.coder.decode(parted.codes, parted.shapes[-1], parted.known[-1]))
        takes = self.backwards.takes
        besides = [self._there(take(parted.known[number], parted.shapes[number])) for number, take in takes]
        return self._staging.copied([codes])[0], besides

    def _there(self, taken: Taken) -> Beside:
        return Beside(tuple(self._staging.copied(taken.arrays)) if taken.arrays else (), taken.facts)
