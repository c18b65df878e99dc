"""What a flipped bit and a cut do to embdc and to other files of arrays.

    python tests/bench/faults.py [--every 1] [--formats npy tar] [--seed 0]
    python tests/bench/faults.py --table

One small tensor, 64 rows of 4 x 8 values in float16 in steps of 8 rows where a format has chunks, is written in every
format with its defaults. Then each bit of the file is flipped in turn (`--every 7`: each seventh) and the file read as
its users do. What comes is the values that were written (harmless), an error, a warning or, from embdc, word that the
archive is incomplete (detected), the end of the process or ten seconds without an answer (crash), or other values as
if nothing were wrong (silent). And the file is cut in the middle: how many rows can still be had, right ones, by asking
for one chunk after the other where that is possible.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import io
import os
import random
import resource
import select
import signal
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import record
from damage import flipped

SHAPE, STEP = (64, 4, 8), 8
SECONDS = 10
MORE_BYTES = 4 << 30
VERDICTS = {"h": "harmless", "d": "detected", "s": "silent", "c": "crash"}
Piece = tuple[slice, np.ndarray]


@dataclass(frozen=True)
class Format:
    """A way to keep an array. read: as users do. pieces: one chunk after the other, those that cannot be had left out;
    missing where a file is read as a whole or not at all."""

    name: str
    package: str
    write: Callable[[np.ndarray, str], object]
    read: Callable[[str], np.ndarray]
    pieces: Callable[[str], Iterator[Piece]] | None = None


def source() -> np.ndarray:
    """Rows that move slowly, their channels of falling variance."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SHAPE)
    for t in range(1, len(x)):
        x[t] = 0.9 * x[t - 1] + 0.43 * x[t]
    return (x / np.sqrt(np.arange(1, SHAPE[-1] + 1)) + 1).astype(np.float16)


def asked(read: Callable[[int], np.ndarray]) -> Iterator[Piece]:
    """The chunks that `read(first row)` gives."""
    for start in range(0, SHAPE[0], STEP):
        with contextlib.suppress(Exception):
            yield slice(start, start + STEP), read(start)


def embdc_format(name: str, **options: Any) -> Format:
    import embdc_cli as embdc

    def read(path: str) -> np.ndarray:
        with embdc.open(path) as archive:
            if not archive.complete:
                raise embdc.IncompleteError("incomplete")
            return archive["data"].numpy(range(SHAPE[0]))

    def pieces(path: str) -> Iterator[Piece]:
        with embdc.open(path) as archive:
            yield from asked(lambda start: archive["data"].numpy(range(start, start + STEP)))

    def write(x: np.ndarray, path: str) -> None:
        embdc.encode(x, path, chunk_frames=STEP, force=True, **options)

    return Format(name, "embdc_cli", write, read, pieces)


def npz() -> Format:
    def read(path: str) -> np.ndarray:
        with np.load(path) as arrays:
            return arrays["x"]

    return Format("npz", "numpy", lambda x, path: np.savez(path, x=x), read)


def safetensors() -> Format:
    def write(x: np.ndarray, path: str) -> None:
        from safetensors.numpy import save_file

        save_file({"x": x}, path)

    def read(path: str) -> np.ndarray:
        from safetensors.numpy import load_file

        return load_file(path)["x"]

    return Format("safetensors", "safetensors", write, read)


def torch_file() -> Format:
    def write(x: np.ndarray, path: str) -> None:
        import torch

        torch.save(torch.from_numpy(x), path)

    def read(path: str) -> np.ndarray:
        import torch

        return torch.load(path, weights_only=True).numpy()

    return Format("pt", "torch", write, read)


def h5(name: str, **options: Any) -> Format:
    def write(x: np.ndarray, path: str) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=x, **options)

    def read(path: str) -> np.ndarray:
        import h5py

        with h5py.File(path) as file:
            return file["x"][:]

    def pieces(path: str) -> Iterator[Piece]:
        import h5py

        with h5py.File(path) as file:
            yield from asked(lambda start: file["x"][start : start + STEP])

    return Format(name, "h5py", write, read, pieces)


def zarr(name: str, **options: Any) -> Format:
    """In a zip file, which is one file as the others are."""

    def write(x: np.ndarray, path: str) -> None:
        import zarr

        with zarr.storage.ZipStore(path, mode="w") as store:
            zarr.create_array(store, name="x", data=x, chunks=(STEP, *SHAPE[1:]), **options)

    def opened(path: str) -> Any:
        import zarr

        return zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")["x"]

    def pieces(path: str) -> Iterator[Piece]:
        array = opened(path)
        yield from asked(lambda start: array[start : start + STEP])

    return Format(name, "zarr", write, lambda path: opened(path)[:], pieces)


