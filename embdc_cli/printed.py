"""What C code prints on standard output, caught: it would end up in an archive or a JSON document that goes there."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NVDEC_COMPLAINT: Final = re.compile(rb"Decode Error occurred for picture [0-9]+\n?")
"""What PyNvVideoCodec prints of an error that it conceals."""

_STDOUT = 1
_one_at_a_time = threading.Lock()  # the descriptor is the whole process's


@contextmanager
def printed_meanwhile(pattern: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    """The list has, afterwards, what was printed and matches `pattern`; anything else is printed after all.

    Only on Linux; elsewhere nothing is caught.
    """
    with _one_at_a_time:
        yield from _caught(pattern)


def _caught(pattern: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    found: list[bytes] = []
    try:
        kept = os.dup(_STDOUT)
        caught = os.memfd_create("printed")
    except (OSError, AttributeError):  # closed, or another system
        yield found
        return
    flush = ctypes.CDLL(None).fflush
    flush(None)
    os.dup2(caught, _STDOUT)
    try:
        yield found
    finally:
        flush(None)
        os.dup2(kept, _STDOUT)
        os.close(kept)
        words = os.pread(caught, os.fstat(caught).st_size, 0)
        os.close(caught)
        found += pattern.findall(words)
        rest = pattern.sub(b"", words)
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
