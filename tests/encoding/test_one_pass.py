"""One pass: targets hold for what was seen so far, and the number of rows need not be known."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.encoding import causal
from embdc_cli.errors import ResourceError
from embdc_cli.source import stream_feed
from tests.synthetic import embeddings, errors


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "WINDOW_BYTES", 60_000)
    monkeypatch.setattr(stream_feed, "_BLOCK_BYTES", 20_000)


def piped(x: np.ndarray, out: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    """Encode `x` as raw numbers of unknown length on standard input."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(x.tobytes())))
    shape = "?x" + "x".join(map(str, x.shape[1:]))
    return embdc.encode("-", str(out), one_pass=True, force=True, raw=f"dtype=f16,shape={shape}", **options)


@pytest.mark.parametrize("goal", [0.1, 0.01])
def test_error_over_all_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goal: float) -> None:
    x = embeddings(400)
    out = tmp_path / "a.embdc"
    result = piped(x, out, monkeypatch, target_nmse=goal)
    view = embdc.open(str(out))["data"]
    assert len({chunk["segment"] for chunk in embdc.inspect(str(out), chunks=True)["chunks"]}) > 2
    found = errors(x, view[:].numpy())["nmse"]
    assert goal * 0.9 <= found <= goal
    assert result["achieved"]["nmse"] == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("bits", [2.0, 4.0])
def test_a_ceiling_is_held_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: float) -> None:
    x = embeddings(1200)
    result = piped(x, tmp_path / "a.embdc", monkeypatch, target_bpv=bits)
    assert bits * 0.9 <= 8 * result["file_bytes"] / x.size <= bits


def test_max_size_needs_a_known_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(embdc.UsageError, match="length must be known"):
        piped(embeddings(), tmp_path / "a.embdc", monkeypatch, max_size=10_000)
    x = embeddings(800)
    result = embdc.encode(x, str(tmp_path / "b.embdc"), one_pass=True, max_size=40_000)
    assert 36_000 <= result["file_bytes"] <= 40_000


def test_beyond_the_spool_bound_one_pass_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = embeddings(400)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(x.tobytes())))
    out = str(tmp_path / "a.embdc")
    embdc.encode("-", out, raw="dtype=f16,shape=?x12x24", spool_max=10_000, target_nmse=0.05)
    assert errors(x, embdc.open(out)["data"][:].numpy())["nmse"] <= 0.05


@pytest.mark.parametrize("options", [{"codec": "auto"}, {"residual_out": "r.npz"}])
def test_beyond_the_spool_bound_what_needs_the_whole_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(embeddings(400).tobytes())))
    with pytest.raises(ResourceError, match="spool: more than"):
        embdc.encode("-", "a.embdc", raw="dtype=f16,shape=?x12x24", spool_max=10_000, target_nmse=0.05, **options)
    assert not list(tmp_path.iterdir())


def test_lossless_in_one_pass_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = embeddings(400)
    x.view(np.uint16)[3, 1, 2] = 0x7E01  # a NaN with a payload
    piped(x, tmp_path / "a.embdc", monkeypatch, lossless=True)
    y = embdc.open(str(tmp_path / "a.embdc"))["data"][:].numpy()
    np.testing.assert_array_equal(x.view(np.uint16), y.view(np.uint16))


def test_times_companions_and_other_streams_survive_one_pass(tmp_path: Path) -> None:
    x = embeddings(400)
    seconds = np.cumsum(np.linspace(0.02, 0.08, 400))
    np.savez(tmp_path / "x.npz", features=x, timestamps=seconds)
    outs = {}
    for one_pass in (False, True):
        out = str(tmp_path / f"{one_pass}.embdc")
        embdc.encode(str(tmp_path / "x.npz"), out, one_pass=one_pass, target_nmse=0.05, chunk_frames=16)
        outs[one_pass] = embdc.open(out)
        assert embdc.verify(out)["ok"]
    np.testing.assert_array_equal(outs[True]["timestamps"][:].numpy(), outs[False]["timestamps"][:].numpy())
    for time in (0.0, 1.0, 7.77):
        assert outs[True].at(time, "features") == outs[False].at(time, "features")
    assert errors(x, outs[True]["features"][:].numpy())["nmse"] <= 0.05


@pytest.mark.parametrize("options", [{"dry_run": True}, {"resume": True}, {"codebook": "c.embdcb"}])
def test_what_needs_the_whole_input_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(embdc.UsageError, match="not with --one-pass"):
        embdc.encode(embeddings(), str(tmp_path / "a.embdc"), one_pass=True, **options)
    assert list(tmp_path.iterdir()) == []
