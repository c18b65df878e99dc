"""What users lose: tasks on decoded tokens, over rates, beside other coders and token dropping.

    python tests/bench/downstream.py [--materials M ...] [--methods WORD ...] [--rates R ...] [--weightings W ...]
                                     [--effort E]

Pictures: 200 through the last block and head of a ViT ($EMBDC_TEST_DATA/eval/vit_tail.py) and through a linear
classifier. Clips: three through the same ViT, for retrieval and for questions about time. `tasks/` has the tasks,
`methods.py` the coders. Each method prints, for each figure, the lowest rate from which on it loses less than 1 point
and less than 2.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record
from evaluation import evaluation
from material import Material, clips, pictures
from methods import Bench, Decoded
from tasks.action import action
from tasks.classification import classification
from tasks.figures import Figures
from tasks.linear import linear
from tasks.retrieval import retrieval

RATES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
WEIGHTINGS = {"pictures": ("none", "channel", "token"), "clips": ("none",)}
DROPS = (1.0, 2.0)  # points

Tasks = dict[str, Callable[[Decoded], Figures]]


def of_pictures() -> tuple[Material, Tasks]:
    judge = evaluation("vit_tail")
    x, labels = np.load(judge.ORIGINAL), np.load(judge.LABELS)

    def only(found: Decoded) -> tuple[np.ndarray, np.ndarray | None]:
        return found.dumps[0], found.kept[0] if found.kept else None

    return pictures(x), {
        "classification": lambda found: classification(x, *only(found), labels=labels, logits=judge.logits),
        "linear": lambda found: linear(x, *only(found), labels=labels),
    }


def of_clips() -> tuple[Material, Tasks]:
    material = clips()
    return material, {
        "retrieval": lambda found: retrieval(material.dumps, found.dumps, found.kept, rates=material.rates),
        "action": lambda found: action(material.dumps, found.dumps, found.kept),
    }


def rows_of(tasks: Tasks, method: str, found: Decoded) -> list[dict[str, Any]]:
    """A row for each figure of each task."""
    return [
        {
            "task": task,
            "figure": name,
            "method": method,
            "setting": found.setting,
            "bits_per_value": round(found.bits_per_value, 4),
            "original": round(figure.original, 4),
            "decoded": round(figure.decoded, 4),
            "points_lost": round(figure.points_lost, 2),
        }
        for task, measure in tasks.items()
        for name, figure in measure(found).items()
    ]


def lowest_rate(curve: Sequence[tuple[float, float]], drop: float) -> float:
    """The lowest rate from which on every point of the (rate, points lost) curve loses less; infinite if none does."""
    found = float("inf")
    for rate, lost in sorted(curve, reverse=True):
        if lost >= drop:
            break
        found = rate
    return found


def with_lowest_rates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one method, each with the lowest rates of its figure; empty for what is not in points."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        curves.setdefault(row["figure"], []).append((row["bits_per_value"], row["points_lost"]))

    def held(row: dict[str, Any]) -> dict[str, Any]:
        rates = {f"less_than_{drop:g}_lost_from": lowest_rate(curves[row["figure"]], drop) for drop in DROPS}
        return {**row, **rates} if math.isfinite(row["points_lost"]) else {**row, **dict.fromkeys(rates, "")}

    return [held(row) for row in rows]


def main() -> None:
    materials = {"pictures": of_pictures, "clips": of_clips}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--materials", nargs="*", default=list(materials), choices=list(materials))
    parser.add_argument("--methods", nargs="*", default=[""], help="those whose names begin so")
    parser.add_argument("--rates", type=float, nargs="*", default=list(RATES))
    parser.add_argument("--weightings", nargs="*", help="default: all three for pictures, none for clips")
    parser.add_argument("--effort", type=int, default=1)
    args = parser.parse_args()
    for name in args.materials:
        material, tasks = materials[name]()
        with tempfile.TemporaryDirectory() as scratch:
            weightings = args.weightings or WEIGHTINGS[name]
            bench = Bench(material, args.rates, weightings, args.effort, Path(scratch))
            for method, decoded in bench.methods():
                if not method.startswith(tuple(args.methods)):
                    continue
                rows = [row for found in decoded for row in rows_of(tasks, method, found)]
                record.append("downstream", with_lowest_rates(rows))


if __name__ == "__main__":
    main()
