"""embdc: small, seekable, checked archives of video embeddings.

    import embdc_cli as embdc

    archive = embdc.open("video.embdc")      # path or URL
    archive.streams                          # names, in order
    archive["patch"][100:200]                # torch tensor, decoded lazily
    archive["patch"][archive.at(12.5)]       # the row shown 12.5 seconds after the first row
    archive["patch"].search(query, 10)       # the tokens nearest to a vector, found by their codes
    embdc.encode("video.mp4", "video.embdc", preset="small")
    for rows in embdc.follow("live.embdc"):  # while it is being written
        use(rows.tensor)

`plan`, `encode`, `decode`, `inspect`, `ls`, `verify`, `repair`, `compare`, `cat`, `split`, `search` and
`train_codebook` return what their commands print with `--json`.
Every failure is a subclass of `EmbdcError`, whose `exit_code` is that of the command line.
Importing this package loads neither numpy nor torch.
"""

from __future__ import annotations

import os
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, cast

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
    WrongIndex,
)
from embdc_cli.failure import out_of_memory_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from embdc_cli.archive import Archive
    from embdc_cli.following import Arrived
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
    "WrongIndex",
    "cat",
    "compare",
    "decode",
    "encode",
    "follow",
    "hand_over",
    "inspect",
    "ls",
    "open",
    "plan",
    "repair",
    "search",
    "split",
    "train_codebook",
    "verify",
]


Name = str | PathLike[str]
"""A path or URL."""


