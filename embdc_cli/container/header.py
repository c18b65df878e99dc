"""What an archive says before its first row: items, streams, recipe, limits; stored as canonical JSON in HEAD.

Keys with a default value are left out, so that small archives stay small. Unknown keys are ignored.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from embdc_cli import dtypes
from embdc_cli.container import canonical, spec
from embdc_cli.container.checked import Fields
from embdc_cli.container.framing import check_version
from embdc_cli.errors import CorruptArchive, UnsupportedArchive

_WHAT = "archive header"


@dataclass(frozen=True)
class ItemHeader:
    """One video or dump. name: None unless recorded on request; timebase: seconds per tick as (numerator, denominator).

    source: what is known of the input before its first row; encoder: who made the embeddings.
    clock: number of an item before it with which it shares the beginning of time, None where its first row is that.
    """

    name: str | None
    source: dict[str, Any]
    encoder: dict[str, Any] | None
    timebase: tuple[int, int] | None
    clock: int | None = None

    @property
    def timed(self) -> bool:
        """Whether rows can have times."""
        return self.timebase is not None


@dataclass(frozen=True)
class StreamHeader:
    """One named tensor of item number `item`; fields as in `values.StreamSpec`.

    rows: None when not known before the first row. codec: name, for people. timed: shares the item's timeline.
    """

    item: int
    name: str
    dtype: str
    axes: str
    row_shape: tuple[int, ...]
    rows: int | None
    codec: str
    special_tokens: int = 0
    ragged: bool = False
    timed: bool = False

    @property
    def row_values(self) -> int:
        """Values in one row; in one token when ragged."""
        return math.prod(self.row_shape)


@dataclass(frozen=True)
class Limits:
    """Bounds on what decoding one DATA chunk costs; a chunk or model beyond them is corrupt."""

    max_chunk_bytes: int = spec.DEFAULT_CHUNK_BYTES
    max_chunk_rows: int = spec.CAP_CHUNK_ROWS
    max_chunk_values: int = spec.CAP_CHUNK_VALUES
    max_rank: int = spec.CAP_RANK
    max_modes: int = spec.CAP_MODES
    max_group: int = spec.CAP_GROUP


_CAPS = {
    "max_chunk_bytes": spec.MAX_PAYLOAD_BYTES,
    "max_chunk_rows": spec.CAP_CHUNK_ROWS,
    "max_chunk_values": spec.CAP_CHUNK_VALUES,
    "max_rank": spec.CAP_RANK,
    "max_modes": spec.CAP_MODES,
    "max_group": spec.CAP_GROUP,
}


@dataclass(frozen=True)
class Header:
    """The header of one part.

    version: of the part as it was read; what is written is of the present one.
    """

    items: tuple[ItemHeader, ...]
    streams: tuple[StreamHeader, ...]
    recipe: dict[str, Any]
    input_head_digest: str
    target: dict[str, Any]
    codec: dict[str, Any]
    limits: Limits = Limits()
    features: tuple[str, ...] = ()
    min_reader: int = 0
    version: int = spec.MAJOR

    @cached_property
    def recipe_digest(self) -> str:
        """`recipe_digest` of the recipe, beside which it is not stored."""
        return recipe_digest(self.recipe)

    def to_payload(self) -> bytes:
        """The JSON of HEAD. Raises: UsageError when it is too large or names something no reader accepts."""
        document = {
            "version": [spec.MAJOR, spec.MINOR],
            "min_reader": self.min_reader,
            "features": list(self.features),
            "items": [_item_to_json(item) for item in self.items],
            "streams": [_stream_to_json(stream) for stream in self.streams],
            "recipe": self.recipe,
            "input_head_digest": self.input_head_digest,
            "target": self.target,
            "codec": self.codec,
            "limits": {one.name: getattr(self.limits, one.name) for one in fields(Limits)},
        }
        return canonical.dumps(document, _WHAT)

    @staticmethod
    def from_payload(payload: bytes) -> Header:
        """The header in the JSON of HEAD. Raises: CorruptArchive; UnsupportedArchive when it needs a newer reader."""
        top = Fields(canonical.loads(payload, _WHAT), _WHAT)
        version = _version(top)
        items = tuple(_item_from_json(item) for item in top.objects("items", 1, spec.MAX_ITEMS))
        _check_clocks(items)
        streams = tuple(_stream_from_json(stream, len(items)) for stream in top.objects("streams", 0, spec.MAX_STREAMS))
        names = {(stream.item, stream.name) for stream in streams}
        if len(names) != len(streams):
            raise CorruptArchive(f"{_WHAT}: two streams of one item have the same name")
        return Header(
            items=items,
            streams=streams,
            recipe=top.mapping("recipe"),
            input_head_digest=top.text("input_head_digest", 0, 128),
            target=top.mapping("target"),
            codec=top.mapping("codec"),
            limits=_limits_from_json(top.object("limits")),
            features=top.texts("features"),
            min_reader=top.integer("min_reader", 0, 1 << 16),
            version=version,
        )


def recipe_digest(recipe: dict[str, Any]) -> str:
    """sha256 of the recipe's canonical JSON, in hex."""
    return hashlib.sha256(canonical.dumps(recipe, "recipe")).hexdigest()


