"""Which arrays of a file become streams, in which type, and what is refused.

Main arrays are the floats of two and more dimensions (or, in a file that has none, all floats). Everything else
that embdc can store (ids, lengths, timestamps, a state dict's counters) travels along in its own type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from embdc_cli.dtypes import FLOATS, item_bytes, to_float32
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.axes import ragged_spec, special_tokens_asked, stream_spec
from embdc_cli.source.candidate import Candidate, CandidateTensor, Contents
from embdc_cli.source.ragged import join_ragged
from embdc_cli.source.timeline import is_times_name, timeline_of
from embdc_cli.values import StreamSpec, Timeline

_LISTED = 8
_MAX_NAME_BYTES = 1024
_MAX_BYTES = 1 << 62


@dataclass(frozen=True)
class Selection:
    """The streams of a dump with their times; exact_streams hold times and are not to be coded with loss."""

    tensors: list[CandidateTensor]
    timeline: Timeline | None
    timed_streams: frozenset[str]
    exact_streams: frozenset[str]
    warnings: list[str]


def select(contents: Contents, options: EncodeOptions, shown: str) -> Selection:
    """The streams that `options` want out of `contents`.

    Raises SourceError when there is nothing to encode, --key names nothing, or an array may not be read;
    UsageError when --axes or --special-tokens do not fit or --lossless meets float64.
    """
    candidates = join_ragged(contents.candidates)
    beside = [one for one in candidates if is_times_name(one.name) and one.name != options.key and one.storable]
    warnings = contents.warnings  # opening an array below may add to them
    if options.key is not None:
        candidates = [_by_key(candidates, contents, options.key, shown)]
    elif contents.refused:
        raise next(iter(contents.refused.values()))
    main = {one.name for one in main_arrays(candidates, shown)}
    unstorable = [f"{one.name} ({one.dtype})" for one in candidates if not one.storable]
    if options.key is None and (skipped := contents.skipped + unstorable):
        warnings.append(f"{shown}: skipped {listed(skipped)}")
    kept = [one for one in candidates if one.storable]
    check_arrays(kept, shown)
    specs = [_spec(one, options, main=one.name in main, shown=shown) for one in kept]
    if cast := [one.name for one, spec in zip(kept, specs, strict=True) if spec.dtype != one.dtype]:
        warnings.append(cast_warning(cast, shown))
    if special_tokens_asked(options) and not any("n" in spec.axes.split(",") for spec in specs):
        raise UsageError("--special-tokens: expected an array with tokens (axes t,n,c), found none")
    tensors = [CandidateTensor(spec, one) for spec, one in zip(specs, kept, strict=True)]
    clocks = [CandidateTensor(_spec(one, options, main=False, shown=shown), one) for one in beside]
    timeline = _timeline(tensors, [one for one in clocks if one.spec.name not in main], main, shown, warnings)
    timed = {spec.name for spec in specs if spec.name in main and timeline is not None}
    exact = {spec.name for spec in specs if spec.name not in main and is_times_name(spec.name)}
    return Selection(tensors, timeline, frozenset(timed), frozenset(exact), warnings)


def main_arrays(candidates: Sequence[Candidate], shown: str) -> list[Candidate]:
    """The arrays that are to be coded; SourceError with the reason when there are none."""
    floats = [one for one in candidates if one.dtype in (*FLOATS, "float64")]
    plain = [one for one in floats if not is_times_name(one.name)] or floats
    main = [one for one in plain if one.dims >= 2]
    if main:
        return main
    others = [one for one in candidates if one.dtype not in (*FLOATS, "float64")]
    if plain and not any(one.dims >= 2 for one in others):
        return plain
    if not others:
        raise SourceError(f"{shown}: expected arrays, found none")
    raise _not_float(max(others, key=lambda one: (one.dims, math.prod(one.shape))), shown)


def main_dtype(name: str, dtype: str, options: EncodeOptions, shown: str) -> str:
    """The type that a main array of `dtype` is coded in; UsageError for float64 under --lossless."""
    if dtype != "float64":
        return dtype
    if options.lossless or options.codec == "lossless":
        raise UsageError(
            f"--lossless: {shown}: {name} is float64, expected float16, bfloat16 or float32",
            hint="cast it to float32 yourself, so that the loss is your choice",
        )
    return "float32"


def cast_warning(names: Sequence[str], shown: str) -> str:
    """The words for float64 arrays that `main_dtype` casts."""
    return f"{shown}: float64 cast to float32: {listed(names)}"


def _spec(one: Candidate, options: EncodeOptions, *, main: bool, shown: str) -> StreamSpec:
    dtype = main_dtype(one.name, one.dtype, options, shown) if main else one.dtype
    if one.token_counts is not None:
        return ragged_spec(one.name, dtype, one.shape[1], one.token_counts, options)
    return stream_spec(one.name, dtype, one.shape, options, main=main)


def _by_key(candidates: list[Candidate], contents: Contents, key: str, shown: str) -> Candidate:
    """The candidate called `key`; a leading slash, as HDF5 writes paths, does not matter."""
    for one in candidates:
        if one.name in (key, key.lstrip("/")):
            return one
    for name, error in contents.refused.items():
        if key.lstrip("/") == name or key.lstrip("/").startswith(f"{name}/"):
            raise error
    names = [one.name for one in candidates]
    raise SourceError(f"{shown}: no tensor called {key!r}", hint=f"there is: {listed(names)}" if names else None)


def check_arrays(candidates: Sequence[Candidate], shown: str) -> None:
    """SourceError for a shape that nothing can hold, and for names that could not be unique keys or HDF5 paths."""
    seen = set[str]()
    for one in candidates:
        plain = one.name.isprintable() and 0 < len(one.name.encode("utf-8", "replace")) <= _MAX_NAME_BYTES
        if not plain or any(part in ("", ".", "..") for part in one.name.split("/")):
            raise SourceError(
                f"{shown}: tensor name, expected a printable path, found {one.name[:80]!r}",
                hint="rename it in the dump",
            )
        if one.name in seen:
            raise SourceError(f"{shown}: two tensors are called {one.name!r}", hint="rename one of them in the dump")
        seen.add(one.name)
        # numpy leaves zeros out of the product as well
        if math.prod(size for size in one.shape if size) * item_bytes(one.dtype) > _MAX_BYTES:
            raise SourceError(f"{shown}: {one.name} of shape {one.shape} is larger than any file")


def _not_float(one: Candidate, shown: str) -> SourceError:
    hint = "embdc codes floating point embeddings; cast the array if its numbers are measurements"
    if one.dtype == "object":
        hint = "it holds pickled Python objects, which can run code and are never loaded; save plain arrays"
    elif one.dtype == "uint16":
        hint = "bfloat16 bit patterns? save them as a.view('V2'), or in safetensors"
    elif one.dtype.startswith("complex"):
        hint = "save real and imaginary parts as one more axis: a.view('float32')"
    return SourceError(f"{shown}: {one.name} has type {one.dtype}, expected float16, bfloat16 or float32", hint=hint)


def _timeline(
    tensors: Sequence[CandidateTensor],
    found: Sequence[CandidateTensor],
    main: set[str],
    shown: str,
    warnings: list[str],
) -> Timeline | None:
    """The rows' times, if exactly one dataset of times is found, and every main array has as many rows.

    `--key` leaves the dataset itself out, not what it says.
    """
    rows = {tensor.spec.rows if tensor.spec.timed else None for tensor in tensors if tensor.spec.name in main}
    if len(found) != 1 or len(rows) != 1:
        return None
    spec, count = found[0].spec, rows.pop()
    if math.prod(spec.shape) != count and spec.shape != (count, 2):
        return None
    values = found[0].read(0, spec.known_rows).reshape(spec.shape)
    timeline = timeline_of(to_float32(values, spec.dtype) if spec.dtype == "bfloat16" else values)
    if timeline is None:
        warnings.append(f"{shown}: {spec.name}: expected increasing seconds, so rows have no times")
    return timeline


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