def _name(path: Any) -> str:
    """A path as the string that the commands take. Raises: UsageError for anything else."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise UsageError(f"path: expected a path or URL, found {path!r}") from None


def _names(paths: Iterable[Name] | Name) -> list[str]:
    """Several paths as strings; one path alone is a list of one."""
    if isinstance(paths, str | bytes | PathLike):
        return [_name(paths)]
    try:
        several = iter(paths)
    except TypeError:
        raise UsageError(f"path: expected paths or URLs, found {paths!r}") from None
    return [_name(path) for path in several]


@out_of_memory_told()
def open(
    path: Name | BinaryIO,
    *,
    codebooks: Sequence[Name] = (),
    device: str = "cpu",
    levels: int | None = None,
    reconstruction: bool = True,
    resident: str | None = None,
) -> Archive:
    """The archive at a path or URL, or in a seekable file object, read lazily; slices of its streams are torch tensors.

    codebooks: files to look in for a codebook that the archive only refers to.
    device: where the tensors go ("cpu", "cuda", "cuda:N", "auto": a CUDA device where there is one). Where one is named
    they are decoded there; the CPU decodes what it alone can (`codec.device`), and copies it. Values before the cast
    are then those of the CPU within 1/64 of the quantisation step. "auto" decodes there archives of 1 GiB of values or
    more. `peak_device_bytes` of the archive is the most that decoding held of the device.
    levels: how many levels of streams of codec vq to read: a coarser copy from fewer bytes.
    reconstruction: False leaves out the network of a codebook, which some archives ask for.
    resident: a CUDA device ("cuda", "cuda:N") that keeps the archive compressed in its memory, `resident_bytes` of it;
    slices are decoded from there without the file, and land there. For streams that the device decodes from their bytes
    on, UsageError for others.
    Raises: SourceError when it is not there, CorruptArchive, UnsupportedArchive, UsageError or ResourceError for a
    device that is none or not here. A slice raises CorruptArchive when its chunk is damaged, MissingModel when its
    codebook is not found, WrongIndex for rows that are not there.
    """
    from embdc_cli.archive import Archive

    place = cast("BinaryIO", path) if hasattr(path, "seek") else _name(path)
    named = _names(codebooks)
    if resident is not None and device not in ("cpu", resident):
        raise UsageError(f"resident: expected the device of the slices, {device}, found {resident}")
    return Archive(
        place,
        codebooks=named,
        device=resident or device,
        levels=levels,
        reconstruction=reconstruction,
        resident=resident is not None,
    )


@out_of_memory_told()
def encode(source: Name | ArrayInput, out: Name, **options: Any) -> dict[str, Any]:
    """Encode a video, a dump, or arrays into the archive `out`, and return the sizes and the quality achieved.

    source: path or URL (`-`: stdin), a numpy array or torch tensor, a dict of them (a stream
    each), or a list of matrices (rows of unequal token counts).
    At most one target:
    preset: "fast", "balanced" (the default), "small" or "near-lossless", a cosine and an effort.
    target_bpv: at most so many bits per value. max_size: at most so many bytes.
    target_nmse: at most this squared error over squared deviation from the channel means.
    target_cosine: at least this mean cosine of the tokens.
    lossless: True keeps every bit pattern.
    Further options:
    effort: 0 to 3, how hard to search, in time against size.
    codebook: file of `train_codebook`. jobs: threads; bytes do not depend on it.
    encoder, layer, fps, time, device: what computes embeddings of a video, of which frames, and where.
    key, axes, special_tokens: which tensor of a dump, and what its axes mean.
    force, skip_existing, resume, append: what to do with an archive that is there.
    All of them: `options.EncodeOptions`, described in embdc-encode(1).
    Raises: UsageError, SourceError, TargetMissed, OutputExists, MissingModel for an encoder or codebook that is not
    here, ResourceError. The archive is then as it was before.
    """
    from embdc_cli import pipeline
    from embdc_cli.options import EncodeOptions, from_keywords

    source = os.fspath(source) if isinstance(source, PathLike) else source
    return pipeline.encode(source, _name(out), from_keywords(EncodeOptions, options))


@out_of_memory_told()
def plan(
    source: Name | ArrayInput,
    *,
    emit: Name | None = None,
    choose: str = "balanced",
    force: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Predict what `encode` would give with every preset and other targets, and return a row for each.

    source: as of `encode`.
    emit: a TOML file to write for `embdc encode --config`, with the row `choose`. force: overwrite it.
    rows: names of presets, "lossless", and targets such as "cosine=0.95", "nmse=0.02" or "bpv=0.5".
    sample: bytes of rows to predict from, at most 2^28, default 2^24. seed: which chunks these are.
    probe: file of a linear head, which adds what it makes of the decoded sample.
    Further options are those of `encode` that go with any target: effort, weighting, codebook, chunk_frames, nonfinite,
    encoder, layer, streams, fps, time, key, axes, special_tokens, jobs, device.
    Raises: what `encode` raises; OutputExists for `emit`.
    """
    from dataclasses import fields

    from embdc_cli.forecast import recipe_file
    from embdc_cli.forecast.forecast import forecast
    from embdc_cli.forecast.options import PlanOptions
    from embdc_cli.forecast.rows import Row
    from embdc_cli.options import EncodeOptions, from_keywords
    from embdc_cli.output import check_output

    own = {field.name for field in fields(PlanOptions)}
    coding = from_keywords(EncodeOptions, {name: value for name, value in options.items() if name not in own})
    asked = {name: value for name, value in options.items() if name in own}
    settings = from_keywords(PlanOptions, {"coding": coding, **asked})
    source = os.fspath(source) if isinstance(source, PathLike) else source
    if emit is None:
        return forecast(source, settings)
    row = Row.parse(choose)
    check_output(_name(emit), force=force)
    document = forecast(source, settings.with_row(row.name))
    recipe_file.write(_name(emit), row, settings.coding, [document], force=force)
    return document


