"""The JSON header of a codebook file: sizes, the encoder it is for, and what it was trained on."""

from __future__ import annotations

import json
from typing import Any, Final

from embdc_cli.codec.vq.levels import MAX_LEVELS
from embdc_cli.errors import CorruptArchive, UnsupportedArchive

MAX_HEADER_BYTES: Final = 1 << 16
MAX_CHANNELS: Final = 1 << 16
KINDS: Final = ("transform", "vq")
MAX_ENTRIES: Final = 1 << 26  # rank x channels: 8192 x 8192


def to_bytes(fields: dict[str, Any]) -> bytes:
    """The header as canonical JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def from_bytes(raw: bytes, where: str) -> dict[str, Any]:
    """The header's fields, each of its type and within its limits; fields that are not known here are ignored."""
    if len(raw) > MAX_HEADER_BYTES:
        raise CorruptArchive(f"codebook: {where}: header of {len(raw)} bytes, expected at most {MAX_HEADER_BYTES}")
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CorruptArchive(f"codebook: {where}: header is not JSON") from error
    if not isinstance(header, dict):
        raise CorruptArchive(f"codebook: {where}: header is not a JSON object")
    if header.get("kind") not in KINDS:
        raise UnsupportedArchive(
            f"codebook: {where}: expected kind {' or '.join(map(repr, KINDS))}, found {header.get('kind')!r}",
            hint="install a newer embdc",
        )
    channels, rank = header.get("channels", 0), header.get("rank", 0)
    if not (_is_count(channels, MAX_CHANNELS) and _is_count(rank, channels) and rank * channels <= MAX_ENTRIES):
        raise CorruptArchive(f"codebook: {where}: impossible size: channels {channels!r}, rank {rank!r}")
    levels = header.get("levels", 0)
    if header["kind"] == "vq" and not _is_count(levels, MAX_LEVELS):
        raise CorruptArchive(f"codebook: {where}: levels: expected 1 to {MAX_LEVELS}, found {levels!r}")
    exponent, training = header.get("mean_exponent"), header.get("training")
    if type(exponent) is not int or abs(exponent) > 1000:
        raise CorruptArchive(f"codebook: {where}: mean_exponent: expected -1000 to 1000, found {exponent!r}")
    if not isinstance(training, dict) or any(type(value) is not int for value in training.values()):
        raise CorruptArchive(f"codebook: {where}: training: expected an object of integers")
    if not _is_identity(header.get("encoder")):
        raise CorruptArchive(f"codebook: {where}: encoder: expected null or name, layer and weights_sha256")
    return header


def _is_count(value: object, limit: int) -> bool:
    return type(value) is int and 1 <= value <= limit


def _is_identity(encoder: object) -> bool:
    if encoder is None:
        return True
    return (
        isinstance(encoder, dict)
        and set(encoder) == {"name", "layer", "weights_sha256"}
        and isinstance(encoder["name"], str)
        and (encoder["layer"] is None or type(encoder["layer"]) is int)
        and (encoder["weights_sha256"] is None or isinstance(encoder["weights_sha256"], str))
    )
