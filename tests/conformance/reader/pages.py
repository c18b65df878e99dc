"""The numbers of embdc-tables(5), and the dictionary of embdc(5), from the source of the pages."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

MAN = Path(__file__).parents[3] / "man"


def _literal(page: str, heading: str) -> list[str]:
    """The lines of the first display after a place in a page, as they are shown."""
    source = (MAN / page).read_text("utf-8")
    text = source[source.index(heading) :].split(".Bd -literal\n", 1)[1].split("\n.Ed", 1)[0]
    return [line.replace("\\-", "-").replace("\\e", "\\") for line in text.split("\n")]


@cache
def numbers(title: str) -> list[list[int]]:
    """The rows of a table."""
    return [[int(word) for word in line.split(":")[1].split()] for line in _literal("embdc-tables.5", f".Sh {title}\n")]


@cache
def context_counts() -> list[list[int]]:
    """(1169, 16) counts."""
    words = [word for line in _literal("embdc-tables.5", ".Sh CONTEXT COUNTS") for word in line.split(":")[1].split()]
    return [[_count(int(digit, 36)) for digit in word] for word in words]


def _count(digit: int) -> int:
    half = digit - 1
    return ((181 if half % 2 else 128) << 12) >> (19 - half // 2) if digit else 0


@cache
def dictionary() -> bytes:
    """What packed JSON refers to."""
    return "".join(_literal("embdc.5", "The dictionary consists of")).encode()


@cache
def limit(name: str) -> int:
    """A number of embdc(5), LIMITS."""
    found = re.search(rf"^\.It Dv {name} Ta (\d+) Ta", (MAN / "embdc.5").read_text("utf-8"), re.MULTILINE)
    assert found, name
    return int(found[1])
