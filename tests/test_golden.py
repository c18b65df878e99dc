"""Archives and codebooks that earlier versions wrote decode as they did then, and what only a later one can write is
refused with the reason.

The files in `golden/` are named by version and what is in them; they are never written again, only added to. Those of
0.1 are of the draft of the format, those of v1 of its version 1.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.codebook import file as codebook_file
from embdc_cli.container import spec
from tests.container.container_cases import dumped, forged, parse, split
from tests.fuzz.targets import ENCODED
from tests.synthetic import errors

GOLDEN = Path(__file__).parent / "golden"
ARCHIVES = {
    "0.1-codebook": "transform-1",
    **{f"{version}-{name}": name for name in ENCODED for version in ("0.1", "v1")},
}
"""Golden archive: the source it was made from."""


def test_every_golden_file_is_tested() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(
        [*(f"{name}.embdc" for name in ARCHIVES), "0.1.embdcb"]
    )


@pytest.mark.parametrize("name", ARCHIVES)
def test_golden_archives_decode(name: str) -> None:
    path = GOLDEN / f"{name}.embdc"
    source, options = ENCODED[ARCHIVES[name]]
    assert embdc.inspect(path)["format_version"] == name.startswith("v1")
    assert embdc.verify(path, deep=True)["problems"] == []  # the integers are those that were written
    with embdc.open(path) as archive:
        rows = archive["data"][:].numpy()
    assert rows.shape == source.shape
    if options.get("lossless"):
        assert rows.tobytes() == source.tobytes()
    else:
        assert errors(source, rows)["nmse"] <= 1.01 * float(options["target_nmse"])


def test_golden_codebooks_are_read() -> None:
    codebook = codebook_file.read((GOLDEN / "0.1.embdcb").read_bytes())
    with embdc.open(GOLDEN / "0.1-codebook.embdc") as archive:
        assert codebook.digest in archive.reader.codebooks()
    assert np.allclose(codebook.vectors() @ codebook.vectors().T, np.eye(codebook.rank), atol=0.01)


def newer_chunk(data: bytes) -> bytes:
    """With a chunk that a reader must understand."""
    chunks = split(data)
    return forged([chunks[0], (b"NEWS", b"of a later version"), *chunks[1:]])


def newer_stage(data: bytes) -> bytes:
    """With models that use a stage of a later version."""
    chunks = split(data)
    models = bytearray(next(content for kind, content in chunks if kind == spec.MODELS))
    models[spec.MODELS_BYTES + 1] = 127  # the id of the first stage, after their number
    crc = zlib.crc32(models[spec.MODELS_BYTES :]).to_bytes(4, "little")
    changed = {spec.MODELS: lambda _: bytes(models), spec.DATA: lambda content: content[:52] + crc + content[56:]}
    return forged([(kind, changed.get(kind, bytes)(content)) for kind, content in chunks])


def newer_header(change: dict[str, object]) -> bytes:
    chunks = split((GOLDEN / "0.1-transform-0.embdc").read_bytes())
    return forged([(spec.HEAD, dumped({**parse(chunks[0][1]), **change})), *chunks[1:]], seal=False)


GOOD = (GOLDEN / "0.1-transform-0.embdc").read_bytes()
NEWER = {
    "chunk": (newer_chunk(GOOD)[:-9], "critical chunk 'NEWS' is unknown here"),
    "feature": (newer_header({"features": ["mirrors"]}), "mirrors"),
    "reader": (newer_header({"min_reader": 7}), "reader level 7"),
}


@pytest.mark.parametrize("kind", NEWER)
def test_what_needs_a_newer_reader_is_refused_with_the_reason(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, words = NEWER[kind]
    (tmp_path / "a.embdc").write_bytes(data)
    for command in (["inspect"], ["verify"], ["decode", "-o", str(tmp_path / "x.npy"), "--on-damage", "nan"]):
        assert main([command[0], str(tmp_path / "a.embdc"), *command[1:]]) == 6
        said = capsys.readouterr().err
        assert words in said
        assert "hint: use a newer embdc" in said


def test_an_index_may_not_hide_a_newer_chunk(tmp_path: Path) -> None:
    """Behind a good index, too."""
    (tmp_path / "a.embdc").write_bytes(newer_chunk(GOOD))
    with pytest.raises(embdc.UnsupportedArchive, match="NEWS"):
        embdc.verify(tmp_path / "a.embdc")


def test_a_newer_stage_names_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.embdc").write_bytes(newer_stage(GOOD))
    assert main(["decode", str(tmp_path / "a.embdc"), "-o", str(tmp_path / "x.npy")]) == 6
    assert "codec stage: id 127" in capsys.readouterr().err
