"""An object behind a URL as byte ranges.

The first request brings the bytes somebody is going to read first, its last or first ones, and the size with them
(`ranges`). What fails for the moment is asked for again; what is short, or of another version of the object, is never
given out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, BinaryIO, Final

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.remote.errors import ShortRead, is_transient, read_errors, unreadable
from embdc_cli.remote.filesystem import filesystem
from embdc_cli.remote.ranges import Answer, Ask, ask_all, asking
from embdc_cli.scratch import disk_errors, scratch_file, scratch_folder
from embdc_cli.traffic import Traffic

Range = tuple[int, int]
Known = tuple[int, bytes]
"""Where the bytes of the first request begin, and they."""

_PAUSES_SECONDS: Final = (0.2, 0.8, 3.2)
"""Between one try and the next of what may succeed then."""
_PIECE_BYTES: Final = 1 << 20


class RemoteObject:
    """The object at `url`, opened by a read of its last `last_bytes`, or with none of its first `first_bytes`.

    A server that ignores ranges is asked for everything once, which is kept in a scratch file of at most `copy_max`
    bytes. options: for the file system. Every method may be called from several threads, and after a fork.
    Raises: SourceError (MissingObject where it is not there), ResourceError for a copy that does not fit.
    """

    def __init__(
        self, url: str, *, first_bytes: int = 0, last_bytes: int = 0, copy_max: int | None = None, **options: Any
    ) -> None:
        self.url = url
        self.traffic = Traffic()
        self._options = options
        self._copy_max = copy_max
        self._copy: BinaryIO | None = None
        self._tag: str | None = None
        self._known: Known = 0, b""  # what the first request brought
        self._connect()
        try:
            self.size = self._open(first_bytes, last_bytes)
        except read_errors() as error:
            raise unreadable(url, error) from error

    def read_many(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes [start, stop) of each range, all within the object, in one round trip. Raises: SourceError."""
        if self._process != os.getpid():
            self._connect()  # connections and event loops do not survive a fork
        known = self._known
        gaps = [self._gap(one, known) for one in ranges]
        try:
            received = iter(self._received([one for one in gaps if one[0] < one[1]]))
        except read_errors() as error:
            raise unreadable(self.url, error) from error
        found = []
        for (start, stop), (low, high) in zip(ranges, gaps, strict=True):
            data = next(received) if low < high else b""
            found.append(self._at_hand(start, low, known) + data + self._at_hand(high, stop, known))
        return found

    def read_all(self) -> bytes:
        """All of it; what the first request brought is not asked for again. Raises: SourceError."""
        return self.read_many([(0, self.size)])[0]

    @property
    def held_bytes(self) -> int:
        """Memory of what the first request brought."""
        return len(self._known[1])

    def forget(self) -> None:
        """Drop what the first request brought, for somebody who keeps it elsewhere."""
        self._known = 0, b""

    def close(self) -> None:
        """Let go of a copy."""
        if self._copy is not None:
            self._copy.close()

    def _connect(self) -> None:
        self._system, self._path = filesystem(self.url, **self._options)
        self._ask = asking(self._system)
        self._process = os.getpid()

    def _open(self, first_bytes: int, last_bytes: int) -> int:
        if self._ask is not None:
            wanted = f"bytes=-{last_bytes}" if last_bytes else f"bytes=0-{max(first_bytes, 1) - 1}"
            (answer,) = self._answers(self._ask, [wanted])
            self._tag = answer.tag
            if answer.data is None or answer.total is None:
                return self._copy_whole(answer.total)
            self._known = answer.start, answer.data
            return answer.total
        size = self._try(lambda: self._system.info(self._path).get("size"))
        self.traffic.trip(1, 0)
        if size is None:
            raise SourceError(f"{self.url}: the server does not tell its size", hint="download it first")
        start = max(0, int(size) - last_bytes) if last_bytes else 0
        stop = int(size) if last_bytes else min(int(size), first_bytes)
        self._known = start, self._received([(start, stop)])[0] if start < stop else b""
        return int(size)

    def _gap(self, wanted: Range, known: Known) -> Range:
        """What of a range is to be asked for: all of it, or what it has before or behind that which is `known`."""
        start, stop = wanted
        first, last = known[0], known[0] + len(known[1])
        if start >= stop or self._copy is not None:
            return stop, stop
        if first <= start < last:
            return min(last, stop), stop
        return start, first if first < stop <= last else stop

    def _at_hand(self, start: int, stop: int, known: Known) -> bytes:
        """Bytes that are here already."""
        if self._copy is not None and start < stop:
            return os.pread(self._copy.fileno(), stop - start, start)
        first, data = known
        return data[start - first : stop - first] if start < stop else b""

    def _received(self, ranges: Sequence[Range]) -> list[bytes]:
        if not ranges:
            return []
        if self._ask is None:
            return self._plainly(ranges)
        answers = self._answers(self._ask, [f"bytes={start}-{stop - 1}" for start, stop in ranges])
        return [self._checked(answer, one) for answer, one in zip(answers, ranges, strict=True)]

    def _checked(self, answer: Answer, wanted: Range) -> bytes:
        same = (answer.total, answer.tag) == (self.size, self._tag) and answer.start == wanted[0]
        if answer.data is None or not same or len(answer.data) != wanted[1] - wanted[0]:
            raise SourceError(f"{self.url}: cannot be read, it changed while it was read", hint="start again")
        return answer.data

    def _answers(self, ask: Ask, wanted: Sequence[str]) -> list[Answer]:
        """The answer for every range; those that fail for the moment are asked for again."""
        found: dict[int, Answer] = {}
        for pause in (*_PAUSES_SECONDS, None):
            left = [at for at in range(len(wanted)) if at not in found]
            answers = ask_all(self._system, ask, self._path, [wanted[at] for at in left])
            fine = {at: one for at, one in zip(left, answers, strict=True) if isinstance(one, Answer)}
            found |= fine
            self.traffic.trip(len(left), sum(len(one.data or b"") for one in fine.values()))
            failed = [one for one in answers if isinstance(one, Exception)]
            if not failed:
                break
            lasting = [one for one in failed if pause is None or not is_transient(one)]
            if lasting or pause is None:
                raise lasting[0]
            time.sleep(pause)
        return [found[at] for at in range(len(wanted))]

    def _plainly(self, ranges: Sequence[Range]) -> list[bytes]:
        """The same through fsspec's interface."""
        starts, stops = zip(*ranges, strict=True)

        def all_of_them() -> list[bytes]:
            paths = [self._path] * len(ranges)
            found = self._system.cat_ranges(paths, list(starts), list(stops), on_error="raise")
            self.traffic.trip(len(ranges), sum(map(len, found)))
            for data, (start, stop) in zip(found, ranges, strict=True):
                if len(data) != stop - start:
                    raise ShortRead(f"expected {stop - start} bytes at offset {start}, found {len(data)}")
            return list(found)

        received: list[bytes] = self._try(all_of_them)
        return received

    def _try(self, ask: Any) -> Any:
        for pause in _PAUSES_SECONDS:
            try:
                return ask()
            except read_errors() as error:
                if not is_transient(error):
                    raise
            time.sleep(pause)
        return ask()

    def _copy_whole(self, total: int | None) -> int:
        """All of an object whose server knows no ranges, in a scratch file; its size."""
        self._check_copy(total or 0)
        file = scratch_file()
        try:
            size: int = self._try(partial(self._copy_into, file))
        except BaseException:
            file.close()
            raise
        if total is not None and size != total:
            file.close()
            raise ShortRead(f"expected {total} bytes, found {size}")
        self.traffic.trip(1, size)
        self._copy = file
        return size

    def _copy_into(self, file: BinaryIO) -> int:
        with disk_errors(scratch_folder()):
            file.seek(0)
            file.truncate()
        size = 0
        # with a size fsspec does not ask for it; without blocks it streams
        with self._system.open(self._path, "rb", block_size=0, size=1) as stream:
            while piece := stream.read(_PIECE_BYTES):
                size += len(piece)
                self._check_copy(size)
                with disk_errors(scratch_folder()):
                    file.write(piece)
        with disk_errors(scratch_folder()):
            file.flush()
        return size

    def _check_copy(self, size: int) -> None:
        if self._copy_max is not None and size > self._copy_max:
            raise ResourceError(
                f"{self.url}: more than {self._copy_max} bytes to spool, the server knows no byte ranges",
                hint="raise --spool-max, or give a local file",
            )
