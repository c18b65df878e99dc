"""What `--add NAME=FILE@TIMES` puts beside the input: a dump of one stream, whose rows have times of their own.

Times are seconds after the first row of the input: `@50hz` or `@25fps` from there on, `@50hz+0.5s` from half a second
later; `@times.npy` has the start of each row, or start and end. Without `@` they are those in the dump. Names may have
an `@` in them: times follow the last one that has the name of a dump before it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import PurePath
from typing import Final

import numpy as np

from embdc_cli.dump_formats import SUFFIXES
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.remote.filesystem import is_url
from embdc_cli.source.digest import ends_digest
from embdc_cli.source.location import locate
from embdc_cli.source.open import open_dump
from embdc_cli.source.time_spec import parse_time
from embdc_cli.source.timeline import TICKS_PER_SECOND, timeline_of
from embdc_cli.values import AddedStream, Dump, SteadyTicks, StreamSpec, Tensor, Timeline

_FORM: Final = "NAME=FILE, NAME=FILE@50hz, @25fps, @50hz+0.5s or @times.npy"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:/([0-9]+))?(?:hz|fps)(?:([+-])(.+))?", re.IGNORECASE)
_TICK: Final = Fraction(1, TICKS_PER_SECOND)


@dataclass(frozen=True)
class Addition:
    """One `--add`. rate: rows a second, with the seconds at which the first one starts; else times: a file of seconds,
    None where they are in the dump."""

    name: str
    path: str
    rate: Fraction | None = None
    first: Fraction = Fraction(0)
    times: str | None = None

    @classmethod
    def parse(cls, text: str) -> Addition:
        """The addition that `text` asks for. Raises: UsageError."""
        name, equals, rest = text.partition("=")
        path, at, how = rest.rpartition("@")
        if not equals or not _NAME.fullmatch(name) or not rest:
            raise UsageError(f"--add: expected {_FORM}, found {text!r}")
        steady = _rate_and_first(how) if path else None
        if steady is not None:
            return cls(name, path, *steady)
        if not at or os.path.isfile(rest):
            return cls(name, rest)
        dumps = [rest[:place] for place, letter in enumerate(rest) if letter == "@" and _is_dump(rest[:place])]
        times = rest.removeprefix(dumps[-1])[1:] if dumps else ""
        if times.lower().endswith(".npy"):
            return cls(name, dumps[-1], times=times)
        if dumps or not _is_dump(rest):
            raise UsageError(f"--add: {name}: expected times as in {_FORM}, found @{how}")
        return cls(name, rest)

    def recipe(self) -> str:
        """What of it is a recipe's: the name and where times come from, not the files, which are inputs."""
        if self.rate is not None:
            return f"{self.name}@{self.rate}hz+{self.first}s"
        return f"{self.name}@times" if self.times is not None else self.name


def _rate_and_first(how: str) -> tuple[Fraction, Fraction] | None:
    """Rows a second, and the seconds at which the first one starts; None where `how` is something else."""
    found = _RATE.fullmatch(how)
    if found is None or not Fraction(found[1]) or found[2] == "0":
        return None
    rate = Fraction(found[1]) / int(found[2] or 1)
    try:
        first = parse_time(found[4], option="--add") if found[3] else Fraction(0)
    except UsageError:
        return None
    return rate, -first if found[3] == "-" else first


def _is_dump(name: str) -> bool:
    """Whether a file or object of this name can be meant, rather than half of a name that has an @ in it."""
    path = re.split(r"[?#]", name)[0] if is_url(name) else name
    return PurePath(path).suffix.lower() in SUFFIXES or os.path.isfile(name)


def with_paths(text: str, renamed: Callable[[str], str]) -> str:
    """What asks for the same as `text`, its files under the names that `renamed` gives them. Raises: UsageError."""
    one = Addition.parse(text)
    how = text.partition("=")[2].removeprefix(one.path)
    if one.times is not None:
        how = f"@{renamed(one.times)}"
    return f"{one.name}={renamed(one.path)}{how}"


