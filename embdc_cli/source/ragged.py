"""Ragged tensors in formats without lists: the flat tokens under NAME, their counts under NAME.token_counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embdc_cli.dtypes import FLOATS
from embdc_cli.dump_formats import TOKEN_COUNTS
from embdc_cli.source.candidate import Candidate


def join_ragged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """`candidates` in order, flat tokens that have counts beside them made ragged and the counts taken out."""
    by_name = {one.name: one for one in candidates}
    joined: dict[str, Candidate] = {}
    counts_of: set[str] = set()
    for one in candidates:
        beside = by_name.get(one.name + TOKEN_COUNTS)
        if beside is not None and one.dtype in (*FLOATS, "float64") and len(one.shape) == 2:
            counts = _counts(beside)
            if counts is not None and counts.sum() == one.shape[0]:
                joined[one.name] = replace(one, token_counts=counts)
                counts_of.add(beside.name)
    return [joined.get(one.name, one) for one in candidates if one.name not in counts_of]


def _counts(beside: Candidate) -> np.ndarray | None:
    if beside.dtype != "int64" or len(beside.shape) != 1:
        return None
    counts = beside.open()(0, beside.shape[0])
    return counts if np.all(counts >= 0) else None
