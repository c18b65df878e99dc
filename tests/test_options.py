"""Options from Python: as the command line's, with numbers, paths and lists where they are natural."""

from __future__ import annotations

from pathlib import Path

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
