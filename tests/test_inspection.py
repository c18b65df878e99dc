"""inspect and verify: every byte accounted for, quality as achieved, faults named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container import canonical, spec
from embdc_cli.container.packed_json import pack
from tests.container.container_cases import edited
from tests.synthetic import embeddings, errors

FIELDS = {
    "format_version", "complete", "file_bytes", "parts", "values", "bits_per_value", "ratio_fp16", "ratio_fp32",
    "streams", "codec", "encoder", "source", "target", "achieved",
}  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    out = tmp_path / "a.embdc"
    embdc.encode(embeddings(), str(out), chunk_frames=8, target_nmse=0.05)
    return out


def test_inspect_accounts_for_every_byte(archive: Path) -> None:
    document = embdc.inspect(str(archive), chunks=True, stats=True)
    assert document.keys() >= FIELDS
    assert sum(document["parts"].values()) == document["file_bytes"] == archive.stat().st_size
    assert document["bits_per_value"] == 8 * archive.stat().st_size / embeddings().size
    assert document["streams"][0]["shape"] == [40, 12, 24]
    assert document["streams"][0]["chunks"] == len(document["chunks"]) == 5
    assert document["io"]["requests"] == 1
    y = embdc.open(str(archive))["data"][:].numpy()
    assert document["achieved"]["nmse"] == pytest.approx(errors(embeddings(), y)["nmse"], rel=1e-4)
    first = errors(embeddings()[:8], y[:8])
    assert document["chunks"][0]["cosine"] == pytest.approx(first["cosine"], abs=1e-3)


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"streams": 3, "source": "x", "target": [], "duration_seconds": "long"},
        {"streams": [{"codec": 1}]},
        {"streams": [{"codec": "transform", "sums": {"values": "many"}}]},
        {"streams": [{"codec": "transform", "sums": {"values": 1}, "achieved": {"nmse": None}}]},
    ],
    ids=["empty", "other types", "codec", "sums", "few figures"],
)
def test_a_summary_of_another_form_counts_as_unknown(summary: dict[str, object], archive: Path, tmp_path: Path) -> None:
    dump = tmp_path / "a.npy"
    np.save(dump, embeddings())
    content = pack(canonical.dumps(summary, "test"))
    archive.write_bytes(edited(archive.read_bytes(), spec.SUMMARY, lambda _: content))
    document = embdc.inspect(str(archive))
    assert document["achieved"] == dict.fromkeys(("nmse", "channel_nmse", "cosine", "cosine_p1"))
    assert document["target"]["kind"] == "nmse"
    assert document["streams"][0]["codec"] == "transform"
    assert embdc.verify(str(archive), against=str(dump))["exit"] in (4, 5)
    embdc.cat([str(archive), str(archive)], str(tmp_path / "both.embdc"))
    assert embdc.open(str(tmp_path / "both.embdc")).complete


PLANES = {
    "one basis": (embeddings(), {"effort": 0}, 0.8),
    "mixture": (embeddings(200), {"effort": 1}, 0.8),
    "by trellis": (embeddings(200), {"effort": 2}, 0.8),
    "special tokens": (embeddings(100, 17), {"effort": 0, "special_tokens": "auto"}, 0.8),
    "no tracks in time": (embeddings(300)[:, 0], {"effort": 1, "chunk_frames": 60}, 0.5),
}


@pytest.mark.parametrize("case", PLANES)
def test_planes_are_nearly_all_of_the_payload(case: str, tmp_path: Path) -> None:
    x, options, least = PLANES[case]
    embdc.encode(x, tmp_path / "a.embdc", target_nmse=0.02, **{"chunk_frames": 50} | options)
    (planes,) = embdc.inspect(tmp_path / "a.embdc", planes=True)["planes"]
    bits = np.array(planes["bits"])
    assert bits.shape == (7, len(planes["vectors"]))
    assert least < bits.sum() / 8 / planes["payload_bytes"] < 1.02
    assert bits[:, 0].sum() > 0
    starts, ends = np.array(planes["vectors"]).T
    assert starts[0] == 1
    assert (starts[1:] == ends[:-1] + 1).all()


def test_slow_things_are_means_and_fast_ones_are_short_periods(tmp_path: Path) -> None:
    x = embeddings(64).astype(np.float32)
    rng = np.random.default_rng(5)
    still = np.repeat(rng.standard_normal((1, 12, 24)) * 4, 64, axis=0).astype(np.float32)
    flicker = still * (1 + 0.2 * (-1.0) ** np.arange(64)[:, None, None])
    found = {}
    for name, values in {"still": still + 0.001 * x, "flicker": flicker.astype(np.float32)}.items():
        embdc.encode(values, tmp_path / "a.embdc", target_nmse=0.001, effort=0, force=True)
        found[name] = np.array(embdc.inspect(tmp_path / "a.embdc", planes=True)["planes"][0]["bits"]).sum(axis=1)
    assert found["still"][0] > 0.9 * found["still"].sum()
    assert found["flicker"][6] > 0.3 * found["flicker"].sum()


def test_planes_of_what_has_none(tmp_path: Path) -> None:
    embdc.encode(embeddings(), tmp_path / "a.embdc", lossless=True)
    (planes,) = embdc.inspect(tmp_path / "a.embdc", planes=True)["planes"]
    assert planes["payload_bytes"] > 0
    assert planes["vectors"] == []


def test_every_cut_is_inspected_with_its_bytes_accounted_for(archive: Path) -> None:
    data = archive.read_bytes()
    for size in range(1400, len(data), 173):
        archive.write_bytes(data[:size])
        document = embdc.inspect(str(archive))
        assert document["complete"] is False
        assert sum(document["parts"].values()) == size
        assert document["exit"] == 3


def test_verify_a_good_archive_and_its_values(archive: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", embeddings())
    document = embdc.verify(str(archive), against=str(tmp_path / "x.npy"))
    assert document["ok"]
    assert document["exit"] == 0
    assert document["against"]["nmse"] <= 0.05
    np.save(tmp_path / "other.npy", embeddings(seed=8))
    document = embdc.verify(str(archive), against=str(tmp_path / "other.npy"))
    assert document["exit"] == 4


def test_verify_finds_flips_and_cuts(archive: Path) -> None:
    data = archive.read_bytes()
    for position in range(20, len(data), 97):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        archive.write_bytes(flipped)
        try:
            document = embdc.verify(str(archive))
        except (embdc.CorruptArchive, embdc.UnsupportedArchive):
            continue
        assert document["exit"] in (3, 5), position
        assert document["problems"], position
    archive.write_bytes(data[:-7])
    assert embdc.verify(str(archive))["exit"] == 3


def test_verify_names_the_rows_of_a_damaged_chunk(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    chunk = embdc.inspect(str(archive), chunks=True)["chunks"][2]
    data[chunk["offset"] + 120] ^= 1
    archive.write_bytes(data)
    (problem,) = embdc.verify(str(archive))["problems"]
    assert problem["lost"] == [{"stream": "data", "item": 0, "rows": [16, 24], "seconds": None}]


def test_verify_against_a_dump_without_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 0), np.float32))
    embdc.encode(tmp_path / "x.npy", tmp_path / "a.embdc")
    assert embdc.verify(tmp_path / "a.embdc", against=tmp_path / "x.npy")["ok"]
