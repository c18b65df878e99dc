"""From an archive to the tensors of a consumer, and to the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.decoding import cut_off, losses, lost_words, opened
from embdc_cli.errors import IncompleteError, UsageError
from embdc_cli.handoff import frames, grid
from embdc_cli.handoff.choose import Chosen, choose
from embdc_cli.handoff.consumers import CONSUMERS
from embdc_cli.handoff.consumers.consumer import Arrays
from embdc_cli.handoff.model import LanguageModel, Modality, read_model
from embdc_cli.handoff.recorded import recorded_model
from embdc_cli.handoff.visual import Visual
from embdc_cli.item_streams import owner
from embdc_cli.options import MODALITIES, DecodeOptions
from embdc_cli.output import check_not_input, destination
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.sink.layout import output_streams
from embdc_cli.sink.safetensors_file import SafetensorsSink
from embdc_cli.sink.sink import ByteOutput
from embdc_cli.values import StreamSpec

_FORMAT: Final = "safetensors"
_SILENT: Final = Silent()


@dataclass(frozen=True)
class Handed:
    """What a consumer gets: its tensors, from which visuals, for which model."""

    consumer: str
    model: LanguageModel
    modality: Modality
    dtype: str
    arrays: Arrays
    visuals: list[Visual]

    @property
    def counts(self) -> list[int]:
        """Tokens of each picture or video."""
        return [count for one in self.visuals for count in one.counts]


def hand_over(archive: str | Archive, options: DecodeOptions) -> dict[str, Any]:
    """The arguments of `options.consumer`, as torch tensors in memory. Raises: as `write`."""
    import torch

    def tensors(source: Archive) -> dict[str, Any]:
        if not source.complete:
            raise IncompleteError("--for: the archive is incomplete", hint="embdc decode --for writes what is readable")
        handed = _handed(source, options, _SILENT)
        found = {name: torch.from_numpy(np.ascontiguousarray(one.values)) for name, one in handed.arrays.items()}
        for name, one in handed.arrays.items():
            found[name] = found[name].view(torch.bfloat16) if one.dtype == "bfloat16" else found[name]
        return CONSUMERS[handed.consumer].call(handed.modality, found, handed.counts)

    if isinstance(archive, Archive):
        return tensors(archive)
    with opened(archive, options) as source:
        return tensors(source)


def write(source: str, output: str, options: DecodeOptions, reporter: Reporter) -> dict[str, Any]:
    """Write the tensors of `options.consumer` to a safetensors file (`-`: stdout), and return the `--json` document.

    Raises: UsageError for what the consumer does not take, MissingModel without the model's config, TargetMissed for
    values that are not finite, CorruptArchive, OutputExists, ResourceError.
    """
    _check_format(output, options)
    check_not_input(output, source)
    with opened(source, options) as archive:
        if not archive.complete:
            reporter.note(f"{source}: archive is incomplete, handing over what is readable")
        handed = _handed(archive, options, reporter)
        items = [_item(archive, one) for one in handed.visuals]
        metadata = {
            "consumer": handed.consumer,
            "model": handed.model.shown,
            "model_type": handed.model.kind,
            "modality": handed.modality,
            "items": json.dumps(items),
            "archive_root": ",".join(_roots(archive)),
        }
        with destination(output, force=options.force) as out:
            _write(ByteOutput(out, output), handed.arrays, metadata)
        lost = [loss for one in handed.visuals for loss in _losses(one, options)]
        for loss in lost:
            reporter.note(lost_words(loss))
        return {
            "archive": source,
            "output": output,
            "format": _FORMAT,
            "consumer": handed.consumer,
            "model": handed.model.shown,
            "modality": handed.modality,
            "streams": [
                {"name": name, "shape": list(one.values.shape), "dtype": one.dtype}
                for name, one in handed.arrays.items()
            ],
            "items": items,
            "tokens": handed.counts,
            "frames": max(len(one.rows) for one in handed.visuals),
            "lost": lost,
            "io": archive.reader.traffic.document(),
            "exit": 0 if archive.complete and not lost else IncompleteError.exit_code,
        }


def _handed(archive: Archive, options: DecodeOptions, reporter: Reporter) -> Handed:
    name, model_name = _asked(options)
    chosen, modality = choose(archive, options), cast(Modality, options.modality)
    model = recorded_model(name, chosen) if model_name is None else read_model(model_name)
    consumer = CONSUMERS[name]
    consumer.check(model, modality)
    family = grid if model.is_grid else frames
    tokens = sum(family.token_count(one, model, options) for one in chosen)
    if model.max_tokens is not None and tokens > model.max_tokens:
        raise UsageError(
            f"--for: model {model.shown}, expected at most {model.max_tokens} tokens, found {tokens}",
            hint="--time or --frames takes fewer rows",
        )
    dtype = _dtype(options, model, chosen)
    visuals = []
    for number, one in enumerate(chosen):
        visuals.append(family.visual(archive, one, model, options, dtype))
        reporter.progress("hand over", number + 1, len(chosen), "items")
    return Handed(name, model, modality, dtype, consumer.arrays(model, modality, visuals, dtype), visuals)


def _asked(options: DecodeOptions) -> tuple[str, str | None]:
    """(consumer, model) of --for; None for the model that the archive records. Raises: UsageError."""
    name, named, model = (options.consumer or "").partition(":")
    if name not in CONSUMERS or (named and not model):
        expected = ", ".join(f"{one}[:MODEL]" for one in CONSUMERS)
        raise UsageError(
            f"--for: expected one of {expected}, found {options.consumer!r}",
            hint="MODEL is a folder with config.json or a name on the hub; without it, the recorded encoder",
        )
    if options.modality not in MODALITIES:
        raise UsageError(f"--modality: expected one of {', '.join(MODALITIES)}, found {options.modality!r}")
    if options.on_damage not in ("fail", "skip"):
        raise UsageError(
            f"--on-damage: expected fail or skip with --for, found {options.on_damage}: no model takes NaN"
        )
    return name, model if named else None


def _check_format(output: str, options: DecodeOptions) -> None:
    suffix = "" if output == "-" else "." + output.rpartition(".")[2].lower()
    asked = options.format or (suffix[1:] if suffix in (".pt", ".pth") else None)
    if asked in ("pt", "pth"):
        raise UsageError(
            f"--for: expected {_FORMAT}, found {asked}, which is pickle: loading it can run code in the engine",
            hint=f"-o NAME.{_FORMAT}",
        )
    if (options.format or _FORMAT) != _FORMAT or (output != "-" and suffix != f".{_FORMAT}" and options.format is None):
        raise UsageError(f"--for: expected {_FORMAT}, found {options.format or output}", hint=f"-o NAME.{_FORMAT}")


def _dtype(options: DecodeOptions, model: LanguageModel, chosen: Sequence[Chosen]) -> str:
    """What --dtype says, else that of the model's weights, else that of the first stream. Raises: UsageError."""
    if options.dtype is None:
        return model.dtype or chosen[0].view.spec.dtype
    dtype = dtypes.parse(options.dtype)
    if dtype not in dtypes.FLOATS:
        raise UsageError(f"--dtype: expected one of f16, bf16, f32, found {options.dtype!r}")
    return dtype