@dataclass(frozen=True)
class _Named:
    """A tensor under another name."""

    tensor: Tensor
    spec: StreamSpec

    @property
    def token_counts(self) -> np.ndarray | None:
        return self.tensor.token_counts

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.tensor.read(start, stop)


def additions(texts: Sequence[str]) -> list[Addition]:
    """What `--add` asks for, in order. Raises: UsageError, also for a name that is there twice."""
    found = [Addition.parse(text) for text in texts]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--add: two streams are called {name!r}")
    return found


@contextmanager
def opened(texts: Sequence[str], options: EncodeOptions) -> Iterator[list[AddedStream]]:
    """The dumps beside the input, open. Raises: UsageError, SourceError."""
    reading = EncodeOptions(lossless=options.lossless, codec=options.codec, spool_max=options.spool_max)
    with ExitStack() as stack:
        found = []
        for addition in additions(texts):
            dump = open_dump(addition.path, reading)
            stack.callback(dump.close)
            found.append(_beside(addition, dump, options.spool_max))
        yield found


def _beside(addition: Addition, dump: Dump, spool_max: int) -> AddedStream:
    tensors = [one for one in dump.tensors if one.spec.name not in dump.exact_streams]
    if len(tensors) != 1 or not tensors[0].spec.timed:
        names = ", ".join(one.spec.name for one in tensors[:4])
        raise UsageError(
            f"--add: {addition.name}: {addition.path}: expected one tensor with rows, found {len(tensors)} ({names})",
            hint="save that tensor by itself",
        )
    tensor: Tensor = tensors[0]
    source = dict(dump.source)
    if addition.times is not None:
        timeline, source["times_digest"] = _read_times(addition.times, tensor.spec.known_rows, spool_max)
    else:
        timeline = _timeline(addition, dump, tensor.spec.known_rows)
    return AddedStream(_Named(tensor, replace(tensor.spec, name=addition.name)), timeline, source, dump.warnings)


def _timeline(addition: Addition, dump: Dump, rows: int) -> Timeline:
    if addition.rate is not None:
        return _steady(addition.rate, addition.first, rows)
    if dump.timeline is None:
        raise UsageError(
            f"--add: {addition.name}: {addition.path} has no times of its rows",
            hint="add @50hz, @25fps or @times.npy",
        )
    return dump.timeline


def _read_times(path: str, rows: int, spool_max: int) -> tuple[Timeline, str]:
    """The times in the npy file or object `path`, and its `ends_digest`. Raises: SourceError."""
    with closing(locate(path, spool_max)) as found:
        try:
            seconds = np.load(found.named(), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise SourceError(f"--add: {path}: no npy array that can be read, {error}") from error
        with closing(found.positioned()) as file:
            digest = ends_digest(file)
    if seconds.dtype.kind not in "fiu" or seconds.shape not in ((rows,), (rows, 2)):
        raise SourceError(
            f"--add: {path}: expected seconds, {rows} starts or starts and ends ({rows}, 2), "
            f"found {seconds.dtype} {seconds.shape}"
        )
    timeline = timeline_of(seconds)
    if timeline is None:
        raise SourceError(f"--add: {path}: expected increasing seconds")
    return timeline, digest


def _steady(rate: Fraction, first: Fraction, rows: int) -> Timeline:
    """Rows that each last 1/rate seconds, to the microsecond."""
    begin, step = first / _TICK, 1 / (rate * _TICK)
    if step < 1:
        raise UsageError(f"--add: expected at most {TICKS_PER_SECOND} rows a second, found {float(rate):g}")
    if step.denominator == 1:
        return Timeline.of([SteadyTicks(round(begin), int(step), rows)] if rows else [], rows, _TICK)
    edges = np.array([round(begin + row * step) for row in range(rows + 1)], np.int64)
    return Timeline(edges[:-1], edges[1:], _TICK)
