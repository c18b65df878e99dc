"""`--skip-existing` goes by what was encoded and how, not by names and times of files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc

SHAPES = Path(__file__).parents[2] / "samples/shapes.mp4"
VIDEO = {"fps": 2, "preset": "fast"}
DUMP = {"preset": "fast", "chunk_frames": 8}


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((40, 4, 8)).cumsum(axis=0).astype(np.float16)


@pytest.fixture(scope="module")
def codebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with codebooks one and two, and weights one and two of channels."""
    folder = tmp_path_factory.mktemp("codebooks")
    for number, name in enumerate(("one", "two")):
        np.save(folder / "corpus.npy", rows(10 + number))
        embdc.train_codebook([folder / "corpus.npy"], folder / f"{name}.embdcb", holdout=0.0)
        np.save(folder / f"{name}.npy", np.linspace(1, 2 + number, 8, dtype=np.float32))
    return folder


@dataclass
class Job:
    """An input and its archive, which a change meets before they are encoded again."""

    source: Path
    out: Path
    codebooks: Path
    options: dict[str, Any] = field(default_factory=dict)

    def rewritten(self, data: bytes) -> None:
        """The source with other bytes and the times it had."""
        before = self.source.stat()
        self.source.write_bytes(data)
        os.utime(self.source, ns=(before.st_atime_ns, before.st_mtime_ns))

    def flipped(self, place: int) -> None:
        data = bytearray(self.source.read_bytes())
        data[place] ^= 1
        self.rewritten(bytes(data))


def nothing(job: Job) -> None:
    del job


def touched(job: Job) -> None:
    os.utime(job.source, (1, 1))


def other_bytes_of_the_same_size_and_time(job: Job) -> None:
    job.flipped(job.source.read_bytes().find(b"Lavf") + 5 if job.source.suffix == ".mp4" else -1000)  # of no picture


def longer(job: Job) -> None:
    job.rewritten(job.source.read_bytes() + bytes(8))


def renamed(job: Job) -> None:
    job.source = job.source.rename(job.source.with_name(f"renamed{job.source.suffix}"))


def copied_to_another_folder(job: Job) -> None:
    folder = job.source.parent / "elsewhere"
    folder.mkdir()
    job.source = Path(shutil.copy(job.source, folder))


def archive_renamed(job: Job) -> None:
    job.out = job.out.rename(job.out.with_name("other.embdc"))


def archive_cut(job: Job) -> None:
    job.out.write_bytes(job.out.read_bytes()[:-1])


def archive_behind_another_name(job: Job) -> None:
    link = job.out.with_name("link.embdc")
    link.symlink_to(job.out)
    job.out = link


def no_archive(job: Job) -> None:
    job.out.write_bytes(b"something else")


def archive_of_another(job: Job) -> None:
    np.save(job.source.with_name("b.npy"), rows(5))
    embdc.encode(job.source.with_name("b.npy"), job.out, force=True, preset="fast", chunk_frames=8)


def archive_of_many(job: Job) -> None:
    parts = [job.out.with_name("a1.embdc"), job.out.with_name("a2.embdc")]
    for part in parts:
        shutil.copy(job.out, part)
    embdc.cat(parts, job.out, join="items", force=True)


def archive_of_the_same_twice(job: Job) -> None:
    copy = shutil.copy(job.out, job.out.with_name("copy.embdc"))
    embdc.cat([copy, copy], job.out, join="time", force=True)


def archive_rewritten(job: Job) -> None:
    copy = shutil.copy(job.out, job.out.with_name("copy.embdc"))
    embdc.cat([copy], job.out, force=True)


def archive_behind_that_of_another(job: Job) -> None:
    np.save(job.source.with_name("b.npy"), rows(5))
    embdc.encode(job.source.with_name("b.npy"), job.out.with_name("b.embdc"), preset="fast", chunk_frames=8)
    job.out.write_bytes(job.out.with_name("b.embdc").read_bytes() + job.out.read_bytes())


def archive_of_a_part(job: Job) -> None:
    parts = embdc.split(job.out, job.out.with_name("part-{n}.embdc"), every="1s")["outputs"]
    assert len(parts) > 1
    os.replace(parts[0]["output"], job.out)


def with_options(**options: Any) -> Callable[[Job], None]:
    def change(job: Job) -> None:
        job.options |= options

    return change


def with_codebook(name: str) -> Callable[[Job], None]:
    def change(job: Job) -> None:
        job.options["codebook"] = job.codebooks / f"{name}.embdcb"

    return change


def with_weighting(name: str) -> Callable[[Job], None]:
    def change(job: Job) -> None:
        job.options["weighting"] = str(job.codebooks / f"{name}.npy")

    return change


