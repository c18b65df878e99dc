"""Canonical JSON: one byte string per value, and a reader that refuses everything else and every bomb."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import numpy as np

from embdc_cli.container.spec import MAX_JSON_BYTES, MAX_JSON_DEPTH
from embdc_cli.errors import CorruptArchive, UsageError

_LEVELS: Final = np.array([(chr(octet) in "[{") - (chr(octet) in "]}") for octet in range(256)], np.int8)
_MIN_INT, _MAX_INT = -(1 << 63), (1 << 64) - 1
_INT_DIGITS: Final = 20  # of 2^64 - 1


def dumps(value: dict[str, Any], what: str) -> bytes:
    """The canonical JSON of `value`: keys sorted by code point, UTF-8, no spaces, shortest floats.

    Raises: UsageError when it is larger or deeper than a reader accepts, or holds text or numbers JSON cannot hold.
    """
    try:
        payload = _canonical(value)
    except (ValueError, UnicodeEncodeError) as error:
        raise UsageError(f"{what}: cannot be stored as JSON: {error}") from error
    if len(payload) > MAX_JSON_BYTES:
        raise UsageError(
            f"{what}: expected at most {MAX_JSON_BYTES} bytes of JSON, found {len(payload)}",
            hint="split the input into several archives",
        )
    try:
        loads(payload, what)
    except CorruptArchive as error:
        raise UsageError(error.message) from error
    return payload


def loads(payload: bytes, what: str) -> dict[str, Any]:
    """The object that canonical JSON `payload` stands for; `what` names it in messages.

    Raises: CorruptArchive for anything but one canonical object: too large or deep, repeated keys, NaN, wide integers.
    """
    if len(payload) > MAX_JSON_BYTES:
        raise CorruptArchive(f"{what}: expected at most {MAX_JSON_BYTES} bytes of JSON, found {len(payload)}")
    try:
        text = payload.decode("utf-8")
        _check_depth(text, what)
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
        canonical = _canonical(value)
    except ValueError as error:  # JSONDecodeError and UnicodeError are ValueErrors
        raise CorruptArchive(f"{what}: not canonical JSON: {error}") from error
    if canonical != payload:
        raise CorruptArchive(f"{what}: not canonical JSON: expected sorted keys and shortest numbers without spaces")
    if not isinstance(value, dict):
        raise CorruptArchive(f"{what}: expected a JSON object, found {type(value).__name__}")
    return value


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def _check_depth(text: str, what: str) -> None:
    # before parsing: the parser recurses once per level
    between_strings = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    levels = _LEVELS[np.frombuffer(between_strings.encode(), np.uint8)].cumsum(dtype=np.int32)
    if levels.max(initial=0) > MAX_JSON_DEPTH:
        raise CorruptArchive(f"{what}: expected JSON at most {MAX_JSON_DEPTH} levels deep, found more")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > _INT_DIGITS or not _MIN_INT <= int(digits) <= _MAX_INT:
        raise ValueError(f"integer of {len(digits)} digits, expected -2^63 to 2^64-1")
    return int(digits)
