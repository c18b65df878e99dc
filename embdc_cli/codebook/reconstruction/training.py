"""Whether a codebook gets a network: learnt from training streams, and kept where held-out streams gain by it.

A gain is the share of squared error that the network takes away, so at equal bits; of the streams coded at one step,
each counting alike. `gain_trained` and `gain_forced` are those of all that the network says, `gain_heldout` is what the
encoder would take of it (`codec.reconstruction.strength`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.engine import HERE, Engine
from embdc_cli.codebook.reconstruction.learning import RADIUS, learnt_network
from embdc_cli.codebook.reconstruction.pairs import STEPS, Pairs, coded_pairs
from embdc_cli.codec.reconstruction.network import Network
from embdc_cli.codec.reconstruction.stage import FULL
from embdc_cli.codec.reconstruction.strength import WORTHWHILE, Effect
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

_TIMED: Final = (64, 64)


def with_network(
    codebook: Codebook,
    train: Sequence[Tensor],
    heldout: Sequence[Tensor],
    mode: str,
    max_bytes: int | None,
    seed: int,
    reporter: Reporter,
    engine: Engine = HERE,
) -> tuple[Codebook, dict[str, Any] | None]:
    """The codebook, with a network if `mode` is "on", or "auto" and it pays; and `reconstruction` of the document.

    Pays: takes WORTHWHILE of the held-out error of one codec, over its steps, and `max_bytes` of the file allow it.
    """
    found: list[list[Pairs]] = []
    for number, (streams, vector) in enumerate((one, by) for one in (train, heldout) for by in (False, True)):
        reporter.progress("reconstruction", number, 4, "codings")
        found.append(coded_pairs(streams, codebook, RADIUS, vector=vector, engine=engine))
    trained, judged = found[0] + found[1], found[2] + found[3]
    if not trained:
        return codebook, None
    network = learnt_network(trained, seed)
    points = [gains_of(network, trained, judged, step, vector=vector) for vector in (False, True) for step in STEPS]
    better = replace(codebook, network=network)
    fits = max_bytes is None or len(better.file_bytes) <= max_bytes
    kept = fits and (mode == "on" or pays(points))
    report = {
        "kept": kept,
        "network_bytes": len(network.to_bytes()),
        "seconds_per_value": _seconds_per_value(network, codebook.channels),
        "points": points,
    }
    return better if kept else codebook, report


def pays(points: Sequence[dict[str, Any]]) -> bool:
    """Whether held-out streams gain enough, by one of the codecs."""
    means = []
    for codec in ("transform", "vq"):
        gains = [point["gain_heldout"] for point in points if point["codec"] == codec]
        if None not in gains:
            means.append(sum(gains) / len(gains))
    return any(mean >= WORTHWHILE for mean in means)


def gains_of(
    network: Network, trained: list[Pairs], judged: list[Pairs], step: float, *, vector: bool
) -> dict[str, Any]:
    """One of `reconstruction.points` of the document."""

    def of(pairs: list[Pairs]) -> list[Pairs]:
        return [one for one in pairs if one.step == step and one.vector == vector]

    judges = of(judged)
    effects = [_effect(network, one) for one in judges]
    chosen = [effect.saved(effect.strength) for effect in effects]
    return {
        "codec": "vq" if vector else "transform",
        "step": step,
        "nmse": _mean([one.error / one.energy for one in judges]),
        "gain_trained": _mean([_effect(network, one).saved(FULL) for one in of(trained)]),
        "gain_forced": _mean([effect.saved(FULL) for effect in effects]),
        "gain_heldout": _mean([gain if gain >= WORTHWHILE else 0.0 for gain in chosen]),
    }


def _effect(network: Network, pairs: Pairs) -> Effect:
    return Effect(pairs.error, *pairs.effect(network.gates(pairs.features)))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _seconds_per_value(network: Network, channels: int) -> float:
    """Of the second of two runs."""
    x = np.random.default_rng(0).standard_normal((*_TIMED, channels)).astype(np.float32)
    for _ in range(2):
        began = time.perf_counter()
        network.applied(x, 1.0, 0, 1.0, vector=True)
        taken = time.perf_counter() - began
    return taken / x.size
