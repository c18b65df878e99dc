"""Why a reader stops."""

from __future__ import annotations


class Refused(Exception):
    """What was read is not as the pages say."""


class Corrupt(Refused):
    """No writer writes this."""


class Unsupported(Refused):
    """A writer of a later version might."""


class Missing(Refused):
    """Something that the archive only refers to is not here."""


def check(condition: object, what: str) -> None:
    """Raise Corrupt, unless the condition holds."""
    if not condition:
        raise Corrupt(what)
