"""File size over the Shannon bound, on Gaussian sources of known covariance.

    python tests/bench/gaussian.py [--efforts 1 3] [--frames T] [--codebooks no yes]

(T, N, D) values: AR(1) along time, channel variances i^-a, channels rotated by one random orthonormal matrix, tokens
independent. The covariance along time and channels is a Kronecker product, so its eigenvalues are those of the AR(1)
covariance times the channel variances, and reverse water-filling over them gives the least rate R(D) exactly:

    D = mean min(theta, lambda),   R = mean max(0, log2(lambda / theta)) / 2     bits per value
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record

import embdc_cli as embdc

RATES = (0.1, 0.25, 0.5, 1.0, 2.0)
RHOS = (0.9, 0.6)
DECAYS = (1.0, 1.5)
TOKENS = CHANNELS = 256
TRAINED_ON = (101, 102, 103)  # seeds; one of them is held out for the report


def spectrum(decay: float) -> np.ndarray:
    """Channel variances (D,) of mean 1."""
    variances = np.arange(1, CHANNELS + 1, dtype=np.float64) ** -decay
    return np.asarray(variances / variances.mean())


def source(frames: int, rho: float, decay: float, seed: int) -> np.ndarray:
    """(T, N, D) float16; the rotation is the same for every seed."""
    rotation = np.linalg.qr(np.random.default_rng(7).standard_normal((CHANNELS, CHANNELS)))[0].astype(np.float32)
    x = np.random.default_rng(seed).standard_normal((frames, TOKENS, CHANNELS), np.float32)
    for t in range(1, frames):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * x[t]
    x *= np.sqrt(spectrum(decay)).astype(np.float32)
    return (x.reshape(-1, CHANNELS) @ rotation).reshape(x.shape).astype(np.float16)


def bound(frames: int, rho: float, decay: float, mse: float) -> float:
    """The least bits per value at this mean squared error."""
    lags = np.arange(frames)
    in_time = np.linalg.eigvalsh(rho ** np.abs(lags[:, None] - lags))
    eigenvalues = np.outer(in_time, spectrum(decay)).ravel()
    low, high = 0.0, float(eigenvalues.max())
    for _ in range(100):
        theta = (low + high) / 2
        if np.minimum(theta, eigenvalues).mean() < mse:
            low = theta
        else:
            high = theta
    return float(np.maximum(np.log2(eigenvalues / high), 0).mean() / 2)


def codebook(scratch: Path, frames: int, rho: float, decay: float) -> str:
    """Path of a codebook trained on other draws of the same source."""
    paths = []
    for seed in TRAINED_ON:
        paths.append(str(scratch / f"{seed}.npy"))
        np.save(paths[-1], source(frames, rho, decay, seed))
    out = str(scratch / "c.embdcb")
    embdc.train_codebook(paths, out, holdout=1 / len(paths), force=True)
    for path in paths:
        Path(path).unlink()
    return out


def measured(x: np.ndarray, rate: float, effort: int, trained: str | None, scratch: Path) -> tuple[float, float]:
    """(bits per value, mean squared error) of the file."""
    options: dict[str, Any] = {} if trained is None else {"codebook": trained, "embed_codebook": "no"}
    result = embdc.encode(x, str(scratch / "a.embdc"), force=True, target_bpv=rate, effort=effort, **options)
    variance = float(x.reshape(-1, CHANNELS).astype(np.float64).var(axis=0).mean())
    return float(result["bits_per_value"]), float(result["achieved"]["nmse"]) * variance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--efforts", nargs="*", type=int, default=[1, 3])
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--codebooks", nargs="*", choices=["no", "yes"], default=["no", "yes"])
    args = parser.parse_args()
    for rho in RHOS:
        for decay in DECAYS:
            x = source(args.frames, rho, decay, seed=1)
            with tempfile.TemporaryDirectory() as folder:
                for with_one in args.codebooks:
                    trained = codebook(Path(folder), args.frames, rho, decay) if with_one == "yes" else None
                    rows = []
                    for effort in args.efforts:
                        for rate in RATES:
                            bits, mse = measured(x, rate, effort, trained, Path(folder))
                            least = bound(args.frames, rho, decay, mse)
                            rows.append(
                                {
                                    "shape": "x".join(map(str, x.shape)),
                                    "rho": rho,
                                    "decay": decay,
                                    "codebook": with_one,
                                    "effort": effort,
                                    "target_bpv": rate,
                                    "bits_per_value": round(bits, 4),
                                    "mse": round(mse, 5),
                                    "bound": round(least, 4),
                                    "over_bound": round(bits / least, 3),
                                }
                            )
                    record.append("gaussian", rows)


if __name__ == "__main__":
    main()
