"""HEAD, mETA and sUMM: packed or plain, and in canonical form."""

from __future__ import annotations

import json
import zlib
from typing import Any

from tests.conformance.reader.errors import Corrupt, check
from tests.conformance.reader.pages import dictionary, limit


def unpacked(content: bytes) -> bytes:
    """The JSON of a content."""
    if content[:1] == b"{":
        return content
    check(content[:1] == b"\x01", "neither JSON nor packed JSON")
    most = min(limit("MAX_JSON_BYTES"), limit("MAX_JSON_RATIO") * len(content))
    inflater = zlib.decompressobj(-15, zdict=dictionary())
    try:
        text = inflater.decompress(content[1:], most)
        more = inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise Corrupt(f"packed JSON: {error}") from error
    check(not more and inflater.eof and not inflater.unused_data, "packed JSON is too large, cut, or has bytes behind")
    return text


def parsed(text: bytes) -> dict[str, Any]:
    """The object of canonical JSON."""
    check(len(text) <= limit("MAX_JSON_BYTES"), "too much JSON")
    depth, inside, escaped = 0, False, False
    for octet in text:  # before a parser that recurses sees it
        if inside:
            inside, escaped = escaped or octet != ord('"'), not escaped and octet == ord("\\")
        elif octet in b"[{":
            depth += 1
            check(depth <= limit("MAX_JSON_DEPTH"), "JSON is too deep")
        elif octet in b"]}":
            depth -= 1
        else:
            inside = octet == ord('"')
    try:
        value = json.loads(text.decode("utf-8"), parse_int=_integer)
        again = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise Corrupt(f"JSON: {error}") from error
    check(again.encode("utf-8") == text, "JSON is not canonical")
    check(isinstance(value, dict), "JSON is no object")
    found: dict[str, Any] = value
    return found


def _integer(digits: str) -> int:
    check(len(digits) <= 20 and -(1 << 63) <= int(digits) < 1 << 64, "an integer is too wide")
    return int(digits)