@out_of_memory_told()
def decode(archive: Name, out: Name, **options: Any) -> dict[str, Any]:
    """Decode an archive, or a part of it, into the dump `out`, and return what was written.

    format: "npy", "npz", "safetensors", "h5", "pt" or "raw"; default: what the suffix of `out` says.
    item, stream: only this item (name or number), only this stream.
    frames, time: only these rows: "A:B" or "A:B:S", or those that start in "A..B" (such as "60s..1m30s"), counted
    from the first row.
    dtype: "float16", "bfloat16" or "float32"; default: that of the input.
    reconstruction: False leaves out the network of a codebook, which some archives ask for.
    on_damage: "fail", "skip" (leave the rows of a damaged chunk out) or "nan" (fill them).
    codebooks: files to look in for a codebook that the archive only refers to.
    device: where chunks are decoded: "cpu", "cuda", "cuda:N", or "auto", as of `open`.
    jobs, force: threads; overwrite `out`.
    consumer, modality, grid: as of `hand_over`, whose tensors are then written, as safetensors.
    All of them: `options.DecodeOptions`, described in embdc-decode(1).
    Raises: UsageError, SourceError, CorruptArchive, UnsupportedArchive, MissingModel, OutputExists, ResourceError.
    """
    from embdc_cli import pipeline
    from embdc_cli.options import DecodeOptions, from_keywords

    return pipeline.decode(_name(archive), _name(out), from_keywords(DecodeOptions, options))


@out_of_memory_told()
def hand_over(archive: Name | Archive, consumer: str, **options: Any) -> dict[str, Any]:
    """What a serving stack takes in place of pictures or video, as torch tensors nested as it takes them.

    archive: path or URL, or what `open` gives, of which a server keeps chunks in memory.
    consumer: "vllm:MODEL" gives `multi_modal_data`, "sglang:MODEL" keyword arguments of `Engine.generate`, "hf:MODEL"
    those of a model of transformers, "llava:MODEL" a tensor for each `<image>`. MODEL: folder with config.json, or a
    name on the hub; channels, tokens and grid are checked against it. "vllm" and so on: that of the recorded encoder.
    modality: "video" (the default: each item is one), or "image": each row is one.
    grid: "HxW", tokens down and across, where the archive does not record it.
    dtype: default that of the model's weights. device: where a projector that is needed runs, by default the CPU.
    Further: item, stream, frames, time, jobs, on_damage, as of `decode`.
    Raises: UsageError for what the stack does not take, MissingModel, TargetMissed for values that are not finite,
    IncompleteError, CorruptArchive, SourceError.
    """
    from embdc_cli import handoff
    from embdc_cli.archive import Archive
    from embdc_cli.options import DecodeOptions, from_keywords

    source = archive if isinstance(archive, Archive) else _name(archive)
    return handoff.hand_over(source, from_keywords(DecodeOptions, {**options, "consumer": consumer}))


def follow(
    path: Name,
    *,
    stream: str | None = None,
    codebooks: Sequence[Name] = (),
    appends: bool = False,
    idle_timeout: float = 600.0,
) -> Iterator[Arrived]:
    """The rows of an archive that is still being written, a chunk at a time, as soon as each is there.

    path: a local archive, or the name it is going to have: then the unfinished work beside it is read, and stays open
    when it gets its name. Ends at the tail. Each chunk has `item`, `stream`, `row0`, `rows`, `tensor` (a torch tensor),
    `values` (numpy, in storage type) and `seconds` (start of each row after the first row of its item, or None).
    stream: only this one. codebooks: as for `open`. appends: go on after a tail with the parts that `encode` appends,
    until nothing has come for `idle_timeout` seconds.
    Raises, while it is iterated: IncompleteError when nothing has come for `idle_timeout` seconds and there is no tail,
    as after a writer that was killed, or when the unfinished work was deleted; SourceError when there is nothing to
    read; CorruptArchive, UnsupportedArchive, MissingModel, UsageError.
    """
    from embdc_cli import following

    return following.follow(
        _name(path), stream=stream, codebooks=_names(codebooks), appends=appends, idle_seconds=idle_timeout
    )


@out_of_memory_told()
def inspect(
    path: Name,
    *,
    chunks: bool = False,
    stats: bool = False,
    decoded: bool = False,
    planes: bool = False,
    codebooks: Sequence[Name] = (),
) -> dict[str, Any]:
    """What is in an archive, where its bytes went, and the quality achieved; reads only its head and end.

    chunks: adds every chunk. stats: adds bytes and quality per stream; with it `path` may also be a dump, of which
    it says how the values are distributed. decoded: adds the same of an archive's values. codebooks: as for `open`.
    Raises: SourceError, CorruptArchive, UnsupportedArchive, MissingModel.
    """
    from embdc_cli import inspection

    return inspection.inspect(
        _name(path), chunks=chunks, stats=stats, decoded=decoded, planes=planes, codebooks=_names(codebooks)
    )


