"""Vector quantisation against FAISS: error before entropy coding, bits after it, and seconds.

    python tests/bench/vq_levels.py [--dumps cars] [--levels 4 8 16]

Dumps: vit-tiny of $EMBDC_TEST_DATA/data/embeddings, native frame rate. FAISS ResidualQuantizer, beam 4, 256 codewords
a level: trained on the tokens of all other clips and pictures of the same layer, codebook not counted (`others`), and
on the clip itself, codebook counted in float16 (`own`).

`levels`: every token has that many levels and nothing is entropy coded. Of `vq` these are the first levels that it
learns and adds by itself, and everything that a decoder needs is counted: mean, basis, codewords. bits_per_value =
indices / values + model bits / values. Seconds are those of finding the indices alone, one thread each, processor time,
the least of five times.
`archive`: the whole archive that has the error of FAISS `others` at that many levels; bits over those of its indices.
`encode_seconds` of it has everything: reading, learning, search for the rate, writing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import record
from evaluation import data

import embdc_cli as embdc
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.vq.quantiser import VectorQuantiser
from embdc_cli.codec.vq.search import search
from embdc_cli.values import StreamSpec

CLIPS = ("cars", "juggle", "nasa")
LAYERS = ("final", "penultimate")
BEAM = 4
CODEWORD_BITS = 8
TRAINED_ON = 30_000
STEPS = 40
TIMES = 5


def patches(path: Path) -> np.ndarray:
    """(T, 196, D) float32."""
    x = np.load(path).astype(np.float32)
    return x[:, x.shape[1] - 196 :]


def training_tokens(clip: str, layer: str) -> np.ndarray:
    """Of everything but the clip, in random order."""
    folder = data() / "data/embeddings"
    others = [folder / f"{name}__vit-tiny__{layer}.npy" for name in CLIPS if name != clip]
    if layer == "penultimate":
        others.append(folder / "images__vit-tiny__penultimate197.npy")
    tokens = np.concatenate([patches(path).reshape(-1, patches(path).shape[2]) for path in others])
    return tokens[np.random.default_rng(0).permutation(len(tokens))[:TRAINED_ON]]


def nmse(x: np.ndarray, y: np.ndarray) -> float:
    return float(((x - y) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())


def least(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """(what it gives, the least processor time of TIMES, in seconds)."""
    seconds = np.inf
    for _ in range(TIMES):
        start = time.process_time()
        found = work()
        seconds = min(seconds, time.process_time() - start)
    return found, seconds


def by_faiss(train: np.ndarray, tokens: np.ndarray, levels: int) -> tuple[float, float]:
    """(nmse, seconds of encoding)."""
    quantiser = faiss.ResidualQuantizer(tokens.shape[1], levels, CODEWORD_BITS)
    quantiser.max_beam_size = BEAM
    quantiser.train(np.ascontiguousarray(train))
    codes, seconds = least(lambda: quantiser.compute_codes(tokens))
    return nmse(tokens, quantiser.decode(codes)), seconds


def by_levels(x: np.ndarray, levels: int) -> dict:
    """Exactly `levels` levels, those that the fit makes for the coarsest step that has as many."""
    spec = StreamSpec("x", "float16", "t,n,c", x.shape[1:], len(x))
    rows = x.astype(np.float16)
    fit = Fit(spec, [rows], None, FitOptions(vector=True))
    for step in np.geomspace(20.0, 0.05, STEPS) * fit.rms:
        models = fit.models(float(step))
        chain = models.groups[0].chain
        (quantiser,) = [stage for stage in chain if isinstance(stage, VectorQuantiser)]
        if len(quantiser.levels) >= levels:
            break
    normalise, basis = chain.links[0], chain.links[1]
    y = quantiser.quanta(basis.forward(normalise.forward(x, b""), b""))
    quantiser.packed  # noqa: B018 (made once, not timed)
    codes, seconds = least(lambda: search(y, quantiser.packed, quantiser.prices, 0.0))
    codes[..., levels:] = 0
    decoded = normalise.inverse(basis.inverse(quantiser.inverse(codes, b""), b""), b"")
    bits = float(np.log2(quantiser.sizes[:levels]).sum()) * x.shape[0] * x.shape[1]
    channels = x.shape[2]
    return {
        "nmse": nmse(x.reshape(-1, channels), decoded.reshape(-1, channels)),
        "bits_per_value": (bits + 8 * len(models.to_bytes())) / x.size,
        "model_share": 8 * len(models.to_bytes()) / (bits + 8 * len(models.to_bytes())),
        "seconds": seconds * levels / len(quantiser.levels),
    }


def archive_at(x: np.ndarray, error: float) -> dict:
    """The archive whose error is at most that."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "x.embdc"
        start = time.perf_counter()
        result = embdc.encode(x.astype(np.float16), out, codec="vq", target_nmse=min(error, 0.95))
        seconds = time.perf_counter() - start
        size = out.stat().st_size
    return {"nmse": result["achieved"]["nmse"], "bits_per_value": 8 * size / x.size, "encode_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dumps", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--levels", nargs="*", type=int, default=[4, 8, 16])
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    for clip in CLIPS:
        for layer in LAYERS:
            name = f"{clip}__vit-tiny__{layer}"
            if not any(part in name for part in args.dumps):
                continue
            x = patches(data() / f"data/embeddings/{name}.npy")
            tokens = x.reshape(-1, x.shape[2])
            others = training_tokens(clip, layer)
            rows = []
            for levels in args.levels:
                indices = levels * CODEWORD_BITS / x.shape[2]
                codebook = 16 * levels * 2**CODEWORD_BITS * x.shape[2] / x.size
                error, seconds = by_faiss(others, tokens, levels)
                rows.append(row(name, "faiss-rq others", levels, error, indices, 0.0, seconds, 1.0))
                own, own_seconds = by_faiss(tokens, tokens, levels)
                share = codebook / (codebook + indices)
                rows.append(row(name, "faiss-rq own", levels, own, indices + codebook, share, own_seconds, 1.0))
                ours = by_levels(x, levels)
                ratio = seconds / ours["seconds"]
                rows.append(
                    row(
                        name, "vq levels", levels, ours["nmse"], ours["bits_per_value"], ours["model_share"],
                        ours["seconds"], ratio,
                    )
                )  # fmt: skip
                found = archive_at(x, error)
                part = found["bits_per_value"] / indices
                rows.append(
                    row(
                        name,
                        "vq archive",
                        levels,
                        found["nmse"],
                        found["bits_per_value"],
                        "",
                        found["encode_seconds"],
                        "",
                    )
                    | {"bits_over_faiss": round(part, 3)}
                )
            record.append("vq_levels", rows)


def row(
    name: str, coder: str, levels: int, error: float, bits: float, share: object, seconds: float, faster: object
) -> dict:
    """One line of the CSV."""
    return {
        "dump": name,
        "coder": coder,
        "levels": levels,
        "nmse": round(error, 5),
        "bits_per_value": round(bits, 4),
        "model_share": share if share == "" else round(float(share), 3),
        "seconds": round(seconds, 3),
        "times_faster_than_faiss": faster if faster == "" else round(float(faster), 1),
        "bits_over_faiss": "",
    }


if __name__ == "__main__":
    main()
