"""What the network of a codebook and refinement of its levels do to the error at equal bits, each alone and together.

    python tests/bench/reconstruction.py

Each of three clips, in both layers of a ViT that are at hand, is coded with two codebooks: one learnt from the two
`others`, and one learnt from all three, the corpus it serves (`own`). Levels are learnt from every eighth row, networks
as `train-codebook` does, with the refined levels at hand; levels that are not refined get the same network. What is
coded is the last 16 rows, and all 64, which hardly borrow levels and are not tried with refined ones. Codings are
`--codec vq` with levels as k-means leaves them and refined, and `--codec transform`; each without the network (off),
with as much of it as the encoder chooses (auto), and with all of it (on). `nmse` is that at the bits which the coding
without network and refinement takes at steps of 0.5, 1 and 2 rms, read off between the nearest points on logarithmic
axes, and beyond the ends as between the last two; models and chunks count, the codebook does not. `gain` is how far
that is below the error without either. `kept` is whether `train-codebook --reconstruction auto` would keep the network
by what it does for this clip; of `own`, for the first clip.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import record
from evaluation import data
from vq_codebook import CLIPS, tensor_of, trained

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.reconstruction.training import pays, with_network
from embdc_cli.codebook.trial import EFFORT
from embdc_cli.codebook.vector.training import REFINE_STEPS
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.reporter import Silent

LAYERS = ("final", "penultimate")
STEPS = (0.5, 1.0, 2.0)
MODES = ("off", "auto", "on")
CODED = (16, 64)

Points = list[tuple[float, float]]
"""(bits per value, nmse) at each step."""


def curves(rows: np.ndarray, codebook: Codebook, *, vector: bool) -> dict[str, Points]:
    """What a clip (T, N, D) costs at each step, by mode."""
    spec = tensor_of(rows).spec
    fit = Fit(spec, [rows], None, FitOptions(effort=EFFORT, codebook=codebook, vector=vector))
    x = rows.astype(np.float32)
    energy = float(np.square(x - x.mean(axis=(0, 1)), dtype=np.float64).sum())
    found: dict[str, Points] = {}
    for mode in MODES:
        fit.options = replace(fit.options, reconstruction=mode)
        found[mode] = []
        for step in STEPS:
            models = fit.models(step * fit.rms)
            coded = TransformCodec(spec, models).encode(rows)
            error = float(np.square(x - coded.decoded.astype(np.float32), dtype=np.float64).sum())
            found[mode].append((8 * (len(coded.payload) + len(models.to_bytes())) / rows.size, error / energy))
    return found


def nmse_at(bits: float, points: Points) -> float:
    """On the line through the nearest points, logarithms of both."""
    known = sorted((math.log(rate), math.log(error)) for rate, error in points)
    at = min(max(1, sum(rate < math.log(bits) for rate, _ in known)), len(known) - 1)
    (low, worse), (high, better) = known[at - 1 : at + 1]
    return math.exp(worse + (better - worse) * (math.log(bits) - low) / max(high - low, 1e-9))


def rows_of(dump: str, rows: np.ndarray, learnt_from: str, books: Books) -> list[dict[str, object]]:
    """Everything about one clip and what one corpus taught."""
    found: list[dict[str, object]] = []
    for vector in (True, False):
        plain: Points = []
        for refined in (False, True) if vector and len(rows) == min(CODED) else (False,):
            began = time.monotonic()
            measured = curves(rows, books.refined if refined else books.plain, vector=vector)
            for mode, points in measured.items():
                plain = plain or points
                row: dict[str, object] = {
                    "dump": dump,
                    "rows": len(rows),
                    "learnt_from": learnt_from,
                    "codec": "vq" if vector else "transform",
                    "refined": int(refined),
                    "network": mode,
                    "kept": int(books.kept),
                }
                for step, (bits, before) in zip(STEPS, plain, strict=True):
                    after = nmse_at(bits, points)
                    row |= {
                        f"bits_{step:g}": f"{bits:.5f}",
                        f"nmse_{step:g}": f"{after:.5f}",
                        f"gain_{step:g}": f"{round(1 - after / before, 4) + 0.0:.4f}",
                    }
                found.append(row | {"seconds": f"{time.monotonic() - began:.1f}"})
    return found


@dataclass(frozen=True)
class Books:
    """Codebooks with levels as k-means leaves them, and refined; with one network. kept: by the clip that judges."""

    plain: Codebook
    refined: Codebook
    kept: bool


def learnt(clips: list[np.ndarray], judge: np.ndarray) -> Books:
    """What these clips teach."""
    tensors, few = [tensor_of(clip) for clip in clips], [clip[::8] for clip in clips]
    refined, report = with_network(trained(few, REFINE_STEPS), tensors, [tensor_of(judge)], "on", None, 0, Silent())
    assert report is not None
    return Books(replace(trained(few, 0), network=refined.network), refined, pays(report["points"]))


def main() -> None:
    """Measure and record."""
    for layer in LAYERS:
        dumps = {clip: np.load(data() / f"data/embeddings/{clip}__vit-tiny__{layer}.npy") for clip in CLIPS}
        own = learnt(list(dumps.values()), dumps[CLIPS[0]])
        for clip in CLIPS:
            others = learnt([dumps[other] for other in CLIPS if other != clip], dumps[clip])
            for (name, books), rows in itertools.product((("others", others), ("own", own)), CODED):
                record.append("reconstruction", rows_of(f"{clip}__vit-tiny__{layer}", dumps[clip][-rows:], name, books))


if __name__ == "__main__":
    main()
