"""`encode --config`: a file stands for options, what is typed goes before it, and mistakes in it are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from embdc_cli.options import EncodeOptions
from tests.cli.program import Embdc, Fake

TAKEN = [
    ('preset = "small"', (), EncodeOptions(preset="small")),
    ("target-cosine = 0.9\neffort = 0", (), EncodeOptions(target_cosine=0.9, effort=0)),
    ("target_bpv = 2", (), EncodeOptions(target_bpv=2.0)),
    ('max-size = "500MB"', (), EncodeOptions(max_size=500_000_000)),
    ("lossless = true\njobs = 2", (), EncodeOptions(lossless=True, jobs=2)),
    ("lossless = false", (), EncodeOptions()),
    (
        'streams = ["patch", "cls"]\nfps = 2.5\nlayer = -2',
        (),
        EncodeOptions(streams=("patch", "cls"), fps="2.5", layer=-2),
    ),
    ('special-tokens = 1\nkey = "a b"', (), EncodeOptions(special_tokens="1", key="a b")),
    ("effort = 3\nchunk-frames = 8", ("--effort", "0"), EncodeOptions(effort=0, chunk_frames=8)),
    ('preset = "small"', ("--target-bpv", "1"), EncodeOptions(target_bpv=1.0)),
    ("lossless = true", ("--preset", "fast"), EncodeOptions(preset="fast")),
    ("effort = 2", ("--effort", "1"), EncodeOptions(effort=1)),
    ("", (), EncodeOptions()),
]


@pytest.mark.parametrize(("text", "typed", "expected"), TAKEN, ids=lambda value: str(value)[:40])
def test_what_a_file_asks_for(
    embdc: Embdc, fake: Fake, text: str, typed: tuple[str, ...], expected: EncodeOptions, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    assert embdc("encode", "a.npy", "--config", "recipe.toml", *typed).exit == 0
    assert fake.last["options"] == expected


REFUSED = [
    ("efort = 1", 2, "expected options of encode, found 'efort'", "did you mean effort?"),
    ("target_cosin = 1", 2, "found 'target_cosin'", "did you mean target-cosine?"),
    ("output = 'x'", 2, "found 'output'", "it may have preset"),
    ("config = 'x'", 2, "found 'config'", None),
    ("force = true", 2, "found 'force'", None),
    ("effort = 1.5", 2, "--effort: expected a whole number from 0 to 3, found '1.5'", None),
    ("effort = true", 2, "--effort: expected a value, found True", None),
    ("effort = [1]", 2, "--effort: expected a value, found [1]", None),
    ("lossless = 1", 2, "--lossless: expected true or false, found 1", None),
    ("preset = 'best'", 2, "--preset: expected one of fast, balanced", None),
    ("[effort]", 2, "--effort: expected a value, found {}", None),
    ("effort = ", 2, "expected TOML, found", None),
    ("preset = 'fast'\nlossless = true", 2, "rate: --lossless and --preset exclude each other", None),
    (None, 8, "no such file", None),
]


@pytest.mark.parametrize(("text", "code", "message", "hint"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_wrong_with_a_file(
    embdc: Embdc, fake: Fake, text: str | None, code: int, message: str, hint: str | None, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "recipe.toml").write_text(text)
    done = embdc("encode", "a.npy", "--config", "recipe.toml")
    assert (done.exit, done.out, fake.calls) == (code, "", [])
    lines = done.err.splitlines()
    assert message in lines[0]
    assert lines[0].startswith("embdc: rate:" if message.startswith("rate:") else "embdc: --config: recipe.toml: ")
    assert hint is None or lines[1].startswith(f"hint: {hint}")


def test_a_file_that_is_no_text(embdc: Embdc, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\x00")
    done = embdc("encode", "a.npy", "--config", "recipe.toml")
    assert done.exit == 2
    assert "expected TOML" in done.err
