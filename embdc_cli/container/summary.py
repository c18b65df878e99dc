"""sUMM: what is known after the last row. What is not of the form that embdc(5) gives it counts as unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from embdc_cli.container import canonical
from embdc_cli.container.packed_json import unpack


def parse(content: bytes, where: str) -> dict[str, Any]:
    """The summary in sUMM chunk `content`, without entries of another form. Raises: CorruptArchive."""
    what = f"{where}: summary"
    return _well_formed(canonical.loads(unpack(content, what), what), _FORMS)


def _well_formed(document: dict[str, Any], forms: dict[str, Callable[[object], bool]]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in forms or forms[key](value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _are_sums(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _are_figures(value: object) -> bool:
    return isinstance(value, dict) and all(one is None or _is_number(one) for one in value.values())


def _are_streams(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and _well_formed(entry, _STREAM_FORMS) == entry for entry in value
    )


def _are_items(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and _well_formed(entry, _ITEM_FORMS) == entry for entry in value
    )


_ITEM_FORMS: Final[dict[str, Callable[[object], bool]]] = {"source": _is_object}
_STREAM_FORMS: Final[dict[str, Callable[[object], bool]]] = {
    "codec": lambda value: isinstance(value, str),
    "rows": _is_number,
    "values": _is_number,
    "duration_seconds": _is_number,
    "duration_ticks": _is_number,
    "sums": _are_sums,
    "achieved": _are_figures,
}
_FORMS: Final[dict[str, Callable[[object], bool]]] = {
    **_STREAM_FORMS,
    "items": _are_items,
    "streams": _are_streams,
    "source": _is_object,
    "target": _is_object,
}
