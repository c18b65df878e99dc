"""Which streams stay exact whatever the target: those that cost little and matter much.

A file of several tensors, such as the weights of a network, has small ones, biases and the gains of norms, that are a
percent of its values and whose every error is multiplied through the whole network. So where there are several
tensors, those with a single axis are kept bit for bit, and those whose name the user gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec

_SHOWN = 5


def kept_exactly(specs: Sequence[StreamSpec], exact: frozenset[str], patterns: Sequence[str]) -> frozenset[str]:
    """Names of the streams of one item that no codec may change.

    exact: what the source says already (times beside features). patterns: as in a shell, `*.norm.*`.
    Raises: UsageError for a pattern that no name matches, which would be noticed by its damage alone.
    """
    for pattern in patterns:
        if not any(fnmatchcase(spec.name, pattern) for spec in specs):
            names = ", ".join(spec.name for spec in specs[:_SHOWN])
            raise UsageError(f"--keep-lossless: {pattern!r} matches no stream", hint=f"there are {names}")
    small = {spec.name for spec in specs if len(specs) > 1 and len(spec.axes.split(",")) < 2 and not spec.ragged}
    named = {spec.name for spec in specs if any(fnmatchcase(spec.name, pattern) for pattern in patterns)}
    return exact | small | named
