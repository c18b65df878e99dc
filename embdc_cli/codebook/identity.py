"""Which encoder made the embeddings: the three facts that decide whether a codebook fits them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Identity = dict[str, Any]
"""{"name": str, "layer": int | None, "weights_sha256": str | None}"""

_KEYS = ("name", "layer", "weights_sha256")


def identity(encoder: Mapping[str, Any] | None) -> Identity | None:
    """The identity within an archive's encoder record; None for plain dumps, whose maker is unknown."""
    if encoder is None or not encoder.get("name"):
        return None
    return {key: encoder.get(key) for key in _KEYS}


def same_encoder(a: Identity, b: Identity) -> bool:
    """Whether both name one encoder: equal layers, and equal weights where both are known, else equal names."""
    if a["layer"] != b["layer"]:
        return False
    if a["weights_sha256"] and b["weights_sha256"]:
        return bool(a["weights_sha256"] == b["weights_sha256"])
    return bool(a["name"] == b["name"])


def describe(encoder: Identity | None) -> str:
    """One phrase for messages: name, layer and the start of the weights' hash."""
    if encoder is None:
        return "an unknown encoder"
    words = [str(encoder["name"])]
    if encoder["layer"] is not None:
        words.append(f"layer {encoder['layer']}")
    if encoder["weights_sha256"]:
        words.append(f"weights {str(encoder['weights_sha256'])[:12]}")
    return " ".join(words)
