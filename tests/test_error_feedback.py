"""Error feedback: nothing is lost for good, only delayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.errors import OutputExists, SourceError, UsageError


def gradients(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    weight = rng.normal(size=(96, 64)).astype(np.float32)
    return {"weight": weight, "half": weight[:, :16].astype(np.float16), "bias": rng.normal(size=64).astype(np.float32)}


def encode(folder: Path, tensors: dict[str, np.ndarray], **options: object) -> dict[str, np.ndarray]:
    np.savez(folder / "g.npz", **tensors)
    embdc.encode(folder / "g.npz", folder / "g.embdc", target_bpv=3, effort=0, force=True, **options)
    embdc.decode(folder / "g.embdc", folder / "d.npz", force=True)
    return dict(np.load(folder / "d.npz"))


@pytest.mark.parametrize("codec", ["transform", "hevc"])
def test_the_sum_of_what_was_sent_lacks_only_the_last_residual(tmp_path: Path, codec: str) -> None:
    residual = tmp_path / "r.npz"
    wanted = {name: np.zeros(one.shape) for name, one in gradients(0).items()}
    sent = {name: np.zeros(one.shape) for name, one in gradients(0).items()}
    for step in range(3):
        found = {"residual_in": str(residual)} if step else {}
        decoded = encode(tmp_path, gradients(step), codec=codec, residual_out=str(residual), **found)
        for name, one in gradients(step).items():
            wanted[name] += one
            sent[name] += decoded[name]
    last = np.load(residual)
    assert np.abs(last["weight"]).max() > 0.1  # three bits lose something
    assert not last["bias"].any()  # kept exactly
    for name in wanted:
        np.testing.assert_allclose(sent[name] + last[name], wanted[name], atol=1e-4)


def test_a_residual_of_another_shape_or_name_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", weight=np.zeros((3, 3), np.float32))
    with pytest.raises(SourceError, match=r"expected \(96, 64\), found \(3, 3\)"):
        encode(tmp_path, gradients(0), residual_in=str(tmp_path / "r.npz"))
    np.savez(tmp_path / "r.npz", other=np.zeros((96, 64), np.float32))
    with pytest.raises(SourceError, match="'other' is not in the input"):
        encode(tmp_path, gradients(0), residual_in=str(tmp_path / "r.npz"))


def test_what_it_cannot_go_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--residual-out"):
        encode(tmp_path, gradients(0), residual_out=str(tmp_path / "r.npz"), one_pass=True)
    (tmp_path / "r.npz").write_bytes(b"there")
    np.save(tmp_path / "x.npy", gradients(0)["weight"])
    with pytest.raises(OutputExists):
        embdc.encode(tmp_path / "x.npy", tmp_path / "x.embdc", residual_out=str(tmp_path / "r.npz"))
    assert (tmp_path / "r.npz").read_bytes() == b"there"
    assert not (tmp_path / "x.embdc").exists()


def test_a_residual_that_cannot_be_written_is_refused_before_anything_is(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", gradients(0)["weight"])
    for path in ("r.foo", "x.npy"):
        with pytest.raises(UsageError):
            embdc.encode(tmp_path / "x.npy", tmp_path / "x.embdc", residual_out=str(tmp_path / path), force=True)
        assert not (tmp_path / "x.embdc").exists()
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), gradients(0)["weight"])


def test_what_is_kept_exactly_loses_nothing(tmp_path: Path) -> None:
    tensors = gradients(0)
    tensors["weight"][3, 4:6] = np.nan, np.inf
    encode(tmp_path, tensors, nonfinite="keep", residual_out=str(tmp_path / "r.npz"))
    residual = np.load(tmp_path / "r.npz")["weight"]
    assert np.isfinite(residual).all()
    assert not residual[3, 4:6].any()
    assert residual.any()


def test_ragged_rows_are_refused(tmp_path: Path) -> None:
    rows = [np.ones((n, 8), np.float32) for n in (2, 3)]
    with pytest.raises(UsageError, match="found ragged ones"):
        embdc.encode(rows, tmp_path / "x.embdc", residual_out=str(tmp_path / "r.npz"))
    assert not (tmp_path / "x.embdc").exists()
