"""The inputs of training: opened, checked to belong together, and split into what is trained on and what is held out.

A unit is what must not be on both sides of the split: a video with all its streams, or one tensor of a file that
holds many. Units are held out whole; only a single unit is split by rows, and that is said to be prone to leakage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codebook.identity import Identity, describe, identity, same_encoder
from embdc_cli.codec.layout import Layout
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.values import Dump, StreamSpec, Tensor

CHUNK_ROWS = 64  # the default --chunk-frames
_CHUNK_TOKENS = 8192  # single-vector rows come in larger chunks
CHUNK_VALUES = 1 << 23

Chunk = tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """Rows [start, stop) of another tensor, as a tensor."""

    tensor: Tensor
    start: int
    stop: int

    @property
    def spec(self) -> StreamSpec:
        return replace(self.tensor.spec, rows=self.stop - self.start)

    @property
    def token_counts(self) -> np.ndarray | None:
        counts = self.tensor.token_counts
        return None if counts is None else counts[self.start : self.stop]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.tensor.read(self.start + start, self.start + stop)


@dataclass
class Corpus:
    """Training and held-out streams, all of `channels` channels and one encoder.

    lossy: some were decoded from lossy archives, so their coefficients are not what an encoder will see.
    """

    channels: int
    encoder: Identity | None
    train: list[Tensor]
    heldout: list[Tensor]
    lossy: bool = False
    warnings: list[str] = field(default_factory=list)


def assemble(names: Sequence[str], dumps: Sequence[Dump], *, holdout: float, seed: int) -> Corpus:
    """The corpus of opened inputs; `names` are for messages only.

    holdout: share of the units kept for the report, at least one where there are two.
    Raises: UsageError when channels or encoders differ, SourceError when there is nothing to train on.
    """
    warnings: list[str] = []
    units: list[list[Tensor]] = []
    found: dict[int, str] = {}
    for name, dump in zip(names, dumps, strict=True):
        floats = [tensor for tensor in dump.tensors if _is_embedding(tensor, dump)]
        if len(floats) < len(dump.tensors):
            left_out = len(dump.tensors) - len(floats)
            warnings.append(f"{name}: {left_out} of {len(dump.tensors)} tensors hold no embeddings")
        together = [tensor for tensor in floats if tensor.spec.name in dump.timed_streams]
        units += [together] if together else []
        units += [[tensor] for tensor in floats if tensor.spec.name not in dump.timed_streams]
        for tensor in floats:
            found.setdefault(channels_of(tensor.spec), f"{channels_of(tensor.spec)} in {name}")
    if len(found) > 1:
        raise UsageError(
            f"train-codebook: inputs have different channels: {', '.join(found.values())}",
            hint="one codebook serves one encoder: train one for each; --key picks a tensor of a file",
        )
    if not units:
        raise SourceError("train-codebook: the inputs hold no embeddings")
    train, heldout = _split(units, holdout, seed, warnings)
    lossy = any(dump.source.get("lossy") for dump in dumps)
    if lossy:
        warnings.append("lossy archives among the inputs: a basis only, no tables; original embeddings teach more")
    return Corpus(next(iter(found)), _one_encoder(names, dumps), train, heldout, lossy, warnings)


def _is_embedding(tensor: Tensor, dump: Dump) -> bool:
    spec = tensor.spec
    return spec.dtype in dtypes.FLOATS and spec.name not in dump.exact_streams and tokens_in(tensor) > 0


def layout_of(spec: StreamSpec) -> Layout:
    """How the codec sees rows as tokens, in plain units."""
    return Layout.of(spec, largest=1.0)


def channels_of(spec: StreamSpec) -> int:
    """D of those tokens."""
    return layout_of(spec).fold


def tokens_in(tensor: Tensor, start: int = 0, stop: int | None = None) -> int:
    """Tokens in rows [start, stop), special ones included."""
    spec = tensor.spec
    stop = spec.known_rows if stop is None else stop
    rows = stop - start if tensor.token_counts is None else int(tensor.token_counts[start:stop].sum())
    return rows * sum(layout_of(spec).tokens) if channels_of(spec) else 0


def chunks_of(tensor: Tensor) -> list[Chunk]:
    """Row ranges of whole chunks: CHUNK_ROWS rows or more, as long as they are small."""
    spec = tensor.spec
    rows = max(1, spec.known_rows)
    per_row = max(1, tokens_in(tensor) // rows)
    count = max(CHUNK_ROWS, _CHUNK_TOKENS // per_row)
    count = max(1, min(count, CHUNK_VALUES // (per_row * channels_of(spec))))
    return [(start, min(start + count, rows)) for start in range(0, rows, count)]


def read_tokens(tensor: Tensor, chunk: Chunk) -> np.ndarray:
    """(n, D) float32: the tokens of a chunk without special ones, which are coded apart.

    Raises: SourceError for NaN and infinities.
    """
    spec = tensor.spec
    layout = layout_of(spec)
    patches = layout.split(tensor.read(*chunk))[-1]
    tokens = patches.reshape(-1, layout.fold)
    if not np.isfinite(tokens).all():
        raise SourceError(
            f"stream {spec.name!r}: NaN or infinity in rows {chunk[0]} to {chunk[1] - 1}, expected finite values",
            hint="leave this input out, or repair it",
        )
    return tokens


def sample_chunks(tensors: Sequence[Tensor], tokens: int, seed: int) -> list[tuple[Tensor, list[Chunk]]]:
    """Whole chunks of `tensors` with at least `tokens` tokens in all, or everything; drawn by `seed`, in file order."""
    places = [(i, chunk) for i, tensor in enumerate(tensors) for chunk in chunks_of(tensor)]
    order = sorted(range(len(places)), key=lambda place: _draw(seed, "chunk", place))
    kept: set[int] = set()
    total = 0
    for place in order:
        if total >= tokens:
            break
        i, chunk = places[place]
        total += tokens_in(tensors[i], *chunk)
        kept.add(place)
    chosen: list[tuple[Tensor, list[Chunk]]] = [(tensor, []) for tensor in tensors]
    for place in sorted(kept):
        i, chunk = places[place]
        chosen[i][1].append(chunk)
    return [(tensor, chunks) for tensor, chunks in chosen if chunks]


def _split(
    units: list[list[Tensor]], holdout: float, seed: int, warnings: list[str]
) -> tuple[list[Tensor], list[Tensor]]:
    if not 0 <= holdout < 1:
        raise UsageError(f"--holdout: expected a share from 0 to below 1, found {holdout:g}")
    if holdout == 0:
        return [tensor for unit in units for tensor in unit], []
    if len(units) == 1:
        return _split_rows(units[0], holdout, warnings)
    order = sorted(range(len(units)), key=lambda unit: _draw(seed, "unit", unit))
    held = set(order[: max(1, min(round(holdout * len(units)), len(units) - 1))])
    train = [tensor for i, unit in enumerate(units) if i not in held for tensor in unit]
    return train, [tensor for i, unit in enumerate(units) if i in held for tensor in unit]


def _split_rows(unit: list[Tensor], holdout: float, warnings: list[str]) -> tuple[list[Tensor], list[Tensor]]:
    """The last rows of the only input held out, where it has at least two."""
    train: list[Tensor] = []
    heldout: list[Tensor] = []
    for tensor in unit:
        rows = tensor.spec.known_rows
        cut = rows - max(1, round(holdout * rows)) if rows > 1 else rows
        train.append(Rows(tensor, 0, cut))
        if cut < rows:
            heldout.append(Rows(tensor, cut, rows))
    warnings.append(
        "one input: its last rows are held out; they resemble the rest, so the report flatters the codebook"
    )
    return train, heldout


def _one_encoder(names: Sequence[str], dumps: Sequence[Dump]) -> Identity | None:
    """The encoder all inputs name, None when none does. Raises UsageError for two, or for a part without one."""
    known = [(name, identity(dump.encoder)) for name, dump in zip(names, dumps, strict=True)]
    first_name, first = known[0]
    for name, other in known[1:]:
        same = first == other if first is None or other is None else same_encoder(first, other)
        if not same:
            raise UsageError(
                f"train-codebook: inputs come from different encoders: {describe(first)} in {first_name}, "
                f"{describe(other)} in {name}",
                hint="one codebook serves one encoder: train one for each",
            )
    return first


def _draw(seed: int, what: str, number: int) -> bytes:
    """A key to sort by that is random but the same in every version of every library."""
    return hashlib.sha256(f"{seed} {what} {number}".encode()).digest()
