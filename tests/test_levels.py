"""The first levels of a vector-quantised archive: coarser values from fewer bytes, and damage is noticed as ever."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.errors import CorruptArchive, UsageError
from tests.codec.codec_cases import nmse, smooth

SHAPE = (64, 60, 32)
ROWS = smooth(SHAPE)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("levels") / "a.embdc"
    embdc.encode(ROWS, path, codec="vq", target_bpv=2.5, effort=0, chunk_frames=32)
    return path


def read(path: Path, levels: int | None) -> tuple[np.ndarray, int]:
    """(values, bytes read for them)."""
    with embdc.open(path, levels=levels) as opened:
        before = opened.reader.bytes_read
        return opened["data"][:].numpy(), opened.reader.bytes_read - before


def test_more_levels_lose_less_and_read_more(archive: Path) -> None:
    found = [read(archive, levels) for levels in (1, 3, 8, 200, None)]
    errors = [nmse(ROWS, values) for values, _ in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[-1]
    assert np.array_equal(found[-1][0], found[-2][0])
    needed = [count for _, count in found[:3]]
    assert needed == sorted(needed)
    assert needed[0] < found[-1][1] / 3


def test_slices_and_copies_in_other_processes_keep_the_levels(archive: Path) -> None:
    whole, _ = read(archive, 3)
    with embdc.open(archive, levels=3) as opened:
        assert np.array_equal(opened["data"][70:75].numpy(), whole[70:75])
        with pickle.loads(pickle.dumps(opened)) as copied:
            assert np.array_equal(copied["data"][5].numpy(), whole[5])


def test_special_tokens_and_exact_values_have_levels_too(tmp_path: Path) -> None:
    rows = smooth((64, 17, 24))
    rows[3, 2, 1] = np.nan
    path = tmp_path / "a.embdc"
    embdc.encode(rows, path, codec="vq", target_bpv=3.0, effort=0, nonfinite="keep", special_tokens="1")
    fine, coarse = read(path, None)[0], read(path, 1)[0]
    assert np.isnan(coarse[3, 2, 1])
    known = np.nan_to_num(rows)
    assert nmse(known, np.nan_to_num(fine)) < nmse(known, np.nan_to_num(coarse)) < 1


def test_every_flip_in_what_is_read_is_noticed(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    good, _ = read(archive, 2)
    with embdc.open(archive) as opened:
        entry = opened["data"].stream.overlapping(0, 1)[0]
    copy = tmp_path / "b.embdc"
    silent = 0
    for bit in np.random.default_rng(0).integers(8 * entry.offset, 8 * (entry.offset + entry.length // 2), 60):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        copy.write_bytes(changed)
        try:
            silent += not np.array_equal(read(copy, 2)[0], good)
        except CorruptArchive:
            continue
    assert silent == 0


def test_other_codecs_have_none(tmp_path: Path) -> None:
    for options in ({"codec": "transform", "target_bpv": 1.0}, {"lossless": True}):
        path = tmp_path / "a.embdc"
        embdc.encode(ROWS[:8], path, force=True, **options)
        with embdc.open(path, levels=1) as opened, pytest.raises(UsageError, match="not coded by vq"):
            opened["data"][:]


def test_at_least_one(archive: Path) -> None:
    with pytest.raises(UsageError, match="at least 1, found 0"):
        embdc.open(archive, levels=0)


def test_decode_takes_them(archive: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    embdc.decode(archive, tmp_path / "a.npy", levels=2)
    assert np.array_equal(np.load(tmp_path / "a.npy"), read(archive, 2)[0])
    embdc.decode(archive, "-", levels=2, follow=True, format="raw")
    assert capfdbinary.readouterr().out == read(archive, 2)[0].tobytes()
