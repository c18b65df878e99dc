"""What `embdc encode --json` says of one archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embdc_cli import dtypes
from embdc_cli.errors import IncompleteError
from embdc_cli.metrics import sizes

if TYPE_CHECKING:
    from embdc_cli.encoding.delivery import Destination
    from embdc_cli.encoding.writing import WriteResult


def encode_result(
    destination: Destination, result: WriteResult, *, status: str = "done", seconds: dict[str, float]
) -> dict[str, Any]:
    """The document of one encoded (or planned) archive; `exit` is 3 when the input was incomplete."""
    summary = result.summary
    if status == "done" and summary.get("input_incomplete"):
        status = "incomplete"
    raw = sum(one.sums.values * dtypes.item_bytes(one.spec.dtype) for one in result.outcomes)
    return {
        "input": destination.source,
        "output": destination.output,
        **sizes(sum(one.sums.values for one in result.outcomes), result.file_bytes, raw),
        "streams": [
            {
                "name": one.spec.name,
                "shape": list(one.spec.shape),
                "dtype": one.spec.dtype,
                "codec": one.codec,
                "chunks": one.chunks,
                "segments": one.segments,
                "codebook_segments": one.codebook_segments,
            }
            for one in result.outcomes
        ],
        "external_codebook_bytes": result.external_codebook_bytes,
        "target": summary["target"],
        "achieved": summary["achieved"],
        "seconds": seconds,
        "status": status,
        "exit": IncompleteError.exit_code if status == "incomplete" else 0,
    }