def _version(top: Fields) -> int:
    """The major version. Raises: UnsupportedArchive for one, a reader level, or a feature that is unknown here."""
    major, minor = (*top.integers("version", 255), 0, 0)[:2]
    check_version(major, minor, "archive")
    needed = top.integer("min_reader", 0, 1 << 16)
    if needed > spec.READER_LEVEL:
        raise UnsupportedArchive(
            f"archive: needs reader level {needed}, this embdc has {spec.READER_LEVEL}", hint="use a newer embdc"
        )
    unknown = [feature for feature in top.texts("features") if feature not in spec.FEATURES]
    if unknown:
        raise UnsupportedArchive(f"archive: needs feature {unknown[0]!r}, unknown here", hint="use a newer embdc")
    return int(major)


def _item_to_json(item: ItemHeader) -> dict[str, Any]:
    document: dict[str, Any] = {"source": item.source}
    if item.name is not None:
        document["name"] = item.name
    if item.encoder is not None:
        document["encoder"] = item.encoder
    if item.timebase is not None:
        document["timebase"] = list(item.timebase)
    if item.clock is not None:
        document["clock"] = item.clock
    return document


def _check_clocks(items: tuple[ItemHeader, ...]) -> None:
    """Nothing, where every clock is that of an item with times before it that has none of another."""
    for number, item in enumerate(items):
        if item.clock is None:
            continue
        if item.clock >= number or not item.timed or not items[item.clock].timed or items[item.clock].clock is not None:
            raise CorruptArchive(f"{_WHAT}: item {number} cannot go by the clock of item {item.clock}")


def _item_from_json(item: Fields) -> ItemHeader:
    timebase = item.integers("timebase", (1 << 31) - 1) if "timebase" in item else None
    if timebase is not None and (len(timebase) != 2 or 0 in timebase):
        raise CorruptArchive(f"{item.what}: timebase, expected two positive integers, found {timebase}")
    return ItemHeader(
        name=item.text("name", 0, spec.MAX_NAME_BYTES) if "name" in item else None,
        source=item.mapping("source"),
        encoder=item.mapping("encoder") if "encoder" in item else None,
        timebase=None if timebase is None else (timebase[0], timebase[1]),
        clock=item.integer("clock", 0, spec.MAX_ITEMS) if "clock" in item else None,
    )


def _stream_to_json(stream: StreamHeader) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": stream.name,
        "dtype": stream.dtype,
        "axes": stream.axes,
        "row_shape": list(stream.row_shape),
        "codec": stream.codec,
    }
    for key, default in (("item", 0), ("rows", None), ("special_tokens", 0), ("ragged", False), ("timed", False)):
        if getattr(stream, key) != default:
            document[key] = getattr(stream, key)
    return document


def _stream_from_json(stream: Fields, items: int) -> StreamHeader:
    shape = stream.integers("row_shape", spec.MAX_DIMENSION)
    dtype = stream.text("dtype", 1, 32)
    if dtype not in dtypes.STORAGE:
        raise UnsupportedArchive(f"{stream.what}: dtype {dtype!r} is unknown here", hint="use a newer embdc")
    if len(shape) > spec.MAX_RANK:
        raise CorruptArchive(f"{stream.what}: expected at most {spec.MAX_RANK} axes, found {len(shape)}")
    return StreamHeader(
        item=stream.integer("item", 0, items - 1, default=0),
        name=stream.text("name", 1, spec.MAX_NAME_BYTES),
        dtype=dtype,
        axes=stream.text("axes", 0, spec.MAX_RANK + 1),
        row_shape=tuple(shape),
        rows=stream.integer("rows", 0, spec.MAX_ROWS) if "rows" in stream else None,
        codec=stream.text("codec", 1, 64),
        special_tokens=stream.integer("special_tokens", 0, spec.MAX_DIMENSION, default=0),
        ragged=stream.flag("ragged"),
        timed=stream.flag("timed"),
    )


def _limits_from_json(limits: Fields) -> Limits:
    values = {name: limits.integer(name, 0, (1 << 63) - 1) for name in _CAPS}
    for name, cap in _CAPS.items():
        if values[name] > cap:
            raise UnsupportedArchive(
                f"{limits.what}: {name}, expected at most {cap}, found {values[name]}", hint="use a newer embdc"
            )
    return Limits(**values)
