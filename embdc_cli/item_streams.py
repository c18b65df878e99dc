"""Which streams belong to an item, and what they are called.

What lies beside an item (`encode --add`) is in the file an item of its own, which goes by the clock of the other. To
users it is a stream of that other one: only items with a clock of their own are listed, and asked for by `--item`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, count

from embdc_cli.container.contents import Item, Stream


def owner(items: Sequence[Item], number: int) -> Item:
    """The item that the streams of item `number` of the file belong to."""
    return items[items[number].clock]


def owned(items: Sequence[Item]) -> list[tuple[Item, list[Stream]]]:
    """The items that users know, each with its own streams and those beside it, in the order of the file."""
    found: dict[int, tuple[Item, list[Stream]]] = {}
    for item in items:
        main = owner(items, item.number)
        found.setdefault(main.number, (main, []))[1].extend(item.streams)
    return list(found.values())


def stream_names(items: Sequence[Item]) -> dict[str, Stream]:
    """The streams of an archive by name, in the order of the file.

    `stream` where there is one item, else `item/stream`; of two items of one name the second goes by its number.
    """
    several = len(owned(items)) > 1
    found: dict[str, Stream] = {}
    again: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))  # no number is tried twice
    for item in items:
        main = owner(items, item.number)
        for stream in item.streams:
            first = f"{main.name}/{stream.name}" if several else stream.name
            others = (f"{main.name}-{one}/{stream.name}" for one in again[first])  # a name may be another's number
            tried = chain([first, f"{main.number}/{stream.name}"], others)
            found[next(name for name in tried if name not in found)] = stream
    return found
