"""Bytes that nobody should trust: every reader returns or says what is wrong, within bounds of time and memory."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.errors import EmbdcError
from tests.fuzz.targets import ENCODED, TARGETS, coding, seeds

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*"))
MOST_BYTES = 48 << 20
"""What reading the few kilobytes of these files may take at once: read-ahead, tables of the decoders, caches."""
MOST_SECONDS = 5


def run(name: str, data: bytes) -> None:
    """The target with bounds on time and memory."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        with suppress(EmbdcError):
            TARGETS[name](data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES, f"{peak} bytes for {len(data)}"
    assert time.monotonic() - begun < MOST_SECONDS


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_failed(path: Path) -> None:
    run(path.parent.name, path.read_bytes())


def test_seeds_are_read() -> None:
    for name, data in seeds().items():
        TARGETS[name](data)


@st.composite
def mutations(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with some bytes changed, cut, put in or doubled."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["set", "set", "near", "cut", "insert", "double"]))
        if kind == "set":
            data[at : at + 1] = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80", b"\1"]))
        elif kind == "near":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_changed_bytes(name: str, data: st.DataObject) -> None:
    run(name, data.draw(mutations(seeds()[name])))


@pytest.mark.parametrize("name", [name for name in ENCODED if name != "lossless"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_changed_models(name: str, data: st.DataObject) -> None:
    run(name, b"\1" + data.draw(mutations(coding(name)[0])))
