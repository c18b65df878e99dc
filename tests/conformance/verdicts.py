"""What embdc, and what the second reader make of an archive, in the same words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import embdc_cli as embdc
from embdc_cli import dtypes
from embdc_cli.codec.video import software
from embdc_cli.errors import EmbdcError
from tests.conformance.reader import transform
from tests.conformance.reader.archive import Archive
from tests.conformance.reader.errors import Corrupt, Missing, Refused, Unsupported

VECTORS = Path(__file__).parent / "vectors"

STABLE = (
    "format_version", "complete", "file_bytes", "parts", "values", "bits_per_value", "items", "streams", "codebooks",
    "encoder", "source", "target", "achieved",
)  # fmt: skip
"""Fields of inspect that later versions of embdc say in the same way."""
_STATUS = {Corrupt: 5, Unsupported: 6, Missing: 6}


@dataclass
class Verdict:
    """exits: of inspect, verify, decode; the second reader has no inspect. errors: kinds, by command.

    elements: SHA-256 of exact streams; integers: of the codes of lossy ones. values: of the latter, float32 of what is
    stored, or before the cast. bits: as stored. exact: (positions, bits) that must be among them. dtypes: of streams.
    steps: of every chunk of a stream how many values it has, and the root mean square of the steps behind them.
    """

    exits: list[int | None]
    errors: dict[str, str] = field(default_factory=dict)
    inspect: dict[str, Any] | None = None
    elements: dict[str, str] = field(default_factory=dict)
    integers: dict[str, str] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    bits: dict[str, np.ndarray] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    exact: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def embdc_verdict(path: Path, scratch: Path) -> Verdict:
    """What embdc says. Anything it raises but its own errors is a fault of it."""
    found = Verdict([])
    inspected = _asked(found, "inspect", lambda: embdc.inspect(path))
    if inspected is not None:
        found.inspect = {name: inspected[name] for name in STABLE}
        found.inspect["codec"] = inspected["codec"]["name"]
    _asked(found, "verify", lambda: embdc.verify(path))
    out = scratch / f"{path.stem}.npz"
    _asked(found, "decode", lambda: embdc.decode(path, out, force=True))
    if found.exits[0] in (0, 3):
        _read_what_is_left(found, path)
    return found


def _asked(found: Verdict, command: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        document = ask()
    except EmbdcError as error:
        found.errors[command] = type(error).__name__
        found.exits.append(error.exit_code)
        return None
    found.exits.append(document["exit"])
    return document


def _read_what_is_left(found: Verdict, path: Path) -> None:
    """Every chunk that can be decoded."""
    with embdc.open(path) as archive:
        for name in archive.streams:
            view = archive[name]
            pieces, lossless = [np.zeros(0, dtypes.storage(view.dtype))], True
            for entry in view.stream.entries:
                try:
                    pieces.append(archive.rows(view, entry, range(entry.row0, entry.stop)).ravel())
                except EmbdcError:
                    continue
                lossless = lossless and entry.record.kind == 0
            whole = np.concatenate(pieces)
            if lossless:
                found.elements[name] = hashlib.sha256(whole.tobytes()).hexdigest()
            else:
                found.values[name] = dtypes.to_float32(whole, view.dtype)
                found.bits[name] = whole.view(f"<u{whole.itemsize}")


def first_levels(path: Path, levels: int) -> dict[str, np.ndarray]:
    """float32 values of every stream as embdc decodes its first code levels."""
    beside = path.with_suffix(".embdcb")
    with embdc.open(path, codebooks=[beside] if beside.exists() else [], levels=levels) as archive:
        found = {}
        for name in archive.streams:
            view = archive[name]
            pieces = [archive.rows(view, entry, range(entry.row0, entry.stop)) for entry in view.stream.entries]
            found[name] = dtypes.to_float32(np.concatenate(pieces).ravel(), view.dtype)
        return found


def reader_verdict(path: Path, levels: int | None = None) -> Verdict:
    """What the second reader says; videos are decoded for it by embdc. levels: how many code levels it reads."""
    found = Verdict([None, None, None])
    beside = path.with_suffix(".embdcb")
    codebooks = [beside.read_bytes()] if beside.exists() else []
    try:
        archive = Archive.of(path.read_bytes(), codebooks, _video, levels)
    except Refused as problem:
        found.exits[1:] = [_STATUS[type(problem)]] * 2
        return found
    found.exits[1:] = [archive.verdict, 0 if archive.file.complete else 3]
    refused: list[int] = []
    for name, part, number, stream in archive.streams():
        elements, codes, values = hashlib.sha256(), hashlib.sha256(), [np.zeros(0)]
        exact: list[tuple[np.ndarray, np.ndarray]] = []
        steps: list[tuple[int, float]] = []
        lossy = False
        for read in archive.chunks(part, number):
            try:
                piece = read()
            except Refused as problem:
                refused.append(_STATUS[type(problem)])
                continue
            if piece.decoded is None:
                assert piece.elements is not None
                elements.update(piece.elements.tobytes())
                continue
            lossy = True
            for own in piece.decoded.codes:
                codes.update(own.astype("<i4").tobytes())
            size = sum(map(len, values))
            exact.append((piece.decoded.exact[0] + size, piece.decoded.exact[1]))
            values.append(transform.limited(piece.decoded.values, stream.dtype).ravel())
            steps.append((values[-1].size, piece.decoded.step))
        if not lossy:
            found.elements[name] = elements.hexdigest()
            continue
        found.integers[name] = codes.hexdigest()
        found.values[name] = np.concatenate(values)
        found.steps[name], found.dtypes[name] = steps, stream.dtype
        found.exact[name] = np.concatenate([one for one, _ in exact]), np.concatenate([one for _, one in exact])
    if refused:
        found.exits[2] = refused[0]
    return found


def _video(bitstream: bytes, standard: int, shape: tuple[int, int, int]) -> np.ndarray:
    name = ("h264", "hevc", "av1")[standard]
    return software.decode(bitstream, name, 10 if standard else 8, shape)
