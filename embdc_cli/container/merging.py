"""One summary out of several: counts and sums add up, quality is averaged over values, equal facts stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

_ADDED = ("rows", "values")
_OF_THE_WHOLE = ("items", "duration_seconds")
"""What parts do not tell of what they become together."""
_RATIOS = {"nmse": ("sse", "energy"), "cosine": ("cosine_sum", "tokens")}
_WORST = ("cosine_p1",)


def merge_summaries(summaries: Sequence[dict[str, Any]], mode: Literal["time", "items"]) -> dict[str, Any]:
    """The summary of joined parts. mode "time": stream k of all parts becomes one; "items": all streams follow.

    With "items" each of `summaries` names all its items. How long it lasts follows from the times, not from these.
    Each entry of `streams` may hold `sums`, whose numbers add up; what differs and cannot be merged is dropped.
    """
    lists = [summary.get("streams", []) for summary in summaries]
    weights = [_values(streams) for streams in lists]
    added = _ADDED if mode == "time" else ("values",)
    own = [{key: one[key] for key in one if key not in _OF_THE_WHOLE} for one in summaries]
    merged = _merged([{**one, "streams": None} for one in own], weights, added)
    if mode == "items":
        merged["items"] = [item for summary in summaries for item in summary.get("items", [])]
        merged["streams"] = [stream for streams in lists for stream in streams]
    elif len({len(streams) for streams in lists}) == 1:
        merged["streams"] = [
            _merged(entries, [_values([entry]) for entry in entries], added) for entries in zip(*lists, strict=True)
        ]
    return merged


def _merged(entries: Sequence[dict[str, Any]], weights: Sequence[float], added: Sequence[str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    sums = [entry.get("sums", {}) for entry in entries]
    for key in sorted(set.intersection(*(set(entry) for entry in entries))):
        values = [entry[key] for entry in entries]
        if key == "sums":
            merged[key] = {
                name: sum(one.get(name, 0) for one in values) for name in sorted({n for v in values for n in v})
            }
        elif key == "achieved":
            merged[key] = _achieved(values, weights, sums)
        elif key in added:
            merged[key] = sum(values)
        elif all(value == values[0] for value in values):
            merged[key] = values[0]
    return merged


def _achieved(
    values: Sequence[dict[str, float | None]], weights: Sequence[float], sums: Sequence[dict[str, float]]
) -> dict[str, float | None]:
    return {
        key: _average(key, [one[key] for one in values], weights, sums)
        for key in sorted(set.intersection(*(set(one) for one in values)))
    }


def _average(
    key: str, values: Sequence[float | None], weights: Sequence[float], sums: Sequence[dict[str, float]]
) -> float | None:
    part, whole = _RATIOS.get(key, ("", ""))
    if all(part in one and whole in one for one in sums) and (total := sum(one[whole] for one in sums)) > 0:
        return sum(one[part] for one in sums) / total
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None and weight > 0]
    if not known:
        return values[0]
    if key in _WORST:
        return min(value for value, _ in known)
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known)


def _values(streams: Sequence[dict[str, Any]]) -> float:
    return float(sum(stream.get("sums", {}).get("values", 0) for stream in streams))
