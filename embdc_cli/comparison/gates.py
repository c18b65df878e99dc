"""The limits of `embdc compare`: which measure each option reads, and which streams are beyond theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from embdc_cli.errors import UsageError
from embdc_cli.options import CompareOptions, flag_of

_LEAST: Final = "at least"
_MOST: Final = "at most"


@dataclass(frozen=True)
class Gate:
    """A limit on the figure at `path` in a stream's document (`recall.tokens_10`); needs: the option it takes."""

    path: str
    bound: str
    needs: str | None = None


GATES: Final[dict[str, Gate]] = {
    "min_cosine": Gate("cosine", _LEAST),
    "min_cosine_p1": Gate("cosine_p1", _LEAST),
    "min_centred_cosine": Gate("centred_cosine", _LEAST),
    "max_nmse": Gate("nmse", _MOST),
    "max_channel_nmse": Gate("channel_nmse", _MOST),
    "min_cka": Gate("cka", _LEAST),
    "min_recall": Gate("recall.tokens_10", _LEAST),
    "min_pooled_recall": Gate("recall.pooled_10", _LEAST),
    "min_agreement": Gate("probe.agreement", _LEAST, needs="probe"),
    "max_kl": Gate("probe.kl", _MOST, needs="probe"),
    "max_accuracy_loss": Gate("labels.loss", _MOST, needs="labels"),
}
"""Field of `CompareOptions` -> what it limits."""


def check_limits(options: CompareOptions) -> None:
    """Nothing, for options that go together. Raises: UsageError."""
    if options.labels is not None and options.probe is None:
        raise UsageError("--labels: needs --probe FILE, the head that predicts them")
    if options.labels is not None and options.probe_on == "tokens":
        raise UsageError("--labels: a label is for a row, found --probe-on tokens", hint="use --probe-on pooled")
    for name, gate in GATES.items():
        limit = getattr(options, name)
        if limit is not None and limit != limit:
            raise UsageError(f"{flag_of(name)}: expected a number, found nan")
        if limit is not None and gate.needs is not None and getattr(options, gate.needs) is None:
            raise UsageError(f"{flag_of(name)}: needs {flag_of(gate.needs)} FILE")


def missed(streams: Sequence[Mapping[str, Any]], options: CompareOptions) -> list[dict[str, Any]]:
    """{stream, option, measure, bound, limit, found} of every limit that a stream is beyond.

    A figure that there is not (recall of a handful of tokens) misses its limit: what was asked for is not known.
    """
    found = []
    for name, gate in GATES.items():
        limit = getattr(options, name)
        if limit is None:
            continue
        for stream in streams:
            if gate.needs is not None and stream[gate.needs] is None:
                continue  # a stream that the head does not fit
            value = _figure(stream, gate.path)
            if value is None or not (value >= limit if gate.bound == _LEAST else value <= limit):
                found.append(
                    {
                        "stream": stream["name"],
                        "option": flag_of(name),
                        "measure": gate.path,
                        "bound": gate.bound,
                        "limit": limit,
                        "found": value,
                    }
                )
    return found


def _figure(stream: Mapping[str, Any], path: str) -> float | None:
    value: Any = stream
    for name in path.split("."):
        value = value[name]
    return None if value is None else float(value)
