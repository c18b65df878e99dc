"""embdc against other coders: bits per value at equal error, all bytes counted, everything decoded.

    python tests/bench/rate_distortion.py [DUMP ...] [--coders WORD ...]
    python tests/bench/rate_distortion.py --table | --figure      # of the CSV, nothing is measured

DUMP: npy of (T, N, D), by default those of $EMBDC_TEST_DATA/data/embeddings that have no CLS among their tokens. Names
are CLIP__ENCODER__LAYER.npy; what `-trained` coders know is learnt on the other clips of the same encoder and layer
beside the dump, and not counted. The error is nmse, or channel_nmse where one channel holds most of the variance:
other coders see each channel over its deviation then, and embdc gets `weighting="channel"`.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import curves
import numpy as np
import peers
import record
from equal_error import summary, table
from equal_error_figure import figure
from peers.coder import Coded, Coder, normalised
from peers.whole_files import whole_files

from embdc_cli.parallel import one_blas_thread

ERRORS: Final = (0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
_MASSIVE: Final = 0.5  # of the variance in one channel


def dumps() -> list[Path]:
    """3-D ones, without those of 197 tokens: 14 x 14 and CLS."""
    folder = Path(os.environ["EMBDC_TEST_DATA"]) / "data/embeddings"
    shapes = {path: np.load(path, mmap_mode="r").shape for path in sorted(folder.glob("*.npy"))}
    return [path for path, shape in shapes.items() if len(shape) == 3 and shape[1] != 197]


def measure_of(path: Path, x: np.ndarray) -> str:
    """channel_nmse for dumps with a massive channel."""
    variances = x.reshape(-1, x.shape[-1]).astype(np.float64).var(axis=0)
    return "channel_nmse" if variances.max() > _MASSIVE * variances.sum() else "nmse"


def coders(path: Path, measure: str, words: list[str], scratch: Path) -> Iterator[Coder]:
    """All, in turn, that have one of `words` in their name."""
    scaled = measure == "channel_nmse"
    weighting = "channel" if scaled else "none"
    _, _, kind = path.stem.partition("__")
    others = [other for other in sorted(path.parent.glob(f"*__{kind}.npy")) if other != path] if kind else []

    found = [whole_files(effort, weighting=weighting) for effort in (1, 3)]
    if others:
        codebook = scratch / f"{path.stem}.embdcb"
        found.append(whole_files(1, weighting=weighting, others=others, codebook=codebook))
    found += peers.self_contained()
    if others:
        found += peers.trained([np.load(other) for other in others], scaled=scaled)
    wanted = [coder for coder in found if not words or any(word in coder.name for word in words)]
    yield from (normalised(coder, scaled=scaled) for coder in peers.present(wanted))


def points(coder: Coder, x: np.ndarray, measure: str) -> list[tuple[float, Coded]]:
    """(error, what was coded) from the middle setting to the first with less than the least of ERRORS, and the most."""
    found = []
    middle = len(coder.settings) // 2
    for settings, enough in (
        (coder.settings[middle:], lambda error: error <= min(ERRORS)),
        (coder.settings[:middle][::-1], lambda error: error >= max(ERRORS)),
    ):
        for setting in settings:
            coded = coder.coded(x, setting)
            found.append((curves.error(measure, x, coded.decoded), coded))
            if enough(found[-1][0]):
                break
    return found


def row(path: Path, measure: str, coder: Coder, x: np.ndarray) -> dict[str, Any]:
    """A line of the table; speeds are medians over what was coded."""
    found = points(coder, x, measure)
    curve = [(error, coded.bits) for error, coded in found]
    bits = {error: curves.bits_at(curve, error) for error in ERRORS}
    return {
        "dump": path.stem,
        "measure": measure,
        "coder": coder.name,
        **{f"bits_at_{error}": "" if np.isnan(one) else f"{one:.5f}" for error, one in bits.items()},
        "encode_mvalues_s": round(x.size / 1e6 / float(np.median([coded.encode_seconds for _, coded in found])), 3),
        "decode_mvalues_s": round(x.size / 1e6 / float(np.median([coded.decode_seconds for _, coded in found])), 3),
    }


def rows_of(file: Path) -> list[dict[str, str]]:
    """Of a CSV."""
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dumps", nargs="*", type=Path, metavar="DUMP")
    parser.add_argument(
        "--coders", nargs="*", default=[], metavar="WORD", help="only those with one of these in the name"
    )
    parser.add_argument("--table", action="store_true", help="print the table of the README")
    parser.add_argument("--figure", action="store_true", help="draw rate_distortion.svg")
    args = parser.parse_args()
    file = record.HERE / "rate_distortion.csv"
    if not args.table and not args.figure:
        with one_blas_thread(), tempfile.TemporaryDirectory() as scratch:
            for path in args.dumps or dumps():
                x = np.load(path)
                measure = measure_of(path, x)
                for coder in coders(path, measure, args.coders, Path(scratch)):
                    record.append("rate_distortion", [row(path, measure, coder, x)])
    rows = rows_of(file)
    if args.table:
        print(table(rows))
    elif args.figure:
        (record.HERE / "rate_distortion.svg").write_text(figure(rows))
    else:
        print(summary(rows))


if __name__ == "__main__":
    main()
