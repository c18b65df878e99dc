"""Options from Python: as the command line's, with numbers, paths and lists where they are natural."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.options import DecodeOptions, EncodeOptions, Target, from_keywords
from tests.synthetic import embeddings


def test_numbers_paths_and_lists_become_what_the_command_line_gives() -> None:
    options = from_keywords(
        EncodeOptions, {"fps": 2, "special_tokens": 1, "encoder": Path("towers/vit"), "streams": ["patch", "cls"]}
    )
    assert options == EncodeOptions(fps="2", special_tokens="1", encoder="towers/vit", streams=("patch", "cls"))


@pytest.mark.parametrize("kind", [EncodeOptions, DecodeOptions])
def test_an_unknown_option_is_named(kind: type) -> None:
    with pytest.raises(embdc.UsageError, match="'qualty' is unknown"):
        from_keywords(kind, {"qualty": 3})


@pytest.mark.parametrize(
    ("options", "target", "effort"),
    [
        ({}, Target("cosine", 0.97), 1),
        ({"preset": "fast"}, Target("cosine", 0.97), 0),
        ({"preset": "small"}, Target("cosine", 0.93), 3),
        ({"preset": "near-lossless"}, Target("cosine", 0.985), 2),
        ({"preset": "small", "effort": 0}, Target("cosine", 0.93), 0),
        ({"target_bpv": 0.5, "effort": 3}, Target("bpv", 0.5), 3),
        ({"lossless": True}, Target("lossless"), 1),
        ({"codec": "lossless"}, Target("lossless"), 1),
    ],
)
def test_presets_are_a_cosine_and_an_effort(options: dict[str, object], target: Target, effort: int) -> None:
    made = from_keywords(EncodeOptions, options)
    assert made.target() == target
    assert made.effort_level() == effort


def test_paths_everywhere(tmp_path: Path) -> None:
    embdc.encode(embeddings(), tmp_path / "a.embdc")
    embdc.decode(tmp_path / "a.embdc", tmp_path / "a.npy")
    assert embdc.open(tmp_path / "a.embdc")["data"].shape == (40, 12, 24)


REFUSED = [
    ({"effort": "1"}, "--effort: expected a whole number, found '1'"),
    ({"effort": True}, "--effort: expected a whole number, found True"),
    ({"effort": 1.5}, "--effort: expected a whole number, found 1.5"),
    ({"jobs": -3}, "--jobs: expected a whole number from 1, found -3"),
    ({"jobs": None}, "--jobs: expected a whole number, found None"),
    ({"chunk_frames": 0}, "--chunk-frames: expected a whole number from 1, found 0"),
    ({"max_size": "500MB"}, "--max-size: expected a whole number, found '500MB'"),
    ({"target_nmse": "0.1"}, "--target-nmse: expected a number, found '0.1'"),
    ({"target_nmse": [0.1]}, r"--target-nmse: expected a number, found \[0.1\]"),
    ({"lossless": 1}, "--lossless: expected True or False, found 1"),
    ({"codec": "zip"}, "--codec: expected one of transform, vq, h264, hevc, av1, lossless, auto, found 'zip'"),
    ({"codec": None}, "--codec: expected text, found None"),
    ({"nonfinite": "perhaps"}, "--nonfinite: expected one of refuse, keep, found 'perhaps'"),
    ({"embed_codebook": "often"}, "--embed-codebook: expected one of auto, yes, no, found 'often'"),
    ({"axes": ["t", "c"]}, r"--axes: expected text, found \['t', 'c'\]"),
    ({"fps": True}, "--fps: expected text, found True"),
    ({"streams": 3}, "--streams: expected names, found 3"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_a_value_that_an_option_cannot_have_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(embdc.UsageError, match=f"^{message}$"):
        embdc.encode(embeddings(), "never.embdc", **options)


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (embdc.encode, {"device": "bogus"}, "--device: expected auto"),
        (embdc.encode, {"effort": 4}, "--effort: expected 0, 1, 2 or 3"),
        (embdc.decode, {"device": "bogus"}, "--device: expected auto"),
        (embdc.decode, {"on_damage": "ignore"}, "--on-damage: expected one of"),
        (embdc.decode, {"codebooks": 3}, "--codebook: expected names, found 3"),
        (embdc.train_codebook, {"reading": "x"}, "--reading: expected an EncodeOptions"),
        (embdc.train_codebook, {"seed": -1}, "--seed: expected a whole number from 0"),
    ],
)
def test_values_are_checked_in_every_function(
    function: Callable[..., object], options: dict[str, object], words: str
) -> None:
    with pytest.raises(embdc.UsageError, match=words):
        function("a.npy", "b.embdc", **options)


def test_numbers_of_numpy_and_one_name_alone() -> None:
    asked = {"effort": np.int64(2), "target_nmse": np.float32(0.5), "max_size": 5e8, "fps": np.float64(2.5)}
    expected = EncodeOptions(effort=2, target_nmse=0.5, max_size=500_000_000, fps="2.5", streams=("patch",))
    made = from_keywords(EncodeOptions, asked | {"streams": "patch", "lossless": np.False_, "preset": None})
    assert made == expected
    assert type(made.effort) is int
    assert from_keywords(DecodeOptions, {"codebooks": "a.embdcb"}).codebooks == ("a.embdcb",)
