"""The rows of a forecast: ways to encode, named as users name them.

balanced      a preset                  cosine=0.95   a target at the default effort
lossless      every bit kept            bpv=0.5
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from embdc_cli.errors import UsageError
from embdc_cli.options import PRESETS, EncodeOptions

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
        kind, _, value = name.partition("=")
        if name in PRESETS:
            return cls(name, {"preset": name})
        if name == "lossless":
            return cls(name, {"lossless": True})
        if kind not in TARGETS:
            known = ", ".join([*PRESETS, "lossless", *(f"{target}=X" for target in TARGETS)])
            raise UsageError(f"--rows: expected one of {known}, found {name!r}")
        try:
            settings: dict[str, Any] = {f"target_{kind.replace('-', '_')}": float(value)}
        except ValueError:
            raise UsageError(f"--rows: {kind}: expected a number, found {value!r}") from None
        EncodeOptions(**settings).target()
        return cls(name, settings)

    @property
    def preset(self) -> str | None:
        """The preset it is, if it is one."""
        preset: str | None = self.settings.get("preset")
        return preset

    def options(self, coding: EncodeOptions) -> EncodeOptions:
        """What `encode` would be asked for; a codebook says nothing to a row without loss."""
        codebook = None if "lossless" in self.settings else coding.codebook
        return replace(coding, **self.settings, codebook=codebook)
