"""Reading fields of a parsed JSON object with their types and ranges checked."""

from __future__ import annotations

from typing import Any

from embdc_cli.errors import CorruptArchive


class Fields:
    """A JSON object whose fields are read one by one; every mismatch is CorruptArchive naming `what` and the key."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise CorruptArchive(f"{what}: expected a JSON object, found {type(value).__name__}")
        self._value = value
        self.what = what

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def _get(self, key: str, kind: type, expected: str) -> Any:
        value = self._value.get(key)
        # bool is a subclass of int, so the exact type is compared
        if type(value) is not kind:
            raise CorruptArchive(f"{self.what}: {key}, expected {expected}, found {str(value)[:40]}")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer in [low, high]; `default` when the key is missing."""
        if default is not None and key not in self._value:
            return default
        value = self._get(key, int, f"an integer from {low} to {high}")
        if not low <= value <= high:
            raise CorruptArchive(f"{self.what}: {key}, expected an integer from {low} to {high}, found {value}")
        return int(value)

    def integers(self, key: str, high: int) -> list[int]:
        """A list of integers in [0, high]."""
        values = self._get(key, list, "a list of integers")
        if not all(type(value) is int and 0 <= value <= high for value in values):
            raise CorruptArchive(f"{self.what}: {key}, expected integers from 0 to {high}, found {str(values)[:40]}")
        return list(values)

    def text(self, key: str, low: int, high: int) -> str:
        """A string of `low` to `high` UTF-8 bytes."""
        value = self._get(key, str, "a string")
        if not low <= len(value.encode()) <= high:
            raise CorruptArchive(f"{self.what}: {key}, expected {low} to {high} bytes, found {len(value.encode())}")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self._get(key, list, "a list of strings")
        if not all(type(value) is str for value in values):
            raise CorruptArchive(f"{self.what}: {key}, expected a list of strings, found {str(values)[:40]}")
        return tuple(values)

    def flag(self, key: str) -> bool:
        """A boolean, False when the key is missing."""
        return key in self._value and bool(self._get(key, bool, "true or false"))

    def mapping(self, key: str) -> dict[str, Any]:
        """An object as a plain dict."""
        return dict(self._get(key, dict, "an object"))

    def object(self, key: str) -> Fields:
        """An object whose own fields are to be read."""
        return Fields(self._get(key, dict, "an object"), f"{self.what}: {key}")

    def objects(self, key: str, low: int, high: int) -> list[Fields]:
        """A list of `low` to `high` objects."""
        values = self._get(key, list, "a list of objects")
        if not low <= len(values) <= high:
            raise CorruptArchive(f"{self.what}: {key}, expected {low} to {high} entries, found {len(values)}")
        return [Fields(value, f"{self.what}: {key}[{number}]") for number, value in enumerate(values)]
