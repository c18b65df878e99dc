"""`--codec auto` takes the smallest, and `plan` has rows of any codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.errors import TargetMissed, UsageError
from embdc_cli.forecast import best_codec
from embdc_cli.forecast.rows import Row
from embdc_cli.options import EncodeOptions


def walk(rows: int = 20) -> np.ndarray:
    """(rows, 16, 24) float16 that moves slowly."""
    rng = np.random.default_rng(8)
    return (rng.normal(size=(rows, 16, 24)).cumsum(axis=0) * np.linspace(0.1, 3, 24)).astype(np.float16)


@pytest.mark.parametrize(("target", "measure"), [({"target_nmse": 0.05}, "file_bytes"), ({"target_bpv": 2.0}, "nmse")])
def test_auto_takes_the_best_and_says_what_it_tried(tmp_path: Path, target: dict[str, float], measure: str) -> None:
    result = embdc.encode(walk(), tmp_path / "a.embdc", codec="auto", effort=0, **target)
    tried = {one["codec"]: one[measure] for one in result["candidates"]}
    assert set(tried) == {"transform", "vq", "hevc", "av1"}
    assert result["streams"][0]["codec"] == min(tried, key=tried.__getitem__)
    same = embdc.encode(walk(), tmp_path / "b.embdc", codec=result["streams"][0]["codec"], effort=0, **target)
    assert result["achieved"]["nmse"] == pytest.approx(same["achieved"]["nmse"], rel=0.05)  # the recipe differs in size
    assert embdc.inspect(tmp_path / "a.embdc")["streams"][0]["codec"] == result["streams"][0]["codec"]


def test_auto_of_a_lossless_target_tries_nothing(tmp_path: Path) -> None:
    result = embdc.encode(walk(), tmp_path / "a.embdc", codec="auto", lossless=True)
    assert result["candidates"] == []
    assert result["streams"][0]["codec"] == "lossless"


def test_auto_needs_the_input_twice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="codec auto"):
        embdc.encode(walk(), tmp_path / "a.embdc", codec="auto", one_pass=True)


def test_rows_of_other_codecs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", walk())
    document = embdc.plan(tmp_path / "x.npy", rows=["nmse=0.1", "hevc:nmse=0.1", "av1:fast"], effort=0)
    assert [row["codec"] for row in document["rows"]] == ["transform", "hevc", "av1"]
    written = embdc.encode(tmp_path / "x.npy", tmp_path / "x.embdc", codec="hevc", target_nmse=0.1, effort=0)
    assert document["rows"][1]["file_bytes"] == written["file_bytes"]


def test_a_row_of_no_codec_is_refused() -> None:
    with pytest.raises(UsageError, match="before the colon, found 'mpeg'"):
        Row.parse("mpeg:fast")
    assert Row.parse("hevc:bpv=2").options(EncodeOptions(codebook="x")).codebook is None


def test_a_codec_that_misses_the_target_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = best_codec.predict

    def without_hevc(sample: Any, at_opening: Any, options: EncodeOptions, *more: Any) -> Any:
        if options.codec == "hevc":
            raise TargetMissed("too small")
        return usual(sample, at_opening, options, *more)

    monkeypatch.setattr(best_codec, "predict", without_hevc)
    result = embdc.encode(walk(), tmp_path / "a.embdc", codec="auto", effort=0, target_bpv=4)
    assert {one["codec"] for one in result["candidates"]} == {"transform", "vq", "av1"}


def test_when_all_miss_the_target_it_is_missed(tmp_path: Path) -> None:
    with pytest.raises(TargetMissed):
        embdc.encode(walk(), tmp_path / "a.embdc", codec="auto", effort=0, max_size=100)
    assert not (tmp_path / "a.embdc").exists()


def test_what_is_kept_exactly_needs_no_choice(tmp_path: Path) -> None:
    for target in ({"target_bpv": 200.0}, {"target_nmse": 0.1}):
        tensors = {name: np.linspace(0, 1, 90, dtype=np.float32) for name in "ab"}
        embdc.encode(tensors, tmp_path / "a.embdc", codec="auto", force=True, **target)
        assert embdc.inspect(tmp_path / "a.embdc")["streams"][0]["codec"] == "lossless"
