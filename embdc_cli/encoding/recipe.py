"""The recipe: everything about an encode that decides bytes, and its digest, which names work in progress."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embdc_cli.errors import SourceError
from embdc_cli.options import EncodeOptions

if TYPE_CHECKING:
    from embdc_cli.codebook.codebook import Codebook


def recipe_of(options: EncodeOptions, codebook: Codebook | None) -> dict[str, Any]:
    """What of `options` decides bytes, as JSON values; files are named by digest, never by path.

    `-j`, `--device` and batch size are left out: they must not change bytes.
    """
    target = options.target()
    recipe: dict[str, Any] = {
        "codec": options.codec if target.kind != "lossless" else "lossless",
        "target": {"kind": target.kind, "value": target.value},
        "effort": options.effort_level(),
        "weighting": _weighting(options.weighting),
        "chunk_frames": options.chunk_frames,
        "nonfinite": options.nonfinite,
        "one_pass": options.one_pass,
        "special_tokens": options.special_tokens,
    }
    if codebook is not None:
        recipe["codebook"] = codebook.digest.hex()
        recipe["embed_codebook"] = options.embed_codebook
    for name in ("axes", "key", "encoder", "layer", "fps", "time"):
        value = getattr(options, name)
        if value is not None:
            recipe[name] = _folder_name(value) if name == "encoder" else value
    if options.streams != ("patch",):
        recipe["streams"] = list(options.streams)
    return recipe


def _weighting(weighting: str) -> str:
    if weighting in ("none", "channel", "token"):
        return weighting
    path = Path(weighting)
    if not path.is_file():
        raise SourceError(
            f"--weighting: {weighting}: no such file",
            hint="expected none, channel, token, or a .npy or .safetensors file",
        )
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def _folder_name(encoder: str) -> str:
    """A local encoder is known by its folder's name, a hub encoder by its full name."""
    return Path(encoder).name if Path(encoder).exists() else encoder
