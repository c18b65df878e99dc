"""Chunks of one segment encoded with transforms, search and rounding on a device; their codes are packed by the CPU.

A thread has one chunk: it starts everything on the device up to the codes and the errors that a decoder will make,
waits for these, and packs the codes. Several threads keep the device at work, while others pack. Within a chunk only
what is measured for its side information (scales of tokens, tracks of a mixture) waits for the device.
A chunk is encoded by itself, in products of its own shape: on one machine and device its bytes are always the same.
Those of the CPU differ where sums of float32 fall on the other side of the edge between two codes.
Models are fitted by the CPU as ever. Of encoding there in one thread that is 43 % for 180 MB of tokens of a ViT at
effort 0, and coding chunks, for trials and for the archive, 48 %; at effort 1, for 15 MB, 69 % and 31 %.
Memory: up to 60 bytes on the device for each value of at most _AT_ONCE chunks of the process, most of it for measuring
errors; for a mixture the coefficients of tokens under all modes as well (`mixture_search`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Final

import numpy as np
import torch

from embdc_cli import dtypes
from embdc_cli.codec import exact_values
from embdc_cli.codec.chain import Chain, Coded, Parted
from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.chain import DeviceChain
from embdc_cli.codec.device.coders import narrowed
from embdc_cli.codec.device.distortion import measured
from embdc_cli.codec.device.forward import Measured
from embdc_cli.codec.device.forwards import all_forwards, forward_of
from embdc_cli.codec.device.narrow import Narrow
from embdc_cli.codec.device.precision import full_precision
from embdc_cli.codec.device.rows import put_exact, tokens_of, write_rows
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.stage import ChunkCodec, CodedRows, Sides, TokenCounts
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.metrics import ErrorSums

_AT_ONCE: Final = 4
"""Chunks on a device at once, whatever the number of threads and segments, so that its memory is bounded."""

_seats: Final[dict[torch.device, BoundedSemaphore]] = {}


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
        self._seats = _seats.setdefault(device, BoundedSemaphore(_AT_ONCE))  # atomic: one for all threads
        upload = Upload(device)
        self._groups = [_Group(models.chain, upload, self._staging) for models in codec.models.groups]
        self._upload = upload

    @property
    def held_bytes(self) -> int:
        """Of parameters on the device."""
        return self._upload.bytes

    def code(self, rows: np.ndarray, token_counts: TokenCounts | None = None, sides: Sides = ()) -> CodedRows:
        """The coded chunk of rows in storage dtype. Arguments and errors as of `ChunkCodec.encode`."""
        models, spec = self._codec.models, self._codec.spec
        coded_rows, record = rows, b""
        if models.keeps_values:
            if not models.nonfinite_keep:
                exact_values.refuse(rows, spec)
            coded_rows, record = exact_values.take_out(rows, spec, padding=models.padding)
        coded, sums = self._on_device(rows, coded_rows, record, sides)
        out, crc = FieldWriter(), 0
        if models.keeps_values:
            out.blob(record)
        for group, part in zip(self._groups, coded, strict=True):
            out.blob(group.chain.pack(part))
            crc = zlib.crc32(np.ascontiguousarray(part.codes, "<i4").data, crc)
        return CodedRows(out.bytes(), crc, sums, tuple(part.sides for part in coded))

    def _on_device(
        self, rows: np.ndarray, coded_rows: np.ndarray, record: bytes, sides: Sides
    ) -> tuple[list[Coded], ErrorSums]:
        """The codes of every token group, and the errors of what they decode to; nothing of it stays on the device."""
        models = self._codec.models
        with self._working():
            there, given = self._rows_there(rows, coded_rows)
            known = sides or (None,) * len(self._groups)
            groups = zip(self._groups, tokens_of(given, models.layout), known, strict=True)
            quantised = [group.quantised(tokens, side) for group, tokens, side in groups]
            wanted = [tensor for one in quantised for tensor in one.narrowed]
            wanted += self._errors(there, [one.codes for one in quantised], [one.besides for one in quantised], record)
            finite, *fetched = self._staging.fetched([there.isfinite().all(), *wanted])
            if not models.keeps_values and not finite:
                exact_values.refuse(rows, self._codec.spec)
            coded = [
                group.coded(one, fetched[2 * at : 2 * at + 2])
                for at, (group, one) in enumerate(zip(self._groups, quantised, strict=True))
            ]
        return coded, self._sums(*fetched[-2:])

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
        """One of the chunks on the device: in full precision, also for what asks which device is the current one."""
        with self._seats, full_precision(self._device), torch.cuda.device(self._staging.device_index):
            yield

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


@dataclass(frozen=True)
class _Quantised:
    """A token group on the device. narrowed: its codes, to be fetched. besides: for its inverses, last stage first."""

    codes: torch.Tensor
    narrowed: list[torch.Tensor]
    sides: tuple[bytes, ...]
    besides: list[Beside]


class _Group:
    """The chain of a token group, forwards and backwards."""

    def __init__(self, chain: Chain, upload: Upload, staging: Staging) -> None:
        self.chain = chain
        self.backwards = DeviceChain(chain, upload)
        self._forwards = [forward_of(stage, upload, staging) for stage in chain.links]
        self._staging = staging
        self._narrow = Narrow()

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
        return _Quantised(x, self._narrow.started(x), tuple(sides), [besides[number] for number in takes])

    def coded(self, one: _Quantised, fetched: list[np.ndarray]) -> Coded:
        """The codes on the CPU."""
        return Coded(self._narrow.ended(one.codes, fetched, self._staging), one.sides)

    def decoded(self, parted: Parted) -> tuple[torch.Tensor, list[Beside]]:
        """The codes of a chunk that is packed, on the device, and what goes with them."""
        codes = narrowed(self.chain.coder.decode(parted.codes, parted.shapes[-1], parted.known[-1]))
        takes = self.backwards.takes
        besides = [self._there(take(parted.known[number], parted.shapes[number])) for number, take in takes]
        return self._staging.copied([codes])[0], besides

    def _there(self, taken: Taken) -> Beside:
        return Beside(tuple(self._staging.copied(taken.arrays)) if taken.arrays else (), taken.facts)
