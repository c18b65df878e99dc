"""The rows of several forecasts added up: what a corpus would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SUMS = ("file_bytes", "encode_s", "decode_s")


def total(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """{name, codec, file_bytes, bits_per_value, ratio_fp16, encode_s, decode_s} of every row, in the order of the rows.

    documents: at least one, of the same rows. Errors are not added up: a target holds for each input.
    """
    values = sum(document["values"] for document in documents)
    rows = []
    for same in zip(*(document["rows"] for document in documents), strict=True):
        sums = {key: sum(row[key] for row in same) for key in _SUMS}
        rows.append(
            {
                "name": same[0]["name"],
                "codec": same[0]["codec"],
                "file_bytes": sums["file_bytes"],
                "bits_per_value": 8 * sums["file_bytes"] / values if values else None,
                "ratio_fp16": 2 * values / sums["file_bytes"],
                "encode_s": sums["encode_s"],
                "decode_s": sums["decode_s"],
            }
        )
    return rows
