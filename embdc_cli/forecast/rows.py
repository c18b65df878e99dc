"""The rows of a forecast: ways to encode, named as users name them.

balanced      a preset                  cosine=0.95   a target at the default effort
lossless      every bit kept            bpv=0.5
hevc:bpv=2.9  the same with another codec than that of the options: av1:balanced, transform:nmse=0.02
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from embdc_cli.errors import UsageError
from embdc_cli.options import LOSSY_CODECS, PRESETS, VIDEO_CODECS, EncodeOptions

DEFAULT_ROWS: Final = (*PRESETS, "cosine=0.9", "cosine=0.99", "lossless")
TARGETS: Final = ("cosine", "nmse", "channel-nmse", "bpv")


@dataclass(frozen=True)
class Row:
    """One way to encode. settings: of `EncodeOptions`, what makes this row."""

    name: str
    settings: dict[str, Any]

    @classmethod
    def parse(cls, name: str) -> Row:
        """The row of this name. Raises: UsageError."""
        codec, colon, target = name.rpartition(":")
        if colon and codec not in LOSSY_CODECS:
            raise UsageError(f"--rows: expected one of {', '.join(LOSSY_CODECS)} before the colon, found {codec!r}")
        settings = _settings(target)
        return cls(name, {**settings, "codec": codec} if colon else settings)

    @property
    def preset(self) -> str | None:
        """The preset it is, if it is one."""
        preset: str | None = self.settings.get("preset")
        return preset

    def options(self, coding: EncodeOptions) -> EncodeOptions:
        """What `encode` would be asked for; a codebook says nothing to a row without loss or of a video codec."""
        video = self.settings.get("codec", coding.codec) in VIDEO_CODECS
        codebook = None if "lossless" in self.settings or video else coding.codebook
        return replace(coding, **self.settings, codebook=codebook)


def _settings(name: str) -> dict[str, Any]:
    """What makes a preset or target."""
    kind, _, value = name.partition("=")
    if name in PRESETS:
        return {"preset": name}
    if name == "lossless":
        return {"lossless": True}
    if kind not in TARGETS:
        known = ", ".join([*PRESETS, "lossless", *(f"{target}=X" for target in TARGETS)])
        raise UsageError(f"--rows: expected one of {known}, found {name!r}")
    try:
        settings: dict[str, Any] = {f"target_{kind.replace('-', '_')}": float(value)}
    except ValueError:
        raise UsageError(f"--rows: {kind}: expected a number, found {value!r}") from None
    EncodeOptions(**settings).target()
    return settings
