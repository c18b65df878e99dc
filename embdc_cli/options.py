"""What a user can ask of encode and decode, as plain values; embdc(1) describes each one.

The command line builds these from flags, the Python API from keyword arguments; nothing else reads flags.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeVar

from embdc_cli.errors import UsageError

CODECS: Final = ("transform", "lossless", "auto")
PRESETS: Final[dict[str, tuple[float, int]]] = {
    "fast": (0.97, 0),
    "balanced": (0.97, 1),
    "small": (0.93, 3),
    "near-lossless": (0.985, 2),
}
"""preset -> (target cosine, effort)"""

TargetKind = Literal["bpv", "nmse", "channel_nmse", "cosine", "max_size", "lossless"]
SIZE_TARGETS: Final = ("bpv", "max_size")


@dataclass(frozen=True)
class Target:
    """The one rate or quality target of an encode: bits per value, an error, a cosine, or bytes."""

    kind: TargetKind
    value: float = 0.0


@dataclass(frozen=True)
class EncodeOptions:
    """Options of `embdc encode`, one input. None means the documented default."""

    codec: str = "transform"
    preset: str | None = None
    target_bpv: float | None = None
    target_nmse: float | None = None
    target_channel_nmse: float | None = None
    target_cosine: float | None = None
    max_size: int | None = None  # bytes
    lossless: bool = False
    effort: int | None = None
    weighting: str = "none"  # none | channel | token | path of a vector or matrix
    codebook: str | None = None
    embed_codebook: str = "auto"  # auto | yes | no
    chunk_frames: int | None = None  # None: `tokens.usual_chunk_rows`
    device: str = "auto"
    jobs: int = 1
    one_pass: bool = False
    spool_max: int = 20_000_000_000  # bytes
    nonfinite: str = "refuse"  # refuse | keep
    # video
    encoder: str | None = None
    layer: int | None = None
    streams: tuple[str, ...] = ("patch",)
    fps: str | None = None  # "1", "2.5", "native", "every:N"
    time: str | None = None  # "A..B"
    batch_size: int | None = None
    # dumps
    key: str | None = None
    input_format: str | None = None
    raw: str | None = None  # "dtype=f16,shape=?x196x192"
    axes: str | None = None
    special_tokens: str = "0"  # "auto" | N
    # output
    force: bool = False
    append: bool = False
    resume: bool = False
    skip_existing: bool = False
    keep_going: bool = False
    record_name: bool = False
    dry_run: bool = False

    def target(self) -> Target:
        """The single target asked for (default: preset balanced); UsageError when there are several."""
        asked = [
            name
            for name in ("preset", "target_bpv", "target_nmse", "target_channel_nmse", "target_cosine", "max_size")
            if getattr(self, name) is not None
        ]
        if self.lossless or self.codec == "lossless":
            if asked:
                raise UsageError(f"rate: --lossless and --{asked[0].replace('_', '-')} exclude each other")
            return Target("lossless")
        if len(asked) > 1:
            flags = " and ".join("--" + name.replace("_", "-") for name in asked)
            raise UsageError(f"rate: expected one target, found {flags}")
        if not asked or asked == ["preset"]:
            return Target("cosine", PRESETS[self._preset()][0])
        value = float(getattr(self, asked[0]))
        limits = {"target_cosine": (0.0, 1.0)}.get(asked[0], (0.0, float("inf")))
        if not limits[0] < value < limits[1]:
            flag = "--" + asked[0].replace("_", "-")
            raise UsageError(f"{flag}: expected a number between {limits[0]:g} and {limits[1]:g}, found {value:g}")
        kind: dict[str, TargetKind] = {
            "target_bpv": "bpv",
            "target_nmse": "nmse",
            "target_channel_nmse": "channel_nmse",
            "target_cosine": "cosine",
            "max_size": "max_size",
        }
        return Target(kind[asked[0]], value)

    def effort_level(self) -> int:
        """Search effort 0..3: `--effort`, else the preset's, else 1."""
        if self.effort is None:
            return PRESETS[self._preset()][1] if self.preset is not None else 1
        if not 0 <= self.effort <= 3:
            raise UsageError(f"--effort: expected 0, 1, 2 or 3, found {self.effort}")
        return self.effort

    def _preset(self) -> str:
        name = self.preset or "balanced"
        if name not in PRESETS:
            raise UsageError(f"--preset: expected one of {', '.join(PRESETS)}, found {name!r}")
        return name


@dataclass(frozen=True)
class DecodeOptions:
    """Options of `embdc decode`."""

    format: str | None = None
    item: str | None = None
    stream: str | None = None
    frames: str | None = None  # "A:B[:S]"
    time: str | None = None  # "A..B"
    dtype: str | None = None
    on_damage: str = "fail"  # fail | skip | nan
    codebooks: tuple[str, ...] = ()
    device: str = "auto"
    jobs: int = 1
    force: bool = False


Options = TypeVar("Options")


def from_keywords(kind: type[Options], options: dict[str, Any]) -> Options:
    """`kind(**options)`, with numbers where the command line has words (fps=2) and paths and lists taken as well.

    Raises: UsageError naming an option that it does not have.
    """
    types = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    unknown = sorted(options.keys() - types.keys())
    if unknown:
        raise UsageError(f"option {unknown[0]!r} is unknown", hint=f"expected one of {', '.join(sorted(types))}")
    return kind(**{name: _as_declared(value, types[name]) for name, value in options.items()})


def _as_declared(value: Any, declared: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_path_as_text(one) for one in value)
    if declared.startswith("str"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return str(value) if number else _path_as_text(value)
    return value


def _path_as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