def weights_rewritten(job: Job) -> None:
    copy = job.out.with_name("weights.npy")
    shutil.copy(job.codebooks / "two.npy", copy)
    job.options["weighting"] = str(copy)


SKIPPED, DONE = "skipped", "done"
Change = Callable[[Job], None]
CASES: list[tuple[str, str, Change, Change, str]] = [
    (kind, name, begin, change, expected)
    for kind in ("dump", "video")
    for name, begin, change, expected in [
        ("nothing", nothing, nothing, SKIPPED),
        ("touched", nothing, touched, SKIPPED),
        ("same size and time", nothing, other_bytes_of_the_same_size_and_time, DONE),
        ("longer", nothing, longer, DONE),
        ("source renamed", nothing, renamed, SKIPPED),
        ("source copied", nothing, copied_to_another_folder, SKIPPED),
        ("archive renamed", nothing, archive_renamed, SKIPPED),
        ("archive linked", nothing, archive_behind_another_name, SKIPPED),
        ("archive cut", nothing, archive_cut, DONE),
        ("no archive", nothing, no_archive, DONE),
        ("archive of many", nothing, archive_of_many, DONE),
        ("archive of the same twice", nothing, archive_of_the_same_twice, DONE),
        ("archive rewritten", nothing, archive_rewritten, SKIPPED),
        ("other target", nothing, with_options(preset=None, target_nmse=0.2), DONE),
        ("other effort", nothing, with_options(preset=None, effort=0, target_cosine=0.9), DONE),
        ("other codec", nothing, with_options(preset=None, lossless=True), DONE),
        ("jobs", nothing, with_options(jobs=2), SKIPPED),
        ("name recorded now", nothing, with_options(record_name=True), DONE),
        ("name recorded", with_options(record_name=True), nothing, SKIPPED),
        ("name recorded, renamed", with_options(record_name=True), renamed, DONE),
    ]
] + [
    ("dump", "archive of another", nothing, archive_of_another, DONE),
    ("dump", "archive behind another", nothing, archive_behind_that_of_another, DONE),
    ("dump", "codebook", with_codebook("one"), nothing, SKIPPED),
    ("dump", "codebook now", nothing, with_codebook("one"), DONE),
    ("dump", "other codebook", with_codebook("one"), with_codebook("two"), DONE),
    ("dump", "weights", with_weighting("one"), with_weighting("one"), SKIPPED),
    ("dump", "other weights", with_weighting("one"), with_weighting("two"), DONE),
    ("dump", "weights of another name", with_weighting("two"), weights_rewritten, SKIPPED),
    ("video", "archive of a part", with_options(chunk_frames=1), archive_of_a_part, DONE),
    ("video", "other frames", nothing, with_options(fps=1), DONE),
    ("video", "other part", nothing, with_options(time="0s..1s"), DONE),
]


@pytest.mark.parametrize(
    ("kind", "name", "begin", "change", "expected"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES]
)
def test_what_is_skipped(
    tmp_path: Path, codebooks: Path, kind: str, name: str, begin: Change, change: Change, expected: str
) -> None:
    del name
    source = tmp_path / ("a.mp4" if kind == "video" else "a.npy")
    if kind == "video":
        shutil.copy(SHAPES, source)
    else:
        np.save(source, rows(0))
    job = Job(source, tmp_path / "a.embdc", codebooks, dict(VIDEO if kind == "video" else DUMP))
    begin(job)
    assert embdc.encode(job.source, job.out, skip_existing=True, **job.options)["status"] == DONE
    change(job)
    before = job.out.read_bytes()
    if expected == DONE:  # what is there is not lost without being asked for
        with pytest.raises(embdc.OutputExists):
            embdc.encode(job.source, job.out, skip_existing=True, **job.options)
        assert job.out.read_bytes() == before
    assert embdc.encode(job.source, job.out, skip_existing=True, force=True, **job.options)["status"] == expected
    assert (job.out.read_bytes() == before) == (expected == SKIPPED)
    assert embdc.encode(job.source, job.out, skip_existing=True, **job.options)["status"] == SKIPPED


def test_a_large_source_is_known_by_its_size_and_its_first_and_last_mib(tmp_path: Path) -> None:
    source, out = tmp_path / "a.npy", tmp_path / "a.embdc"
    np.save(source, np.random.default_rng(0).integers(0, 9, (50, 64, 512)).astype(np.float16))
    job = Job(source, out, tmp_path)
    embdc.encode(source, out, lossless=True)
    size = source.stat().st_size
    assert size > 3 << 20
    for place, status in ((size // 2, SKIPPED), ((1 << 20) - 1, DONE), (size - (1 << 20), DONE)):
        job.flipped(place)
        assert embdc.encode(source, out, lossless=True, skip_existing=True, force=True)["status"] == status
