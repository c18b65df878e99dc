"""Where the codebook an archive names by its hash is looked for, and whether it fits the embeddings at hand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embdc_cli.codebook import file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.identity import describe, identity, same_encoder
from embdc_cli.errors import MissingModel

PATH_VARIABLE = "EMBDC_CODEBOOK_PATH"


def find(
    digest: bytes, *, files: Sequence[str] = (), folder: str | Path | None = None, size: int | None = None
) -> Codebook:
    """The codebook whose file has SHA-256 `digest`: among `files`, then in $EMBDC_CODEBOOK_PATH, then in `folder`.

    folder: where the archive lies, None when it is not a local file. size: the file's bytes where known, which spares
    reading other codebooks. Raises: MissingModel naming the hash; SourceError when one of `files` cannot be read.
    """
    for name in files:
        data = file.read_bytes(name)
        if hashlib.sha256(data).digest() == digest:
            return file.read(data)
    for path in _candidates(digest, folder):
        if size is not None and path.stat().st_size != size:
            continue
        data = file.read_bytes(path)
        if hashlib.sha256(data).digest() == digest:
            return file.read(data)
    raise MissingModel(
        f"codebook: {digest.hex()} is needed and not here",
        hint=f"pass its file with --codebook, or put it into a folder of ${PATH_VARIABLE} or beside the archive",
    )


def check_fit(codebook: Codebook, channels: int, encoder: Mapping[str, Any] | None) -> None:
    """Refuse (MissingModel) a codebook of another encoder or of another number of channels than the embeddings have.

    Where one side does not say who made it, only the channels are compared.
    """
    wanted = identity(encoder)
    if wanted is not None and codebook.encoder is not None and not same_encoder(wanted, codebook.encoder):
        raise MissingModel(
            f"codebook: made for {describe(codebook.encoder)}, the embeddings come from {describe(wanted)}",
            hint="train one for this encoder with embdc train-codebook",
        )
    if codebook.channels != channels:
        raise MissingModel(
            f"codebook: made for {codebook.channels} channels, the embeddings have {channels}",
            hint="train one for this encoder with embdc train-codebook",
        )


def _candidates(digest: bytes, folder: str | Path | None) -> Iterator[Path]:
    """Codebook files of the search folders in order, in each the one named by its hash first."""
    folders = [Path(entry) for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if entry]
    if folder is not None:
        folders.append(Path(folder))
    for place in folders:
        named = f"{digest.hex()}{file.SUFFIX}"
        try:
            names = sorted(os.listdir(place), key=lambda name: (name != named, name))
        except OSError:
            continue  # a folder of a shared setting that this machine does not have
        yield from (place / name for name in names if name.endswith(file.SUFFIX) and (place / name).is_file())
