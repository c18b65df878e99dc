"""How fast `embdc verify` is: bytes per second of processor time, of checksums alone and with digests and decoding.

    python tests/bench/verify.py [--megabytes 512] [--rounds 3]

The archive is exact and cannot be compressed, rows of 256 x 1024 float16: what is checked is as large as can be. The
best of the rounds counts; the archive stays in the system's cache, so a disk that is slower than this is the limit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np
import record

import embdc_cli as embdc
from embdc_cli.container.reader import ArchiveReader

SHAPE = (256, 1024)


def noise(rows: int) -> np.ndarray:
    """Random bits without infinities and NaN, whose exact form is as large as they are."""
    bits = np.random.default_rng(0).integers(0, 1 << 16, (rows, *SHAPE), np.uint16)
    return np.where(bits & 0x7C00 == 0x7C00, bits & 0x83FF, bits).astype(np.uint16).view(np.float16)


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def checksums(path: str, *, digests: bool) -> None:
    with ArchiveReader.open(path) as reader:
        assert not reader.verify(digests=digests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/a.embdc"
        x = noise(1_000_000 * args.megabytes // (2 * SHAPE[0] * SHAPE[1]))
        size = embdc.encode(x, path, lossless=True)["file_bytes"]
        for name, work in (
            ("checksums", lambda: checksums(path, digests=False)),
            ("checksums and digests", lambda: checksums(path, digests=True)),
            ("deep", lambda: embdc.verify(path, deep=True)),
        ):
            best = min(seconds(work) for _ in range(args.rounds))
            record.append("verify", [{"checks": name, "file_bytes": size, "gb_per_s": round(size / best / 1e9, 3)}])


if __name__ == "__main__":
    main()
