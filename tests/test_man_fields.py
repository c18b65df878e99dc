"""The JSON fields that the manual documents are the fields that the commands produce."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from tests import man_pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small dumps and their archives, and of one a damaged and a damaged and cut copy."""
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        rows = rng.standard_normal((40, 4, 8)).cumsum(axis=0)
        np.save(folder / f"{name}.npy", rows.astype(np.float16))
        dump, archive = str(folder / f"{name}.npy"), str(folder / f"{name}.embdc")
        assert main(["encode", dump, "-o", archive, "--chunk-frames", "8", "-q"]) == 0
    np.save(folder / "long.npy", rng.standard_normal((12, 64, 8)).astype(np.float16))
    np.save(folder / "head.npy", rng.standard_normal((3, 8)).astype(np.float32))
    np.save(folder / "one.npy", rng.standard_normal(8).astype(np.float32))
    config = {"model_type": "qwen2_vl", "hidden_size": 8, "vision_config": {}}
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(config))
    np.save(folder / "labels.npy", np.arange(40) % 3)
    np.savez(folder / "timed.npz", clip=rows.astype(np.float16), timestamps=np.arange(40) / 25)
    chunk = embdc.inspect(str(folder / "a.embdc"), chunks=True)["chunks"][1]
    damaged = bytearray((folder / "a.embdc").read_bytes())
    damaged[chunk["offset"] + chunk["bytes"] // 2] ^= 1
    (folder / "damaged.embdc").write_bytes(damaged)
    (folder / "cut.embdc").write_bytes(damaged[: chunk["offset"] + 3 * chunk["bytes"]])
    assert main(["encode", str(folder / "timed.npz"), "-o", str(folder / "timed.embdc"), "-q"]) == 0
    assert main(["encode", str(folder / "timed.npz"), "-o", str(folder / "keyed.embdc"), "--key", "clip", "-q"]) == 0
    with embdc.open(folder / "timed.embdc") as archive:
        table = archive.reader.parts[0].table
    timeless = bytearray((folder / "timed.embdc").read_bytes())
    place = int(table.chunks["offset"][table.times["chunk"][0]])
    timeless[place : place + 60] = bytes(60)
    (folder / "timeless.embdc").write_bytes(timeless)
    return folder


COMMANDS: dict[str, list[list[str]]] = {
    "plan": [["plan", "a.npy", "--rows", "fast,lossless", "--probe", "head.npy"]],
    "encode": [["encode", "a.npy", "-o", "again.embdc", "-f", "--codec", "auto", "--effort", "0"]],
    "decode": [
        ["decode", "damaged.embdc", "-o", "out.npy", "-f", "--on-damage", "skip"],
        ["decode", "a.embdc", "-o", "out.safetensors", "-f", "--for", "vllm:model", "--grid", "2x2"],
    ],
    "inspect": [
        ["inspect", "a.embdc", "--chunks", "--stats", "--planes", "--decoded"],
        ["inspect", "cut.embdc"],
        ["inspect", "timed.npz", "--stats"],
    ],
    "ls": [["ls", "."], ["ls", "a.embdc", "none.embdc"]],
    "verify": [["verify", "damaged.embdc"], ["verify", "cut.embdc"], ["verify", "a.embdc", "--against", "a.npy"]],
    "compare": [
        ["compare", "a.npy", "a.embdc", "--probe", "head.npy", "--labels", "labels.npy", "--min-cosine", "1"],
        ["compare", "timed.npz", "timed.npz"],
    ],
    "repair": [["repair", "cut.embdc", "-o", "r.embdc", "-f"], ["repair", "timeless.embdc", "-o", "r.embdc", "-f"]],
    "cat": [["cat", "a.embdc", "b.embdc", "-o", "c.embdc", "-f"]],
    "split": [["split", "keyed.embdc", "--every", "1s", "-f"]],
    "search": [
        ["search", "a.embdc", "--query", "head.npy"],
        ["search", "damaged.embdc", "--query", "one.npy", "--pooled", "--on-damage", "skip"],
    ],
    "train-codebook": [
        ["train-codebook", "a.npy", "b.npy", "-o", "c.embdcb", "-f", "--holdout", "50%"],
        ["train-codebook", "long.npy", "-o", "v.embdcb", "-f", "--kind", "vq", "--refine", "1", "--init", "c.embdcb"],
        ["train-codebook", "long.npy", "-o", "v.embdcb", "-f", "--kind", "vq", "--refine", "0"],
    ],
}

WITH_A_CODEBOOK = {"codebooks[].digest", "codebooks[].bytes", "codebooks[].embedded"}
"""Fields of archives that these tests do not make."""

SEVERAL = {
    "plan": {
        f"totals.rows[].{name}"
        for name in ("name", "codec", "file_bytes", "bits_per_value", "ratio_fp16", "encode_s", "decode_s")
    }
}
"""Fields of documents of several inputs that are a command's own."""


@pytest.mark.parametrize("command", COMMANDS)
def test_fields(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    documents = []
    for args in COMMANDS[command]:
        main([*args, "--json", "-q"])
        documents.append(json.loads(capsys.readouterr().out))
    undocumented, missing = man_pages.undocumented_and_missing(documents, man_pages.fields(man_pages.page(command)))
    missing -= SEVERAL.get(command, set())
    assert undocumented == set()
    assert missing <= WITH_A_CODEBOOK
