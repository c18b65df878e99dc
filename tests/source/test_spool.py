"""Feeds kept on disk: read again, replayed when the bound is reached, gone with the process."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from embdc_cli.errors import ResourceError, UsageError
from embdc_cli.source.spool import SpoolFull, spool
from embdc_cli.values import Block, Feed, StreamSpec

RNG = np.random.default_rng(3)
PATCH = RNG.standard_normal((10, 4, 2)).astype(np.float32)
COUNTS = np.array([1, 0, 3, 2, 2, 0, 0, 5, 1, 1])
TOKENS = RNG.integers(0, 60000, (int(COUNTS.sum()), 3)).astype(np.uint16)
EDGES = np.concatenate([[0], np.cumsum(COUNTS)])
SPECS = [
    StreamSpec("patch", "float32", "t,n,c", (4, 2), None),
    StreamSpec("tokens", "bfloat16", "t,n,c", (3,), None, ragged=True),
]


def blocks(cuts: list[int], timed: bool = True) -> Iterator[Block]:
    for start, stop in zip([0, *cuts], [*cuts, 10], strict=True):
        ticks = np.arange(start, stop, dtype=np.int64)
        yield Block(
            {"patch": PATCH[start:stop], "tokens": TOKENS[EDGES[start] : EDGES[stop]]},
            ticks if timed else None,
            ticks + 1 if timed else None,
            {"tokens": COUNTS[start:stop]},
        )


def feed_of(cuts: list[int], closed: list[int] | None = None, **options: object) -> Feed:
    return Feed(
        SPECS, blocks(cuts), timebase=Fraction(1, 30), source={"kind": "test"},
        close=lambda: closed.append(1) if closed is not None else None, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_spooled_feed_is_read_by_rows() -> None:
    closed: list[int] = []
    dump = spool(feed_of([3, 4, 9], closed, name="n", encoder={"e": 1}, warnings=["w"]), 1 << 20)
    assert [tensor.spec for tensor in dump.tensors] == [spec.with_rows(10) for spec in SPECS]
    patch, tokens = dump.tensors
    for start, stop in [(0, 10), (2, 5), (4, 4), (9, 10), (1, 2)]:
        np.testing.assert_array_equal(patch.read(start, stop), PATCH[start:stop])
        np.testing.assert_array_equal(tokens.read(start, stop), TOKENS[EDGES[start] : EDGES[stop]])
    assert tokens.token_counts is not None
    np.testing.assert_array_equal(tokens.token_counts, COUNTS)
    assert dump.timeline is not None
    assert dump.timeline.starts.tolist() == list(range(10))
    assert dump.timeline.timebase == Fraction(1, 30)
    assert dump.timed_streams == {"patch", "tokens"}
    assert (dump.name, dump.encoder, dump.warnings, dump.source) == ("n", {"e": 1}, ["w"], {"kind": "test"})
    dump.close()
    dump.close()
    assert closed == [1]


def test_a_feed_without_blocks_has_no_rows() -> None:
    dump = spool(Feed(SPECS, iter(())), 0)
    assert [len(tensor.read(0, 0)) for tensor in dump.tensors] == [0, 0]
    assert dump.tensors[0].spec.rows == 0
    assert dump.timeline is None
    dump.close()


def test_a_feed_without_times_has_no_timeline() -> None:
    dump = spool(Feed(SPECS, blocks([5], timed=False), timebase=Fraction(1)), 1 << 20)
    assert dump.timeline is None
    assert dump.timed_streams == frozenset()
    dump.close()


def test_incomplete_feeds_make_incomplete_dumps() -> None:
    def broken() -> Iterator[Block]:
        yield from blocks([5])
        feed.incomplete = "cut"

    feed = Feed(SPECS, broken())
    dump = spool(feed, 1 << 20)
    assert dump.incomplete == "cut"
    dump.close()


@pytest.mark.parametrize("limit", [0, 100, 200, 300])
def test_beyond_the_bound_the_feed_starts_again(limit: int) -> None:
    closed: list[int] = []
    feed = feed_of([1, 4, 8], closed)
    with pytest.raises(SpoolFull, match=f"more than {limit} bytes") as caught:
        spool(feed, limit)
    assert caught.value.exit_code == 9
    again = list(caught.value.feed.blocks)
    for block, expected in zip(again, blocks([1, 4, 8]), strict=True):
        assert block.starts is not None
        assert block.ends is not None
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(block.arrays[name], array)
            assert block.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(block.starts, expected.starts)
        np.testing.assert_array_equal(block.ends, expected.ends)
        np.testing.assert_array_equal(block.token_counts["tokens"], expected.token_counts["tokens"])
    assert closed == []
    caught.value.feed.close()
    assert closed == [1]


def test_the_bound_itself_fits() -> None:
    size = PATCH.nbytes + TOKENS.nbytes
    spool(feed_of([2, 5]), size).close()
    with pytest.raises(SpoolFull) as caught:
        spool(feed_of([2, 5]), size - 1)
    caught.value.feed.close()


def test_an_error_of_the_feed_closes_it() -> None:
    def broken() -> Iterator[Block]:
        yield from blocks([5])
        raise OSError("gone")

    closed: list[int] = []
    with pytest.raises(OSError, match="gone"):
        spool(Feed(SPECS, broken(), close=lambda: closed.append(1)), 1 << 20)
    assert closed == [1]


def test_a_full_disk_is_a_resource_error(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(signal, "SIGXFSZ", signal.SIGXFSZ)  # Python ignores the signal, so writing fails with EFBIG
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(ResourceError, match="no space left on the device") as caught:
            spool(feed_of([5]), 1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not isinstance(caught.value, SpoolFull)
    assert "EMBDC_TMPDIR" in (caught.value.hint or "")


def test_the_folder_is_chosen_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBDC_TMPDIR", str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="EMBDC_TMPDIR: expected a folder"):
        spool(feed_of([5]), 1 << 20)


def test_nothing_is_left_after_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal, numpy as np\n"
        "from embdc_cli.source.spool import spool\n"
        "from embdc_cli.values import Block, Feed, StreamSpec\n"
        "spec = StreamSpec('x', 'float32', 't,c', (4,), None)\n"
        "dump = spool(Feed([spec], iter([Block({'x': np.ones((9, 4), np.float32)})])), 1 << 20)\n"
        "assert dump.tensors[0].read(0, 9).sum() == 36\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "EMBDC_TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