def parquet(name: str, *, checked: bool) -> Format:
    """A row of the table for a row of the tensor, a row group for a chunk."""

    def write(x: np.ndarray, path: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), int(np.prod(SHAPE[1:])))
        pq.write_table(pa.table({"x": column}), path, row_group_size=STEP, write_page_checksum=checked)

    def values(table: Any) -> np.ndarray:
        return table["x"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, *SHAPE[1:])

    def read(path: str) -> np.ndarray:
        import pyarrow.parquet as pq

        return values(pq.read_table(path, page_checksum_verification=checked))

    def pieces(path: str) -> Iterator[Piece]:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path, page_checksum_verification=checked)
        yield from asked(lambda start: values(file.read_row_group(start // STEP)))

    return Format(name, "pyarrow", write, read, pieces)


def tar() -> Format:
    """A member for a chunk, as sets of training data have it."""

    def write(x: np.ndarray, path: str) -> None:
        with tarfile.open(path, "w") as file:
            for start in range(0, SHAPE[0], STEP):
                member = io.BytesIO()
                np.save(member, x[start : start + STEP])
                entry = tarfile.TarInfo(f"{start:06}.npy")
                entry.size = member.tell()
                member.seek(0)
                file.addfile(entry, member)

    def members(path: str) -> Iterator[Piece]:
        with tarfile.open(path) as file:
            for member in file:
                content = file.extractfile(member)
                assert content is not None
                start = int(Path(member.name).stem)
                yield slice(start, start + STEP), np.load(io.BytesIO(content.read()))

    def pieces(path: str) -> Iterator[Piece]:
        with contextlib.suppress(Exception):  # members come one after the other
            yield from members(path)

    def read(path: str) -> np.ndarray:
        return np.concatenate([rows for _, rows in members(path)])

    return Format("tar of npy", "tarfile", write, read, pieces)


def formats() -> list[Format]:
    """All of them, embdc first."""
    chunked = {"chunks": (STEP, *SHAPE[1:])}
    return [
        embdc_format("embdc transform", target_nmse=0.01),
        embdc_format("embdc lossless", lossless=True),
        embdc_format("embdc vq", codec="vq", target_nmse=0.1),
        embdc_format("embdc hevc", codec="hevc", target_nmse=0.05),
        Format("npy", "numpy", lambda x, path: np.save(path, x), np.load),
        npz(),
        safetensors(),
        torch_file(),
        h5("h5"),
        h5("h5, fletcher32", fletcher32=True, **chunked),
        zarr("zarr"),
        parquet("parquet", checked=False),
        parquet("parquet, checksums", checked=True),
        tar(),
    ]


def verdict(form: Format, path: str, good: np.ndarray) -> str:
    """The letter of what reading comes to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = form.read(path)
    except Exception:  # noqa: BLE001  # whatever it is, it is said
        return "d"
    same = found.shape == good.shape and found.dtype == good.dtype and found.tobytes() == good.tobytes()
    return "h" if same else "s"


def verdicts(form: Format, path: str, data: bytes, bits: Sequence[int], good: np.ndarray) -> Counter[str]:
    """How often each verdict comes, in processes of their own: readers written in C may end theirs."""
    counts: Counter[str] = Counter()
    while (done := counts.total()) < len(bits):
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            _limit_memory()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for bit in bits[done:]:
                Path(path).write_bytes(flipped(data, bit))
                os.write(sink, verdict(form, path, good).encode())
            os._exit(0)
        os.close(sink)
        while select.select([source], [], [], SECONDS)[0] and (letters := os.read(source, 4096)):
            counts.update(letters.decode())
        os.close(source)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if counts.total() < len(bits):
            counts["c"] += 1
    return counts


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_BYTES, resource.RLIM_INFINITY))


def share_back(form: Format, path: str, good: np.ndarray) -> float:
    """The share of rows that can be had, right ones, of the damaged file at `path`."""
    back = np.zeros(len(good), bool)
    with contextlib.suppress(Exception):
        for rows, values in form.pieces(path) if form.pieces else [(slice(None), form.read(path))]:
            back[rows] = values.tobytes() == good[rows].tobytes()
    return float(back.mean())


def measured(form: Format, every: int, seed: int) -> dict[str, Any]:
    """The row of one format."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.{form.name.split()[0].strip(',')}"
        form.write(source(), path)
        good, data = form.read(path), Path(path).read_bytes()
        bits = random.Random(seed).sample(range(8 * len(data)), 8 * len(data) // every)
        counts = verdicts(form, path, data, bits, good)
        Path(path).write_bytes(data[: len(data) // 2])
        return {
            "format": form.name,
            "version": getattr(importlib.import_module(form.package), "__version__", ""),
            "file_bytes": len(data),
            "flips": len(bits),
            **{name: counts[letter] for letter, name in VERDICTS.items()},
            "back_after_cut": round(share_back(form, path, good), 4),
        }


def table() -> str:
    """The table of README.md, from the last row of every format."""
    with (record.HERE / "faults.csv").open(newline="") as file:
        rows = {row["format"]: row for row in csv.DictReader(file)}
    lines = ["| file | flips that give wrong values in silence | crash | detected | harmless | rows back after a cut |"]
    lines.append("|---|---|---|---|---|---|")
    for row in (rows[form.name] for form in formats() if form.name in rows):
        shares = [_percent(int(row[name]) / int(row["flips"])) for name in ("silent", "crash", "detected", "harmless")]
        lines.append(f"| {row['format']} | {' | '.join(shares)} | {_percent(float(row['back_after_cut']))} |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    """Nothing is 0 and all is 100 only where it is."""
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*")
    parser.add_argument("--table", action="store_true", help="print the table of README.md")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    for form in formats():
        if args.formats is not None and form.name not in args.formats:
            continue
        try:
            importlib.import_module(form.package)
        except ImportError as error:
            print(f"left out: {form.name}: {error}", file=sys.stderr)
            continue
        record.append("faults", [measured(form, args.every, args.seed)])


if __name__ == "__main__":
    main()
