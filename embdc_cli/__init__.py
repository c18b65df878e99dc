"""embdc: small, seekable, checked archives of video embeddings.

    import embdc_cli as embdc

    archive = embdc.open("video.embdc")      # path or URL
    archive.streams                          # names, in order
    archive["patch"][100:200]                # torch tensor, decoded lazily
    archive["patch"][archive.at(12.5)]       # the row shown 12.5 seconds after the first
    embdc.encode("video.mp4", "video.embdc", preset="small")

`encode`, `decode`, `inspect`, `verify`, `cat` and `train_codebook` return what their commands print with `--json`.
Every failure is a subclass of `EmbdcError`, whose `exit_code` is that of the command line.
Importing this package loads neither numpy nor torch.
"""

from __future__ import annotations

import os
from os import PathLike
from typing import TYPE_CHECKING, Any

from embdc_cli.errors import (
    CorruptArchive,
    EmbdcError,
    IncompleteError,
    MissingModel,
    OutputExists,
    ResourceError,
    SourceError,
    Stopped,
    TargetMissed,
    UnsupportedArchive,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embdc_cli.archive import Archive
    from embdc_cli.source.array import ArrayInput

__version__ = "0.1.0"

__all__ = [
    "CorruptArchive",
    "EmbdcError",
    "IncompleteError",
    "MissingModel",
    "OutputExists",
    "ResourceError",
    "SourceError",
    "Stopped",
    "TargetMissed",
    "UnsupportedArchive",
    "UsageError",
    "cat",
    "decode",
    "encode",
    "inspect",
    "open",
    "train_codebook",
    "verify",
]


def _name(path: Any) -> Any:
    """A path as the string that the commands take; arrays pass through."""
    return os.fspath(path) if isinstance(path, PathLike) else path


def open(path: str | PathLike[str], *, codebooks: Sequence[str] = (), device: str = "cpu") -> Archive:
    """The archive at a path or URL, read lazily; slices of its streams are torch tensors on `device`."""
    from embdc_cli.archive import Archive

    return Archive(_name(path), codebooks=codebooks, device=device)


def encode(source: str | PathLike[str] | ArrayInput, out: str | PathLike[str], **options: Any) -> dict[str, Any]:
    """Encode a video, a dump, or arrays; options are the fields of `options.EncodeOptions`."""
    from embdc_cli import pipeline
    from embdc_cli.options import EncodeOptions, from_keywords

    return pipeline.encode(_name(source), _name(out), from_keywords(EncodeOptions, options))


def decode(archive: str | PathLike[str], out: str | PathLike[str], **options: Any) -> dict[str, Any]:
    """Decode an archive into a dump; options are the fields of `options.DecodeOptions`."""
    from embdc_cli import pipeline
    from embdc_cli.options import DecodeOptions, from_keywords

    return pipeline.decode(_name(archive), _name(out), from_keywords(DecodeOptions, options))


def inspect(path: str, *, chunks: bool = False, stats: bool = False, codebooks: Sequence[str] = ()) -> dict[str, Any]:
    """What is in an archive, where its bytes went, and the quality achieved."""
    from embdc_cli import inspection

    return inspection.inspect(path, chunks=chunks, stats=stats, codebooks=codebooks)


def verify(
    path: str, *, against: str | None = None, key: str | None = None, codebooks: Sequence[str] = ()
) -> dict[str, Any]:
    """The result of checking every byte; `against` also compares the values with a dump."""
    from embdc_cli import inspection

    return inspection.verify(path, against=against, key=key, codebooks=codebooks)


def cat(inputs: Sequence[str], out: str, *, join: str = "time", force: bool = False) -> dict[str, Any]:
    """Join archives without re-encoding: into one longer stream (`time`) or as items (`items`)."""
    from embdc_cli import joining

    return joining.cat(inputs, out, join=join, force=force)


def train_codebook(inputs: Sequence[str], out: str, **options: Any) -> dict[str, Any]:
    """Learn a codebook; options are the fields of `codebook.training.TrainOptions`."""
    from embdc_cli.codebook.training import TrainOptions, train
    from embdc_cli.options import from_keywords

    return train(inputs, out, from_keywords(TrainOptions, options))
