"""What a user can ask of encode and decode, as plain values; embdc(1) describes each one.

The command line builds these from flags, the Python API from keyword arguments; nothing else reads flags.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Final, Literal, TypeVar

from embdc_cli.errors import UsageError

VIDEO_CODECS: Final = ("h264", "hevc", "av1")
LOSSY_CODECS: Final = ("transform", "vq", *VIDEO_CODECS)
CODECS: Final = (*LOSSY_CODECS, "lossless", "auto")
PRESETS: Final[dict[str, tuple[float, int]]] = {
    "fast": (0.97, 0),
    "balanced": (0.97, 1),
    "small": (0.93, 3),
    "near-lossless": (0.985, 2),
}
"""preset -> (target cosine, effort)"""

VIDEO_CODEC_OPTIONS: Final = ("rotation", "inter", "backend")
"""Of `EncodeOptions`: how a video codec is used."""
VIDEO_OPTIONS: Final = (
    *("encoder", "encoder_dtype", "compile", "layer", "streams", "fps", "time"),
    "batch_size",
)
"""Of `EncodeOptions`: how a video becomes embeddings; they say nothing about a dump."""
DUMP_OPTIONS: Final = ("key", "raw", "axes", "special_tokens")
"""Of `EncodeOptions`: how a dump is read; they say nothing about a video."""

PATCH_DCT: Final = "patch-dct"
"""The built-in encoder."""
EXPORTED_SUFFIX: Final = ".pt2"
ENCODER_DTYPES: Final = ("auto", "f32", "bf16", "f16")

ROTATIONS: Final = ("auto", "hadamard", "klt", "none")
INTER: Final = ("auto", "on", "off")
BACKENDS: Final = ("auto", "software", "nvidia")

PROBE_ON: Final = ("pooled", "first", "tokens")
"""Which vectors `compare --probe` classifies: the mean of a row's tokens, its first token, or every token."""

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
    reconstruction: str = "auto"  # auto | on | off
    chunk_frames: int | None = None  # None: `tokens.usual_chunk_rows`
    device: str = "auto"
    jobs: int = 1
    one_pass: bool = False
    spool_max: int = 20_000_000_000  # bytes
    nonfinite: str = "refuse"  # refuse | keep
    keep_lossless: tuple[str, ...] = ()  # patterns of stream names
    # video codecs
    rotation: str = "auto"  # auto | hadamard | klt | none
    inter: str = "auto"  # auto | on | off
    backend: str = "auto"  # auto | software | nvidia
    # video
    encoder: str | None = None
    encoder_dtype: str = "auto"  # auto | f32 | bf16 | f16
    compile: bool = False
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
    add: tuple[str, ...] = ()  # "NAME=FILE@TIMES", of `source.beside`
    # error feedback
    residual_in: str | None = None
    residual_out: str | None = None
    # output
    force: bool = False
    append: bool = False
    resume: bool = False
    skip_existing: bool = False
    keep_going: bool = False
    record_name: bool = False
    dry_run: bool = False

    def given(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that ask for something else than the default, as flags."""
        return [flag_of(name) for name in names if getattr(self, name) != getattr(EncodeOptions, name)]

    def target(self) -> Target:
        """The single target asked for (default: preset balanced); UsageError when there are several."""
        asked = [
            name
            for name in ("preset", "target_bpv", "target_nmse", "target_channel_nmse", "target_cosine", "max_size")
            if getattr(self, name) is not None
        ]
        if self.lossless or self.codec == "lossless":
            if asked:
                raise UsageError(f"rate: --lossless and {flag_of(asked[0])} exclude each other")
            return Target("lossless")
        if len(asked) > 1:
            flags = " and ".join(map(flag_of, asked))
            raise UsageError(f"rate: expected one target, found {flags}")
        if not asked or asked == ["preset"]:
            return Target("cosine", PRESETS[self._preset()][0])
        value = float(getattr(self, asked[0]))
        limits = {"target_cosine": (0.0, 1.0)}.get(asked[0], (0.0, float("inf")))
        if not limits[0] < value < limits[1]:
            flag = flag_of(asked[0])
            raise UsageError(f"{flag}: expected a number between {limits[0]:g} and {limits[1]:g}, found {value:g}")
        kind: dict[str, TargetKind] = {
            "target_bpv": "bpv",
            "target_nmse": "nmse",
            "target_channel_nmse": "channel_nmse",
            "target_cosine": "cosine",
            "max_size": "max_size",
        }
        return Target(kind[asked[0]], value)

    def check_codec(self) -> None:
        """Refuse options that say nothing to the codec asked for. Raises: UsageError."""
        video = self.codec in VIDEO_CODECS
        if (video or self.codec == "vq") and self.lossless:
            raise UsageError(f"--lossless: not with --codec {self.codec}")
        given = self.given(("codebook",) if video else VIDEO_CODEC_OPTIONS)
        if given and self.codec != "auto":
            which = "not with" if video else "only with"
            names = self.codec if video else ", ".join(VIDEO_CODECS)
            raise UsageError(f"{given[0]}: {which} --codec {names}")

    def effort_level(self) -> int:
        """Search effort 0..3: `--effort`, else the preset's, else 1."""
        if self.effort is None:
            return PRESETS[self._preset()][1] if self.preset is not None else 1
        if not 0 <= self.effort <= 3:
            raise UsageError(f"--effort: expected 0, 1, 2 or 3, found {self.effort}")
        return self.effort

    def encoder_kind(self) -> Literal["patch-dct", "exported", "huggingface"]:
        """What kind of thing embeds videos: the built-in formula, an exported program, or a vision tower."""
        if self.encoder is None or self.encoder == PATCH_DCT:
            return "patch-dct"
        return "exported" if self.encoder.endswith(EXPORTED_SUFFIX) else "huggingface"

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
    levels: int | None = None  # of streams of codec vq
    reconstruction: bool = True
    on_damage: str = "fail"  # fail | skip | nan
    follow: bool = False
    appends: bool = False
    idle_timeout: float = 600.0  # seconds
    codebooks: tuple[str, ...] = ()
    device: str = "auto"
    backend: str = "auto"  # auto | software | nvidia
    jobs: int = 1
    force: bool = False
    # hand-off to a language model
    consumer: str | None = None  # "vllm", "sglang", "hf" or "llava", and ":MODEL" unless it is the recorded one
    modality: str = "video"  # image | video
    grid: str | None = None  # "HxW", tokens


@dataclass(frozen=True)
class CompareOptions:
    """Options of `embdc compare`. The limits (`min_`, `max_`) are those of `comparison.gates`; None sets none."""

    key: str | None = None
    input_format: str | None = None
    raw: str | None = None
    axes: str | None = None
    codebooks: tuple[str, ...] = ()
    probe: str | None = None  # file of a linear head
    probe_on: str = "pooled"  # pooled | first | tokens
    labels: str | None = None  # npy file of a class per row
    min_cosine: float | None = None
    min_cosine_p1: float | None = None
    min_centred_cosine: float | None = None
    max_nmse: float | None = None
    max_channel_nmse: float | None = None
    min_cka: float | None = None
    min_recall: float | None = None
    min_pooled_recall: float | None = None
    min_agreement: float | None = None
    max_kl: float | None = None
    max_accuracy_loss: float | None = None


METRICS: Final = ("cosine", "dot", "l2")
MODALITIES: Final = ("image", "video")


@dataclass(frozen=True)
class SearchOptions:
    """Options of `embdc search`."""

    k: int = 10
    metric: str = "cosine"  # cosine | dot | l2
    pooled: bool = False
    item: str | None = None
    stream: str | None = None
    frames: str | None = None  # "A:B[:S]"
    time: str | None = None  # "A..B"
    key: str | None = None  # of the query
    rescore: str | None = None  # the dump that the archive was made from
    codebooks: tuple[str, ...] = ()
    jobs: int = 1
    on_damage: str = "fail"  # fail | skip


Options = TypeVar("Options")

_CHOICES: Final = {
    "codec": CODECS,
    "embed_codebook": ("auto", "yes", "no"),
    "reconstruction": ("auto", "on", "off"),
    "nonfinite": ("refuse", "keep"),
    "rotation": ROTATIONS,
    "inter": INTER,
    "backend": BACKENDS,
    "probe_on": PROBE_ON,
    "metric": METRICS,
    "modality": MODALITIES,
}
_AT_LEAST: Final = {"jobs": 1, "k": 1, "chunk_frames": 1, "batch_size": 1, "spool_max": 0, "seed": 0}


def flag_of(name: str) -> str:
    """The option of the command line that sets the field `name`."""
    return "--" + {"codebooks": "codebook", "consumer": "for"}.get(name, name).replace("_", "-")


def from_keywords(kind: type[Options], options: dict[str, Any]) -> Options:
    """`kind(**options)`, with numbers where the command line has words (fps=2) and paths and lists taken as well.

    Raises: UsageError naming an option that it does not have, or whose value it cannot be.
    """
    types = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    unknown = sorted(options.keys() - types.keys())
    if unknown:
        raise UsageError(f"option {unknown[0]!r} is unknown", hint=f"expected one of {', '.join(sorted(types))}")
    return kind(**{name: _as_declared(name, value, types[name]) for name, value in options.items()})


def _as_declared(name: str, value: Any, declared: str) -> Any:
    """`value` in the declared type, checked. Raises: UsageError."""
    declared, _, optional = declared.partition(" | ")
    if value is None and optional:
        return None
    words, read = _TYPES[declared]
    try:
        found = read(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{flag_of(name)}: expected {words}, found {value!r}") from None
    if declared == "str" and found not in _CHOICES.get(name, (found,)):
        raise UsageError(f"{flag_of(name)}: expected one of {', '.join(_CHOICES[name])}, found {value!r}")
    if name in _AT_LEAST and found < _AT_LEAST[name]:
        raise UsageError(f"{flag_of(name)}: expected a whole number from {_AT_LEAST[name]}, found {value!r}")
    return found


def _text(value: Any) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        return str(value)
    return os.fsdecode(value)


def _texts(value: Any) -> tuple[str, ...]:
    # one name alone is one name, not its letters
    return (_text(value),) if isinstance(value, str | os.PathLike) else tuple(_text(one) for one in value)


def _whole(value: Any) -> int:
    number = _real(value)
    if not number.is_integer():
        raise ValueError
    return int(value)


def _real(value: Any) -> float:
    if isinstance(value, bool | str | bytes):  # float() would read them
        raise TypeError
    return float(value)


def _switch(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # numpy's own is no bool
        raise TypeError
    return bool(value)


def _options(value: Any) -> EncodeOptions:
    if not isinstance(value, EncodeOptions):
        raise TypeError
    return value


_TYPES: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "str": ("text", _text),
    "tuple[str, ...]": ("names", _texts),
    "int": ("a whole number", _whole),
    "float": ("a number", _real),
    "bool": ("True or False", _switch),
    "EncodeOptions": ("an EncodeOptions", _options),
}
