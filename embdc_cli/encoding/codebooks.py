"""The codebook an encode was told to use: read, checked, and embedded or referred to."""

from __future__ import annotations

from embdc_cli.codebook import file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.container.chunk import CodebookRecord
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions

EMBED_SHARE = 0.01  # `auto` embeds a codebook that adds at most this much
_TYPICAL_BITS = 0.5  # per value, where no size target tells the archive's size


def chosen_codebook(options: EncodeOptions) -> Codebook | None:
    """The codebook of `--codebook`, or None. Raises: UsageError with a lossless target, SourceError, CorruptArchive."""
    if options.codebook is None:
        _check_reconstruction(options, None)
        return None
    if options.target().kind == "lossless":
        raise UsageError("--codebook: lossless coding uses none", hint="leave out --codebook")
    codebook = file.read(options.codebook)
    _check_reconstruction(options, codebook)
    return codebook


def _check_reconstruction(options: EncodeOptions, codebook: Codebook | None) -> None:
    if options.reconstruction != "on":
        return
    if options.weighting != "none":
        raise UsageError("--reconstruction: not with --weighting", hint="the network lowers plain error")
    if codebook is None or codebook.network is None:
        raise UsageError(
            "--reconstruction: expected a codebook with a network", hint="train-codebook --reconstruction on makes one"
        )


def codebook_record(codebook: Codebook | None, options: EncodeOptions, values: int) -> CodebookRecord | None:
    """How the archive of `values` values holds the codebook: embedded (`yes`, or `auto` and small) or by its hash."""
    if codebook is None:
        return None
    size = len(codebook.file_bytes)
    embed = options.embed_codebook == "yes"
    if options.embed_codebook == "auto":
        embed = size <= EMBED_SHARE * _expected_bytes(options, values)
    return CodebookRecord(codebook.digest, size, codebook.file_bytes if embed else None)


def _expected_bytes(options: EncodeOptions, values: int) -> float:
    target = options.target()
    if target.kind == "max_size":
        return target.value
    return (target.value if target.kind == "bpv" else _TYPICAL_BITS) * values / 8
