"""What a codebook of kind vq saves `--codec vq`, and what refinement and `--init` do for it.

    python tests/bench/vq_codebook.py [--refine N]

Each of three clips, in both layers of a ViT that are at hand, is coded in turn: the last 4 rows of it alone, as in an
archive of a few frames, and the last 16. Codebooks:

    other clips     learnt from every eighth row of the two other clips
    same clip       learnt from every fourth row of the clip itself, up to row 40
    adapted         refined on those rows, from the codebook of the other clips on (`--init`)

the first two as k-means leaves them, and refined. Bits per value at equal nmse, models and chunks counted, the codebook
not.
`taken` is the share of the steps measured at which the codec took the codebook; where it does not, it costs nothing.
`excess` is what it would have cost at a step of one rms had it been taken: bits at equal error, relative.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import record
from evaluation import data

from embdc_cli.codebook.basis import klt, mean_to_integers, to_integers
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.report import size_at
from embdc_cli.codebook.statistics import CorpusStatistics
from embdc_cli.codebook.trial import StreamTrial
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.training import REFINE_STEPS, VectorOptions, learn_levels
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.reporter import Silent
from embdc_cli.values import ArrayTensor, StreamSpec

CLIPS = ("cars", "juggle", "nasa")
TARGETS = {"final": (0.3, 0.2, 0.1), "penultimate": (0.03, 0.02, 0.015)}
CODED = (4, 16)


def tensor_of(rows: np.ndarray) -> ArrayTensor:
    """Rows (T, N, D) as a stream."""
    return ArrayTensor(StreamSpec("data", "float16", "tnc", rows.shape[1:], len(rows)), rows)


def trained(rows: list[np.ndarray], refine: int, init: Codebook | None = None) -> Codebook:
    """A codebook of kind vq of these streams."""
    statistics = CorpusStatistics(rows[0].shape[-1])
    for one in rows:
        moments = Moments(one.shape[-1], pairs=True)
        moments.add(one.reshape(-1, one.shape[-1]).astype(np.float32))
        statistics.add(moments)
    basis = to_integers(*klt(statistics.covariance))
    mean, exponent = mean_to_integers(statistics.mean)
    plain = Codebook(mean, exponent, basis.basis, basis.exponents, basis.spectrum, None, None, {"tokens": 0})
    options = VectorOptions(refine=refine, init=init)
    tensors = [tensor_of(one) for one in rows]
    return learn_levels(plain, statistics.covariance, tensors, [], Loss(), options, Silent()).codebook


def rows_of(layer: str, clip: str, codebooks: dict[str, Codebook | None], rows: np.ndarray) -> list[dict[str, object]]:
    """What the last rows cost with each codebook, at each error."""
    found: list[dict[str, object]] = []
    targets = TARGETS[layer]
    for name, codebook in codebooks.items():
        began = time.monotonic()
        curve = StreamTrial(tensor_of(rows), codebook, vector=True).curve(min(targets), max(targets))
        row: dict[str, object] = {"dump": f"{clip}__vit-tiny__{layer}", "rows": len(rows), "codebook": name}
        for number, nmse in enumerate(targets):
            size = size_at(nmse, curve)
            row |= {f"nmse_{number}": nmse, f"bits_{number}": "" if size is None else f"{8 * size / rows.size:.5f}"}
        row["taken"] = f"{np.mean([point.by_codebook for point in curve]):.2f}"
        fit = Fit(tensor_of(rows).spec, [rows], None, FitOptions(vector=True, codebook=codebook))
        excess = fit.models(fit.rms).groups[-1].excess
        row["excess"] = "" if excess is None else f"{excess:.3f}"
        row["codebook_bytes"] = 0 if codebook is None else len(codebook.file_bytes)
        row["seconds"] = f"{time.monotonic() - began:.1f}"
        found.append(row)
    return found


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refine", type=int, default=REFINE_STEPS)
    refine: int = parser.parse_args().refine
    for layer in TARGETS:
        dumps = {clip: np.load(data() / f"data/embeddings/{clip}__vit-tiny__{layer}.npy") for clip in CLIPS}
        for clip in CLIPS:
            others = [dumps[other][::8] for other in CLIPS if other != clip]
            same = [dumps[clip][:40:4]]
            of_others = trained(others, refine)
            codebooks = {
                "none": None,
                "other clips, basis": replace(of_others, levels=()),
                "other clips": trained(others, 0),
                "other clips, refined": of_others,
                "same clip": trained(same, 0),
                "same clip, refined": trained(same, refine),
                "adapted, refined": trained(same, refine, of_others),
            }
            for rows in CODED:
                record.append("vq_codebook", rows_of(layer, clip, codebooks, dumps[clip][-rows:]))


if __name__ == "__main__":
    main()
