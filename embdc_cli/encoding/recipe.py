"""The recipe: everything about an encode that decides bytes, and its digest, which names work in progress."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embdc_cli.device import network_dtype
from embdc_cli.errors import SourceError
from embdc_cli.options import VIDEO_CODEC_OPTIONS, EncodeOptions
from embdc_cli.source.beside import additions
from embdc_cli.source.digest import ends_digest

if TYPE_CHECKING:
    from embdc_cli.codebook.codebook import Codebook


def recipe_of(options: EncodeOptions, codebook: Codebook | None) -> dict[str, Any]:
    """What of `options` decides bytes, as JSON values; files are named by digest, never by path.

    `-j`, `--device` and batch size are left out: they must not change more than the last bits of embeddings. What an
    encoder computes in does, so the type that `auto` comes to on the device is in it, unless that is float32.
    """
    target = options.target()
    recipe: dict[str, Any] = {
        "codec": codec_name(options),
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
        if options.reconstruction != "auto":
            recipe["reconstruction"] = options.reconstruction
    for name in VIDEO_CODEC_OPTIONS:
        if options.given([name]) and (name, getattr(options, name)) != ("backend", "software"):
            recipe[name] = getattr(options, name)
    if options.residual_in is not None:
        recipe["residual_in"] = _file_digest(options.residual_in, "--residual-in")
    if options.keep_lossless:
        recipe["keep_lossless"] = list(options.keep_lossless)
    if options.record_name:
        recipe["record_name"] = True
    if options.add:
        recipe["add"] = [one.recipe() for one in additions(options.add)]
    for name in ("axes", "key", "raw", "input_format", "encoder", "layer", "fps", "time"):
        value = getattr(options, name)
        if value is not None:
            recipe[name] = _encoder(value) if name == "encoder" else value
    if options.encoder_kind() == "huggingface":
        dtype = network_dtype(options.encoder_dtype, options.device)
        if dtype != "float32":
            recipe["encoder_dtype"] = dtype
    if options.compile:
        recipe["compile"] = True
    if options.streams != ("patch",):
        recipe["streams"] = list(options.streams)
    return recipe


def for_others(options: EncodeOptions) -> EncodeOptions:
    """`options` for a stream beside the input, of which codebook and weights say nothing."""
    named = options.weighting in ("none", "channel", "token")
    return replace(options, codebook=None, weighting=options.weighting if named else "none")


def codec_name(options: EncodeOptions) -> str:
    """The codec that streams are coded with, unless they are kept exactly."""
    return "lossless" if options.target().kind == "lossless" else options.codec


def _weighting(weighting: str) -> str:
    if weighting in ("none", "channel", "token"):
        return weighting
    return _file_digest(weighting, "--weighting", hint="expected none, channel, token, or a .npy or .safetensors file")


def _file_digest(path: str, flag: str, *, hint: str | None = None) -> str:
    if not Path(path).is_file():
        raise SourceError(f"{flag}: {path}: no such file", hint=hint)
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _encoder(encoder: str) -> str:
    """A hub encoder by its name; a local one by a digest of its configuration and weights, never by its folder."""
    path = Path(encoder)
    if not path.exists():
        return encoder
    files = [path] if path.is_file() else sorted([*path.glob("*.json"), *path.glob("*.safetensors")])
    digest = hashlib.sha256()
    for file in files:
        digest.update(ends_digest(file).encode())
    return "sha256:" + digest.hexdigest()
