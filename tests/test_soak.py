"""Long runs: memory and descriptors stay what they are early on. Minutes each; each prints its figures (`-rP`)."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc

pytestmark = pytest.mark.slow

ROWS = np.repeat(np.random.default_rng(0).standard_normal((1, 196, 192)), 64, axis=0).astype(np.float16)
"""What a still camera gives for 64 rows: 4.8 MB that code fast."""
GROWTH_MIB = 64
MOST_MIB = 1024
CHUNKS = 10_000


def memory_mib(process: int | str = "self") -> int:
    """Memory of its own that a process has now."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024


def now() -> tuple[int, int]:
    """(MiB, open descriptors), after the cycles between archives and their streams are collected."""
    gc.collect()
    return memory_mib(), len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("gigabytes", "options"),
    [(10, ["--lossless"]), (1, ["--effort", "0", "--target-nmse", "0.1"])],
    ids=["lossless", "transform"],
)
def test_a_dump_through_a_pipe_takes_no_more_memory_the_longer_it_is(
    gigabytes: int, options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "a.embdc"
    command = ["encode", "-", "-o", str(out), "--raw", "dtype=f16,shape=?x196x192", "--one-pass", "-q", *options]
    block = ROWS.tobytes()
    count = gigabytes * 10**9 // len(block)
    begun, seen = time.monotonic(), []
    with subprocess.Popen([sys.executable, "-m", "embdc_cli", *command], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for number in range(count):
            process.stdin.write(block)
            if number % (count // 64) == 0:
                seen.append(memory_mib(process.pid))
        process.stdin.close()
        assert process.wait() == 0
    seconds = time.monotonic() - begun
    early, late = max(seen[: len(seen) // 4]), max(seen[len(seen) // 4 :])
    print(f"{gigabytes} GB {options}: {seconds:.0f} s, {gigabytes * 1000 / seconds:.1f} MB/s; MiB {early}, then {late}")
    assert late < early + GROWTH_MIB
    assert late < MOST_MIB
    with embdc.open(str(out)) as archive:
        assert len(archive["data"]) == 64 * count
        found = archive["data"].numpy(range(64 * count - 1, 64 * count))
        assert options != ["--lossless"] or (found[0] == ROWS[0]).all()


def test_many_openings_and_slices_leave_nothing_open(tmp_path: Path) -> None:
    path = str(tmp_path / "a.embdc")
    rows = np.arange(CHUNKS * 32, dtype=np.float32).reshape(CHUNKS, 4, 8)
    embdc.encode(rows, path, lossless=True, chunk_frames=1)
    rng, begun, seen = random.Random(0), time.monotonic(), []
    for number in range(CHUNKS):
        with embdc.open(path) as archive:
            row = rng.randrange(CHUNKS)
            assert (archive["data"].numpy(range(row, row + 1))[0] == rows[row]).all()
        if number in (CHUNKS // 4, CHUNKS - 1):
            seen.append(now())
    opened = time.monotonic() - begun
    with embdc.open(path) as archive:
        for number in range(CHUNKS):
            row = rng.randrange(CHUNKS - 3)
            assert (archive["data"][row : row + 3].numpy() == rows[row : row + 3]).all()
            if number in (CHUNKS // 4, CHUNKS - 1):
                seen.append(now())
    sliced = time.monotonic() - begun - opened
    print(f"{CHUNKS} openings {opened:.0f} s, as many slices {sliced:.0f} s; (MiB, descriptors) {seen}")
    for (early, files), (late, files_late) in (seen[:2], seen[2:]):
        assert late < early + GROWTH_MIB
        assert files_late == files