@out_of_memory_told()
def ls(
    paths: Name | Iterable[Name] = (),
    *,
    recursive: bool = False,
    incomplete: bool = False,
    expect: Iterable[Name] | None = None,
    jobs: int = 8,
) -> dict[str, Any]:
    """Every item of the archives in folders, behind patterns, paths and URLs: `items`, `totals`, `io` and `exit`.

    Only heads and tails are read, of `jobs` archives at once. An archive that cannot be read is an item with `error`;
    `exit` is 3 then. recursive: also the folders in folders. incomplete: only what is cut, unfinished, missing or
    cannot be read, and in folders of S3 what is being uploaded. expect: inputs that there should be archives of in
    `paths`, which is the one folder then.
    Raises: UsageError; SourceError when the only path is not there.
    """
    from embdc_cli.listing import listing

    expected = None if expect is None else _names(expect)
    return listing.ls(_names(paths), listing.Wanted(recursive, incomplete, expected, jobs))


@out_of_memory_told()
def verify(
    path: Name,
    *,
    against: Name | None = None,
    key: str | None = None,
    deep: bool = False,
    codebooks: Sequence[Name] = (),
) -> dict[str, Any]:
    """The result of checking every byte: `ok`, `problems`, and as `exit` 0, 3 incomplete, 5 corrupt or 4.

    deep: also check all digests, and the integers that every chunk decodes to.
    against: a dump, perhaps its tensor `key`, whose values are compared too; exit 4 when the difference is not what
    the archive says. codebooks: as for `open`.
    Raises: SourceError, UsageError, UnsupportedArchive, CorruptArchive when nothing of it can be read. What is found
    in an archive that can be read is returned, not raised.
    """
    from embdc_cli import inspection

    against = None if against is None else _name(against)
    return inspection.verify(_name(path), against=against, key=key, deep=deep, codebooks=_names(codebooks))


@out_of_memory_told()
def repair(path: Name, out: Name, *, force: bool = False) -> dict[str, Any]:
    """Make a damaged archive whole again, and return what was kept and what is lost; `exit` is 3 when something is.

    Single flipped bits are put right where that can be proven. Every chunk that can be used is kept; rows that are lost
    keep their numbers and times, and cannot be read. force: overwrite `out`.
    Raises: SourceError, UnsupportedArchive, CorruptArchive when nothing of it can be read, OutputExists, ResourceError.
    """
    from embdc_cli import repairing

    return repairing.repair(_name(path), _name(out), force=force)


@out_of_memory_told()
def compare(reference: Name | ArrayInput, other: Name | ArrayInput, **options: Any) -> dict[str, Any]:
    """Every measure of quality of `other`, an archive or dump, against `reference`; `exit` is 4 beyond a limit.

    reference, other: path or URL of a dump or archive, or what `encode` takes as arrays.
    key, axes, input_format, raw: how a dump is read.
    codebooks: as for `open`.
    probe: file of a linear head, a weight (K, D) and perhaps a bias (K,). labels: npy file of a class per row.
    probe_on: "pooled" (the mean of a row's tokens, the default), "first" (its first token) or "tokens".
    min_cosine, min_cosine_p1, max_nmse, max_channel_nmse, min_recall, min_agreement: some of the limits.
    All of them: `options.CompareOptions`, described in embdc-compare(1).
    Raises: UsageError when streams or shapes do not match, SourceError, CorruptArchive, UnsupportedArchive,
    MissingModel. A limit that is missed is returned, not raised.
    """
    from embdc_cli.comparison.compare import compare
    from embdc_cli.options import CompareOptions, from_keywords
    from embdc_cli.reporter import Silent

    first, second = (os.fspath(one) if isinstance(one, PathLike) else one for one in (reference, other))
    return compare(first, second, from_keywords(CompareOptions, options), Silent())