def _item(archive: Archive, one: Visual) -> dict[str, Any]:
    """Where a visual comes from: first and last row, and when they start."""
    first, last = one.rows[0], one.rows[-1]
    seconds = [one.chosen.seconds(first), one.chosen.seconds(last)]
    return {
        "item": owner(archive.reader.items, one.chosen.item.number).name,
        "stream": one.chosen.view.spec.name,
        "encoder": one.chosen.encoder or None,
        "rows": [first, last],
        "seconds": None if None in seconds else seconds,
        "tokens": sum(one.counts),
    }


def _roots(archive: Archive) -> Iterator[str]:
    """Root of the digests of each part, which stands for every byte of it; "" of a part whose end is missing."""
    for part in archive.reader.parts:
        yield part.tail.root.hex() if part.tail is not None else ""


def _losses(one: Visual, options: DecodeOptions) -> list[dict[str, Any]]:
    view = one.chosen.view
    return losses(view, one.lost, cut_off(view, options.frames, options.time))


def _write(out: ByteOutput, arrays: Arrays, metadata: dict[str, str]) -> None:
    specs = [StreamSpec(name, one.dtype, "t", one.values.shape[1:], len(one.values)) for name, one in arrays.items()]
    with SafetensorsSink(out, output_streams(specs, None, None), ExitStack(), metadata) as sink:
        for name, one in arrays.items():
            sink.write(name, 0, one.values)
