"""How much was read: what `io` says in JSON documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Traffic:
    """requests: byte ranges asked for, and questions for sizes; round_trips: how often something was waited for, since
    requests that are sent at once travel together; bytes: received.

    What a client library sends again by itself, after a failure, is not counted.
    """

    requests: int = 0
    round_trips: int = 0
    bytes: int = 0

    def trip(self, requests: int, received: int) -> None:
        """Count `requests` that travelled together and brought `received` bytes; nothing for none."""
        if requests:
            self.requests += requests
            self.round_trips += 1
            self.bytes += received

    def document(self) -> dict[str, int]:
        """The field `io` of a JSON document."""
        return {"requests": self.requests, "round_trips": self.round_trips, "bytes": self.bytes}

    @classmethod
    def total(cls, several: Iterable[Traffic]) -> Traffic:
        """The sum of `several`."""
        found = cls()
        for one in several:
            found.add(one)
        return found

    def add(self, other: Traffic) -> None:
        """Count what `other` has counted."""
        self.requests += other.requests
        self.round_trips += other.round_trips
        self.bytes += other.bytes
