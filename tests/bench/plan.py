"""How far `embdc plan` is from what `embdc encode` gives, sampling all of a dump or a part.

python tests/bench/plan.py [--dumps WORD ...] [--presets NAME ...] [--samples 1 0.5 0.25]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import record

import embdc_cli as embdc
from embdc_cli.options import PRESETS

PART_CHUNK_FRAMES = 8
"""In chunks of 64 rows most of these dumps are one or two, and a part of them cannot be taken."""


def compared(path: Path, presets: list[str], sample: float) -> list[dict[str, Any]]:
    """A row for every preset. sample: how much of the dump is encoded for the forecast."""
    options: dict[str, Any] = {"chunk_frames": PART_CHUNK_FRAMES} if sample < 1 else {}
    taken = max(1, int(path.stat().st_size * sample)) if sample < 1 else 256 << 20
    document = embdc.plan(path, rows=presets, sample=taken, **options)
    rows = []
    for predicted in document["rows"]:
        written = encoded(path, predicted["preset"], options.get("chunk_frames"))
        rows.append(
            {
                "dump": path.stem,
                "preset": predicted["preset"],
                "chunks_sampled": f"{document['sample']['chunks']}/{document['sample']['of_chunks']}",
                "sample": sample,
                "predicted_bytes": predicted["file_bytes"],
                "written_bytes": written["file_bytes"],
                "error_percent": round(100 * (predicted["file_bytes"] / written["file_bytes"] - 1), 2),
                "nmse": round(predicted["nmse"], 4),
                "written_nmse": round(written["achieved"]["nmse"], 4),
                "encode_s": round(predicted["encode_s"], 2),
                "encode_s_taken": round(written["seconds"]["total"], 2),
            }
        )
    return rows


@cache
def encoded(path: Path, preset: str, chunk_frames: int | None) -> dict[str, Any]:
    """What `encode` writes; the same for every size of the sample."""
    with tempfile.TemporaryDirectory() as scratch:
        return embdc.encode(path, Path(scratch) / "a.embdc", preset=preset, chunk_frames=chunk_frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dumps", nargs="*", default=[""], help="only dumps with one of these words in their names")
    parser.add_argument("--presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--samples", nargs="*", type=float, default=[1.0, 0.5, 0.25], help="shares of a dump")
    args = parser.parse_args()
    folder = Path(os.environ["EMBDC_TEST_DATA"]) / "data/embeddings"
    paths = [path for path in sorted(folder.glob("*.npy")) if "labels" not in path.name and "logits" not in path.name]
    errors: dict[float, list[float]] = {sample: [] for sample in args.samples}
    for sample in args.samples:
        for path in paths:
            if any(word in path.name for word in args.dumps):
                rows = compared(path, args.presets, sample)
                errors[sample] += [abs(row["error_percent"]) for row in rows]
                record.append("plan", rows)
        if errors[sample]:
            median, worst = statistics.median(errors[sample]), max(errors[sample])
            print(f"sample {sample}: median error {median:.2f} %, worst {worst:.2f} %")


if __name__ == "__main__":
    main()
