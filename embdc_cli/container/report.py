"""Where every byte of an archive went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embdc_cli.container import spec
from embdc_cli.container.contents import Part
from embdc_cli.container.index import padded_array

_KINDS = {
    spec.HEAD: "header",
    spec.META: "header",
    spec.CODEBOOK: "codebook",
    spec.MODELS: "models",
    spec.DATA: "data",
    spec.TIMES: "times",
    spec.INDEX: "index",
    spec.DIGESTS: "digests",
    spec.SUMMARY: "summary",
    spec.TAIL: "tail",
}
_NAMES = {spec.TYPE_CODES[kind]: name for kind, name in _KINDS.items()}
NAMES = (
    "signature", "header", "codebook", "models", "data", "times",
    "digests", "summary", "index", "tail", "framing", "other", "unreadable",
)  # fmt: skip
"""framing: chunk headers and padding; other: ancillary chunks unknown here; unreadable: damaged or cut bytes."""


def parts(found: Sequence[Part], file_bytes: int) -> dict[str, int]:
    """Bytes by name, in the order of NAMES, summing to `file_bytes`; contents without chunk headers and padding."""
    total = dict.fromkeys(NAMES, 0)
    for part in found:
        codes, contents = part.table.chunks["code"], part.table.chunks["content"]
        total["signature"] += spec.SIGNATURE_BYTES
        total["framing"] += spec.CHUNK_BYTES * len(codes) + int((padded_array(contents) - contents).sum())
        for code in np.unique(codes).tolist():
            total[_NAMES.get(code, "other")] += int(contents[codes == code].sum())
    total["unreadable"] = file_bytes - sum(total.values())
    return total
