"""What three small networks lose when their weights or their activations go through an archive.

    python tests/bench/architectures.py [--networks "state space" graph] [--codecs hevc] [--effort E]
    python tests/bench/architectures.py --stats       # what `embdc inspect --stats` says of them, and nothing coded

A diagonal state-space model on noisy sequences, a graph network on a random graph with communities, and a convolutional
network on noisy gratings (`small_networks.py`) are trained here, in seconds. Weights at 2.9 bits per value: every
tensor of the network, those of one axis exact, and the figure is of the whole network. Activations at 3.5: what passes
the middle of the network. There is no bar. Beside the codecs: round to nearest in 4 and 3 bits with a range per row,
through zstd.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from small_networks import NETWORKS, Task
from tensor_coding import RTN, Coded, rounded_to_nearest, through_archive

import embdc_cli as embdc

RATES = {"weights": 2.9, "activations": 3.5}
DEPTHS = (4, 3)


def with_weights(task: Task, tensors: dict[str, np.ndarray]) -> float:
    """Accuracy of the network with these weights; it keeps its own."""
    own = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    task.network.load_state_dict({name: torch.from_numpy(x) for name, x in tensors.items()})
    found = task.accuracy()
    task.network.load_state_dict(own)
    return found


def coded(x: dict[str, np.ndarray], rate: float, codecs: list[str], effort: int) -> Iterator[tuple[str, Coded]]:
    """By each coder."""
    for codec in codecs:
        yield codec, through_archive(x, codec, target_bpv=rate, effort=effort)
    for depth in DEPTHS:
        yield f"{RTN} {depth} bits + zstd", rounded_to_nearest(x, depth)


def described(network: str, what: str, tensors: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """A row for every tensor of more than one axis."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        np.savez(path, **{name: x for name, x in tensors.items() if x.ndim > 1})
        document = embdc.inspect(path, stats=True)
    for one in document["distribution"]:
        yield {
            "network": network,
            "what": what,
            "tensor": one["name"],
            "shape": "x".join(map(str, one["shape"])),
            "entropy_8_bits": _shown(one["entropy"]["tensor"]),
            "kurtosis": _shown(one["kurtosis"]),
            **{f"{name}_gain_db": _shown(one["gain_db"][name]) for name in ("dct", "time", "klt_paid")},
            "from_pictures": _shown((one["natural"] or {}).get("distance")),
            "verdict": one["verdict"]["kind"],
        }


def _shown(value: float | None) -> float | str:
    return "" if value is None else round(value, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--codecs", nargs="*", default=["hevc", "transform"])
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--stats", action="store_true")
    args = parser.parse_args()
    for name in args.networks:
        make, steps = NETWORKS[name]
        task = make()
        task.learn(steps)
        before = task.accuracy()
        given = {
            "weights": {key: tensor.numpy() for key, tensor in task.network.state_dict().items()},
            "activations": {"x": task.activations().numpy()},
        }
        for what, tensors in given.items():
            if args.stats:
                record.append("architectures_stats", list(described(name, what, tensors)))
                continue
            rows = []
            for coder, result in coded(tensors, RATES[what], args.codecs, args.effort):
                whole = what == "weights"
                back = result.tensors
                after = with_weights(task, back) if whole else task.accuracy(torch.from_numpy(back["x"]))
                rows.append(
                    {
                        "network": name,
                        "what": what,
                        "values": sum(x.size for x in tensors.values()),
                        "coder": coder,
                        "bits_per_value": round(result.bits, 3),
                        "nmse": round(result.nmse, 5),
                        "accuracy_before": round(before, 4),
                        "accuracy_after": round(after, 4),
                    }
                )
            record.append("architectures", rows)


if __name__ == "__main__":
    main()
