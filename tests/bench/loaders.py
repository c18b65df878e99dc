"""Clips in a training loop through a slow link: embdc archives beside FP16 in npy, HDF5 and WebDataset.

    python tests/bench/loaders.py [--archives 24] [--rates 100 inf] [--repeats 3] [--formats embdc npy]
    python tests/bench/loaders.py --table

The dumps of 64 rows of 196 x 192 in `$EMBDC_TEST_DATA/data/embeddings`, seven of three clips, are joined into four of
256 rows, four different ones each, and written in every format, again and again until there are so many files:
462 MB of FP16 in 24 files of each. Clips have 16 rows, 1.2 MB of FP16. `tiles` are all
clips that share no row, in random order, once an epoch; `any` are as many that begin at any row. A DataLoader with two
workers on two cores makes batches of eight. All formats are read through one fsspec file system that passes 100 MB a
second, without latency, for all workers together, and counts the bytes; `inf` is the same without a limit: files from
the page cache. Every format opens its files anew in every run; the first epoch is cold, the second, by the same
workers, warm. Formats of one repeat come one after the other. On a machine with other work, run it with priority over
that (`nice`, the autogroup) and `--pause`, or what computes most looks worst.

npy: a range of the file for each clip, as a memory map would fetch. hdf5: a frame per chunk, through a file object
without read-ahead, which reads least. webdataset: a clip per member, shards read front to back by each worker and
shuffled through a buffer, so only `tiles`. embdc: preset balanced (mean cosine 0.97), chunks of 16 rows;
`shuffled` is `ShuffledClips`, the other one `Clips`. Kernels are loaded beforehand.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import record
import throttled
import torch
from evaluation import data
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

import embdc_cli as embdc
from embdc_cli.data import Clips, Manifest, ShuffledClips

ROWS, BATCH, WORKERS, CORES = 16, 8, 2, 2
SHAPE, DUMP, JOINED, DISTINCT = (256, 196, 192), (64, 196, 192), 4, 4
CLIP_BYTES = 2 * ROWS * SHAPE[1] * SHAPE[2]


@dataclass(frozen=True)
class Format:
    """name: of the folder, and in the table with `reads`. order: tiles or any. open: the data set over paths."""

    name: str
    reads: str
    order: str
    open: Callable[[list[str], int], Any]


class Npy(Dataset[torch.Tensor]):
    def __init__(self, urls: list[str], stride: int) -> None:
        self._urls, self._starts = urls, range(0, SHAPE[0] - ROWS + 1, stride)
        self._header: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._urls) * len(self._starts)

    def __getitem__(self, index: int) -> torch.Tensor:
        url, start = self._urls[index // len(self._starts)], self._starts[index % len(self._starts)]
        system = throttled.ThrottledFileSystem()
        if url not in self._header:
            head = io.BytesIO(system.cat_file(url, 0, 128))
            assert np.lib.format.read_magic(head) == (1, 0)
            assert np.lib.format.read_array_header_1_0(head)[0] == SHAPE
            self._header[url] = head.tell()
        row = CLIP_BYTES // ROWS
        begin = self._header[url] + start * row
        clip = np.frombuffer(bytearray(system.cat_file(url, begin, begin + CLIP_BYTES)), np.float16)
        return torch.from_numpy(clip.reshape(ROWS, *SHAPE[1:]))


class Hdf5(Dataset[torch.Tensor]):
    def __init__(self, urls: list[str], stride: int) -> None:
        self._urls, self._starts = urls, range(0, SHAPE[0] - ROWS + 1, stride)
        self._files: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._urls) * len(self._starts)

    def __getitem__(self, index: int) -> torch.Tensor:
        import h5py

        url, start = self._urls[index // len(self._starts)], self._starts[index % len(self._starts)]
        if url not in self._files:
            file = throttled.ThrottledFileSystem().open(url, cache_type="none")
            self._files[url] = h5py.File(file, "r")["x"]
        return torch.from_numpy(self._files[url][start : start + ROWS])


def web_dataset(urls: list[str], _: int) -> IterableDataset[Any]:
    import webdataset as wds

    wds.gopen_schemes["throttled"] = lambda url, *_, **__: throttled.ThrottledFileSystem().open(url)
    found = wds.WebDataset(urls, shardshuffle=len(urls), seed=0, nodesplitter=None)
    return found.shuffle(64).decode().to_tuple("npy").map(lambda one: torch.from_numpy(one[0]))


def map_style(urls: list[str], stride: int) -> Clips:
    return Clips(_manifest(urls), ROWS, stride=stride)


def shuffled(urls: list[str], _: int) -> ShuffledClips:
    return ShuffledClips(_manifest(urls), ROWS)


_manifests: dict[str, Manifest] = {}


def _manifest(urls: list[str]) -> Manifest:
    """Made once, as one that was saved: of local paths, so that nothing is fetched beforehand."""
    key = urls[0]
    if key not in _manifests:
        local = Manifest.of([url.removeprefix("throttled://") for url in urls])
        _manifests[key] = Manifest([type(one)(f"throttled://{one.path}", one.file_bytes, one.streams) for one in local])
    return _manifests[key]


FORMATS = [
    Format("embdc", "shuffled", "tiles", shuffled),
    Format("embdc", "", "tiles", map_style),
    Format("npy", "", "tiles", Npy),
    Format("hdf5", "", "tiles", Hdf5),
    Format("webdataset", "", "tiles", web_dataset),
    Format("embdc", "", "any", map_style),
    Format("npy", "", "any", Npy),
    Format("hdf5", "", "any", Hdf5),
]


def write(folder: Path, count: int) -> dict[str, list[str]]:
    """URLs of `count` files of every format."""
    dumps = [path for path in sorted((data() / "data/embeddings").glob("*.npy")) if _shape(path) == DUMP]
    urls: dict[str, list[str]] = {}
    for name, suffix in (("npy", "npy"), ("hdf5", "h5"), ("webdataset", "tar"), ("embdc", "embdc")):
        (folder / name).mkdir(exist_ok=True)
        for number in range(count):
            path, first = (folder / name / f"{one:04}.{suffix}" for one in (number, number % DISTINCT))
            if number >= DISTINCT:
                path.write_bytes(first.read_bytes())
            elif not path.exists():
                joined = [np.load(dumps[(number + at) % len(dumps)]) for at in range(JOINED)]
                _write(name, np.concatenate(joined), path)
            urls.setdefault(name, []).append(f"throttled://{path}")
    return urls


def _shape(path: Path) -> tuple[int, ...]:
    return np.load(path, mmap_mode="r").shape


def _write(name: str, x: np.ndarray, path: Path) -> None:
    if name == "npy":
        np.save(path, x)
    elif name == "hdf5":
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=x, chunks=(1, *SHAPE[1:]))
    elif name == "webdataset":
        with tarfile.open(path, "w") as tar:
            for start in range(0, SHAPE[0], ROWS):
                member = io.BytesIO()
                np.save(member, x[start : start + ROWS])
                entry = tarfile.TarInfo(f"{path.stem}-{start:04}.npy")
                entry.size = member.tell()
                member.seek(0)
                tar.addfile(entry, member)
    else:
        embdc.encode(x, path, chunk_frames=ROWS, preset="balanced")


def measured(form: Format, urls: list[str], rate: float, clips: int) -> list[dict[str, Any]]:
    """Rows of a cold and a warm epoch of `clips` clips."""
    dataset = form.open(urls, ROWS if form.order == "tiles" else 1)
    sampler = None if isinstance(dataset, IterableDataset) else RandomSampler(dataset, num_samples=clips)
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size=BATCH, sampler=sampler, num_workers=WORKERS, persistent_workers=True
    )
    rows = []
    for epoch in ("cold", "warm"):
        throttled.begin(rate * 1e6)
        started = time.monotonic()
        count = sum(len(one["values"] if isinstance(one, dict) else one) for one in loader)
        seconds = time.monotonic() - started
        assert count == clips, (form, count)
        rows.append(
            {
                "format": form.name,
                "reads": form.reads,
                "order": form.order,
                "mb_per_s": float(rate),
                "epoch": epoch,
                "clips": count,
                "clips_per_s": round(count / seconds, 1),
                "bytes_per_clip": throttled.bytes_read() // count,
            }
        )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    del loader
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [{**row, "cpu_ms_per_clip": round(1e3 * used / (2 * clips), 2)} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=int, default=24)
    parser.add_argument("--rates", type=float, nargs="*", default=[100, float("inf")], help="MB per second")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0, help="seconds between formats, for other work on the machine")
    parser.add_argument("--formats", nargs="*")
    parser.add_argument("--folder", type=Path, help="where files stay, and are taken from")
    parser.add_argument("--show", action="store_true", help="print, and write no CSV")
    parser.add_argument("--table", action="store_true", help="print the table of README.md")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    torch.set_num_threads(1)
    with _folder(args.folder) as folder:
        urls = write(folder, args.archives)
        with embdc.open(urls["embdc"][0].removeprefix("throttled://")) as archive:
            archive[archive.streams[0]][:ROWS]  # kernels, and nothing of the files that are read
        clips = len(urls["npy"]) * SHAPE[0] // ROWS
        for repeat in range(args.repeats):
            for rate in args.rates:
                for form in FORMATS:
                    if args.formats is not None and form.name not in args.formats:
                        continue
                    time.sleep(args.pause)
                    load = os.getloadavg()[0]
                    rows = measured(form, urls[form.name], rate, clips)
                    rows = [{**row, "repeat": repeat, "nice": os.nice(0), "load": round(load, 1)} for row in rows]
                    if args.show:
                        print(*("  ".join(f"{key}={value}" for key, value in row.items()) for row in rows), sep="\n")
                    else:
                        record.append("loaders", rows)
                    sys.stdout.flush()


@contextlib.contextmanager
def _folder(path: Path | None) -> Iterator[Path]:
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        yield path.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def table() -> str:
    """The table of README.md: medians over the repeats of the last commit that was measured."""
    with (record.HERE / "loaders.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if row["commit"] == rows[-1]["commit"]]
    lines = ["| clips of 16 frames | MB a clip, cold, warm | clips/s over npy, cold, warm | without a limit, warm |"]
    lines.append("|---|---|---|---|")
    for form in FORMATS:
        size = [_median(rows, form, "100.0", epoch, _megabytes) for epoch in EPOCHS]
        speed = [_median(rows, form, "100.0", epoch, _over_npy(rows)) for epoch in EPOCHS]
        local = _median(rows, form, "inf", "warm", _over_npy(rows))
        shown = f"{form.name}{f' {form.reads}' * bool(form.reads)}, {WORDS[form.order]}"
        lines.append(f"| {shown} | {size[0]:.3f}, {size[1]:.3f} | {speed[0]:.2f}, {speed[1]:.2f} | {local:.2f} |")
    return "\n".join(lines)


Row = dict[str, str]
EPOCHS = ("cold", "warm")
WORDS = {"tiles": "cut without overlap", "any": "from any row on"}


def _median(rows: list[Row], form: Format, rate: str, epoch: str, value: Callable[[Row], float]) -> float:
    wanted = (form.name, form.reads, form.order, rate, epoch)
    found = [value(row) for row in rows if _key(row) == wanted]
    return median(found) if found else float("nan")


def _key(row: Row) -> tuple[str, ...]:
    return row["format"], row["reads"], row["order"], row["mb_per_s"], row["epoch"]


def _megabytes(row: Row) -> float:
    return int(row["bytes_per_clip"]) / 1e6


def _over_npy(rows: list[Row]) -> Callable[[Row], float]:
    speeds = {(_key(row), row["repeat"]): float(row["clips_per_s"]) for row in rows}

    def over(row: Row) -> float:
        npy = ("npy", "", row["order"], row["mb_per_s"], row["epoch"])
        return float(row["clips_per_s"]) / speeds[npy, row["repeat"]]

    return over


if __name__ == "__main__":
    main()
