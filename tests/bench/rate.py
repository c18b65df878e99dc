"""Bits per value at fixed errors over real dumps, every byte of the file counted."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import record

import embdc_cli as embdc

TARGETS = (("target_nmse", 0.1), ("target_nmse", 0.03), ("target_nmse", 0.01), ("target_channel_nmse", 0.1))


def main() -> None:
    folder = Path(os.environ["EMBDC_TEST_DATA"]) / "data/embeddings"
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        out = str(Path(scratch) / "a.embdc")
        for path in sorted(folder.glob("*.npy")):
            if "labels" in path.name or "logits" in path.name:
                continue
            for name, goal in TARGETS:
                result = embdc.encode(str(path), out, force=True, **{name: goal})
                rows.append(
                    {
                        "dump": path.stem,
                        "target": f"{name.removeprefix('target_')}<={goal}",
                        "bits_per_value": round(result["bits_per_value"], 4),
                        "nmse": round(result["achieved"]["nmse"], 5),
                        "cosine": round(result["achieved"]["cosine"], 5),
                    }
                )
            result = embdc.encode(str(path), out, force=True, lossless=True)
            exact = {"dump": path.stem, "target": "lossless", "nmse": 0.0, "cosine": 1.0}
            rows.append({**exact, "bits_per_value": round(result["bits_per_value"], 4)})
    record.append("rate", rows)


if __name__ == "__main__":
    main()