@out_of_memory_told()
def cat(inputs: Sequence[Name], out: Name, *, join: str | None = None, force: bool = False) -> dict[str, Any]:
    """Join archives without re-encoding, and return what `out` holds.

    join: "time" makes one longer stream of parts with equal recipe and layout, "items" keeps each as an item.
    Default: "items" where recorded names of items differ, else "time".
    force: overwrite `out`.
    Raises: UsageError for parts that do not fit, IncompleteError, CorruptArchive, SourceError, OutputExists.
    """
    from embdc_cli import joining

    return joining.cat(_names(inputs), _name(out), join=join, force=force)


@out_of_memory_told()
def split(archive: Name, out: Name | None = None, *, every: str | float, force: bool = False) -> dict[str, Any]:
    """Cut an archive in time without re-encoding, and return the parts that were written.

    every: seconds, or a time such as "10m". A part begins at the first chunk boundary at or after its time; rows keep
    their times, and `cat` of the parts gives the same values and times again.
    out: names of the parts with {n} where their numbers go, default NAME-{n}.embdc beside the archive.
    force: overwrite them.
    Raises: UsageError for rows without times, IncompleteError, CorruptArchive, SourceError, OutputExists.
    """
    from embdc_cli import splitting

    return splitting.split(_name(archive), None if out is None else _name(out), every=str(every), force=force)


@out_of_memory_told()
def search(archives: Name | Sequence[Name], query: Name | ArrayInput, **options: Any) -> dict[str, Any]:
    """The tokens, or rows, of archives that are nearest to `query`; read from the codes of `codec="vq"` archives.

    query: (D,), which gives `hits`, or (Q, D), which gives `queries`: an array, or the path of a dump.
    k: how many, default 10. metric: "cosine" (the default), "dot" or "l2".
    pooled: rows, by the mean of their tokens. item, stream, frames, time: where to search, as of `decode`.
    rescore: the dump that the archive was made from, to score the nearest by exactly.
    on_damage: "fail", or "skip" what is damaged, which `lost` then names.
    All of them: `options.SearchOptions`, described in embdc-search(1).
    Raises: UsageError for a query of another dimension, SourceError, CorruptArchive, UnsupportedArchive, MissingModel.
    """
    from embdc_cli import searching
    from embdc_cli.options import SearchOptions, from_keywords
    from embdc_cli.reporter import Silent

    paths = [_name(archives)] if isinstance(archives, str | PathLike) else _names(archives)
    asked = os.fspath(query) if isinstance(query, PathLike) else query
    return searching.search(paths, asked, from_keywords(SearchOptions, options), Silent())


@out_of_memory_told()
def train_codebook(inputs: Sequence[Name], out: Name, **options: Any) -> dict[str, Any]:
    """Learn a codebook from dumps, archives or videos of one encoder, and return what it saves on held-out inputs.

    kind: "transform", or "vq" for levels of codewords too, which `encode` with codec="vq" uses.
    max_bytes: at most this file size, by keeping fewer basis vectors, levels and codewords.
    refine, init, weighting, probe: of kind vq; see embdc-train-codebook(1).
    reconstruction: "auto" keeps a network for decoded tokens if held-out inputs gain by it, "on" keeps it anyway, "off"
    learns none. Default: "auto" of kind vq, else "off".
    sample: tokens to learn from, default 2 million. seed: which tokens and inputs are taken.
    holdout: share of the inputs kept for the report, default 0.1.
    force: overwrite `out`.
    reading: how inputs are opened, an `options.EncodeOptions` with encoder, fps, key ...
    Raises: UsageError, SourceError, TargetMissed when not even one vector fits, OutputExists, MissingModel.
    """
    from embdc_cli.codebook.training import TrainOptions, train
    from embdc_cli.options import from_keywords

    return train(_names(inputs), _name(out), from_keywords(TrainOptions, options))
