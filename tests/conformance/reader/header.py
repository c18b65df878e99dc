"""HEAD: what a reader has to know of it, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tests.conformance.reader.errors import Unsupported, check
from tests.conformance.reader.pages import limit

WIDTHS = {
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "bool": 1,
    "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip
"""Bytes of the element types."""

VERSIONS = (0, 1)
"""Of the format."""

_CAPS = {
    "max_chunk_bytes": "MAX_PAYLOAD_BYTES",
    "max_chunk_rows": "CAP_CHUNK_ROWS",
    "max_chunk_values": "CAP_CHUNK_VALUES",
    "max_rank": "CAP_RANK",
    "max_modes": "CAP_MODES",
    "max_group": "CAP_GROUP",
}


@dataclass(frozen=True)
class Stream:
    """A stream as the header has it."""

    item: int
    name: str
    dtype: str
    axes: tuple[str, ...]
    row_shape: tuple[int, ...]
    rows: int | None
    special_tokens: int
    ragged: bool
    timed: bool

    @property
    def row_values(self) -> int:
        """Of a row, or of a token where they are ragged."""
        return math.prod(self.row_shape)

    @property
    def has_rows(self) -> bool:
        return self.axes[0] == "t"

    @property
    def channel_axis(self) -> int:
        """Among the axes of a row."""
        names = self.axes[self.has_rows :]
        if "c" in names and len(names) == len(self.row_shape):
            return names.index("c")
        return max(0, len(self.row_shape) - 1)


@dataclass(frozen=True)
class Header:
    version: int
    streams: tuple[Stream, ...]
    timebases: tuple[tuple[int, int] | None, ...]
    clocks: tuple[int, ...]
    limits: dict[str, int]


def header_of(head: dict[str, Any]) -> Header:
    """The header. Raises Unsupported for what a later version may have."""
    major = _numbers(head, "version")[0]
    if major not in VERSIONS or head.get("min_reader", 0) > 0 or head.get("features"):
        raise Unsupported(f"format version {major}, reader level {head.get('min_reader')}, {head.get('features')}")
    items = _objects(head, "items")
    check(1 <= len(items) <= limit("MAX_ITEMS"), "no items, or too many")
    streams = tuple(_stream(one, len(items)) for one in _objects(head, "streams"))
    check(len(streams) <= limit("MAX_STREAMS"), "too many streams")
    check(len({(one.item, one.name) for one in streams}) == len(streams), "two streams of one name")
    limits = head.get("limits")
    check(isinstance(limits, dict), "limits")
    assert isinstance(limits, dict)
    for name, cap in _CAPS.items():
        check(isinstance(limits.get(name), int) and limits[name] >= 0, f"limits: {name}")
        if limits[name] > limit(cap):
            raise Unsupported(f"limits: {name} of {limits[name]}")
    timebases: list[tuple[int, ...] | None] = []
    clocks: list[int] = []
    for item in items:
        timebase = tuple(_numbers(item, "timebase")) if "timebase" in item else None
        check(timebase is None or (len(timebase) == 2 and all(timebase)), "timebase")
        timebases.append(timebase)
        clocks.append(_clock(item, clocks, timebases))
    return Header(major, streams, tuple(timebases), tuple(clocks), limits)  # type: ignore[arg-type]  # pairs, as checked


def _clock(item: dict[str, Any], clocks: list[int], timebases: list[tuple[int, ...] | None]) -> int:
    """The item from whose first row times count: itself, or one before it."""
    own = len(clocks)
    found = item.get("clock", own)
    check(type(found) is int and 0 <= found <= own and ("clock" not in item or found < own), "clock of an item")
    check(
        found == own or (clocks[found] == found and None not in (timebases[found], timebases[own])), "clock of another"
    )
    return int(found)


def _stream(one: dict[str, Any], items: int) -> Stream:
    if one.get("dtype") not in WIDTHS:
        raise Unsupported(f"element type {one.get('dtype')}")
    shape = tuple(_numbers(one, "row_shape"))
    check(len(shape) <= limit("MAX_RANK") and max(shape, default=0) <= limit("MAX_DIMENSION"), "shape of a row")
    name = one.get("name")
    check(isinstance(name, str) and 1 <= len(name.encode()) <= limit("MAX_NAME_BYTES"), "name of a stream")
    check(0 <= one.get("item", 0) < items, "a stream of no item")
    return Stream(
        item=one.get("item", 0),
        name=str(name),
        dtype=one["dtype"],
        axes=tuple(one["axes"].split(",")),
        row_shape=shape,
        rows=one.get("rows"),
        special_tokens=one.get("special_tokens", 0),
        ragged=one.get("ragged", False),
        timed=one.get("timed", False),
    )


def _objects(head: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = head.get(name)
    check(isinstance(found, list) and all(isinstance(one, dict) for one in found), f"{name}: no list of objects")
    assert isinstance(found, list)
    return found


def _numbers(head: dict[str, Any], name: str) -> list[int]:
    found = head.get(name)
    check(
        isinstance(found, list) and all(type(one) is int and one >= 0 for one in found), f"{name}: no list of numbers"
    )
    assert isinstance(found, list)
    return found
