"""The codes of a chunk as bytes, level by level: who goes on, who keeps the index of the row before, and new indices.

Codes (F, N, L) int32: 0 from where a token stops, else 1 + index. Each level asks, of the tokens that have the level
before: go on? Of those that do and did in the row before: keep its index? Of all others: which index, plain bits.
Questions are answered by `flags`; their contexts are 42 a level: 14 for going on, 14 for keeping after leaving the
index at the level before, 14 for keeping after keeping it, which the first level counts as.
Every level is one rANS payload (`entropy.rans`): go on of the first colour, of the second, keep of the first, of the
second, indices in the order of rows and places.

Layout: [varint] levels in use, [varint] bytes of each; [u32] CRC-32 of these; then for each level [u32] CRC-32 of its
bytes, and these. A reader that wants a coarser code reads the first levels, which check themselves, and stops.
Error: none. Not here: indices that are likelier after others; those of learnt codebooks are nearly equally likely.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.vq import flags
from embdc_cli.entropy import rans

CONTEXTS: Final = 3 * flags.CONTEXTS
KEEP: Final = flags.CONTEXTS
"""The first context of keeping after leaving; those of keeping after keeping come after them."""
_CRC: Final = struct.Struct("<I")

Ask = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(contexts (n,), sites (n,) of the flattened chunk) -> the flags there, (n,) bool."""


def encode(codes: np.ndarray, sizes: np.ndarray, width: int, classes: np.ndarray) -> bytes:
    """codes: (F, N, L) int32. sizes: (L,) codewords. width: of the grid. classes: (L, 42) uint8."""
    parts = []
    for level, answers in enumerate(answered(codes, width)):
        symbols = [flags_ for _, flags_ in answers.asked]
        rows = [classes[level][contexts] for contexts, _ in answers.asked]
        symbols.append(answers.indices)
        rows.append(_index_rows(int(sizes[level]), answers.indices.size))
        parts.append(rans.encode(np.concatenate(symbols), np.concatenate(rows), flags.tables()))
    head = FieldWriter()
    head.varint(len(parts))
    for part in parts:
        head.varint(len(part))
    checked = [_CRC.pack(zlib.crc32(part)) + part for part in parts]
    return b"".join([head.bytes(), _CRC.pack(zlib.crc32(head.bytes())), *checked])


def level_bytes(fields: FieldReader, levels: int) -> list[int]:
    """Bytes of each level in use of `levels`, each with its CRC-32, which follow in `fields`. Raises CorruptArchive."""
    head, before = FieldWriter(), fields.left
    used = fields.varint(limit=levels)
    head.varint(used)
    sizes = [fields.varint(limit=1 << 31) for _ in range(used)]
    for size in sizes:
        head.varint(size)
    if before - fields.left != len(head.bytes()):
        raise fields.corrupt("sizes of levels: an integer is longer than it need be")
    if fields.raw(_CRC.size) != _CRC.pack(zlib.crc32(head.bytes())):
        raise fields.corrupt("sizes of levels: CRC-32 does not match")
    return [_CRC.size + size for size in sizes]


def decode(
    data: memoryview,
    shape: tuple[int, int, int],
    sizes: np.ndarray,
    width: int,
    classes: np.ndarray,
    most: int | None = None,
) -> np.ndarray:
    """(F, N, L) int32 of `shape`. most: how many levels to read, None for all. Raises CorruptArchive."""
    fields = FieldReader(data, "chunk")
    stored = level_bytes(fields, shape[2])
    codes = np.zeros(shape, np.int32)
    before = kept = np.ones(shape[:2], bool)
    colours = flags.colours((shape[0], shape[1]), width)
    for level, size in enumerate(stored[:most]):
        crc, part = fields.raw(_CRC.size), fields.raw(size - _CRC.size)
        if crc != _CRC.pack(zlib.crc32(part)):
            raise fields.corrupt(f"level {level}: CRC-32 does not match")
        reader = rans.Reader(part, flags.tables())

        def ask(
            contexts: np.ndarray, sites: np.ndarray, level: int = level, reader: rans.Reader = reader
        ) -> np.ndarray:
            return reader.take(classes[level][contexts]).astype(bool)

        before, kept = _questions(before, kept, width, colours, ask)
        new = np.flatnonzero(before & ~kept)
        indices = reader.take(_index_rows(int(sizes[level]), new.size))
        reader.end()
        plane = np.zeros(shape[:2], np.int32)
        plane.ravel()[new] = indices.astype(np.int32) + 1
        for row in range(1, shape[0]):
            np.copyto(plane[row], plane[row - 1], where=kept[row])
        codes[..., level] = plane
    if most is None or most >= len(stored):
        fields.end()
    return codes


class Answers:
    """What is sent of one level. asked: (contexts, flags) uint8 of each colour and question; indices: (n,) uint8."""

    def __init__(self, active: np.ndarray, kept: np.ndarray) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []
        self.indices = np.zeros(0, np.uint8)
        self._truth = [active.ravel(), active.ravel(), kept.ravel(), kept.ravel()]

    def ask(self, contexts: np.ndarray, sites: np.ndarray) -> np.ndarray:
        """The true flags, taken down."""
        found = self._truth[len(self.asked)][sites]
        self.asked.append((contexts, found.astype(np.uint8)))
        return np.asarray(found)


def answered(codes: np.ndarray, width: int) -> Iterator[Answers]:
    """What is sent of each level in use of codes (F, N, L)."""
    before = kept = np.ones(codes.shape[:2], bool)
    colours = flags.colours((codes.shape[0], codes.shape[1]), width)
    for level in range(codes.shape[2]):
        plane = codes[..., level]
        active = plane > 0
        if not active.any():
            return
        same = np.zeros_like(active)
        same[1:] = active[1:] & (plane[1:] == plane[:-1])
        answers = Answers(active, same)
        before, kept = _questions(before, kept, width, colours, answers.ask)
        answers.indices = (plane[active & ~same] - 1).astype(np.uint8)
        yield answers


def _questions(
    before: np.ndarray, kept: np.ndarray, width: int, colours: np.ndarray, ask: Ask
) -> tuple[np.ndarray, np.ndarray]:
    """(who goes on, who of them keeps its index), given both of the level before; (F, N) bool each."""
    active = _flags(before, before, np.zeros(before.shape, np.uint8), width, colours, ask)
    could = np.zeros_like(active)
    could[1:] = active[1:] & active[:-1]
    first = (KEEP + flags.CONTEXTS * kept).astype(np.uint8)
    return active, _flags(could, kept, first, width, colours, ask)


def _flags(
    candidates: np.ndarray, earlier: np.ndarray, first: np.ndarray, width: int, colours: np.ndarray, ask: Ask
) -> np.ndarray:
    """(F, N) bool: the answers at the candidates, False elsewhere. first: the first context of each site."""
    found = np.zeros(candidates.shape, bool)
    around = earlier
    for colour in range(flags.COLOURS):
        sites = np.flatnonzero(candidates & (colours == colour))
        contexts = first.ravel()[sites] + flags.set_around(around, width).ravel()[sites]
        contexts += np.uint8(colour * (flags.NEIGHBOURS + 1))
        found.ravel()[sites] = ask(contexts, sites)
        around = found
    return found


def _index_rows(size: int, count: int) -> np.ndarray:
    return np.full(count, flags.INDEX_ROW + size.bit_length() - 2, np.uint8)
