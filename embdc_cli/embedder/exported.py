"""Exported programs (`torch.export.save`, `.pt2`): one tensor in, tokens out.

The program takes (B, 3, H, W) float32 RGB in [0, 1]; whatever normalisation the network wants is part of the program.
H and W, and B where it is fixed, are those of the example it was exported with; frames are resized to H x W with
Pillow's bicubic filter, whatever their aspect. Its output becomes the stream `patch`: (B, N, D) tokens as they are,
(B, D, h, w) maps as h * w tokens, (B, D) one vector per frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch.export.passes import move_to_device_pass

from embdc_cli.embedder.batches import STORAGE
from embdc_cli.embedder.compiling import compile_in_place, uncompiled
from embdc_cli.embedder.device import chosen_device
from embdc_cli.embedder.exported_file import check_exported
from embdc_cli.embedder.network import SizedNetwork, environment, in_batches, planar_on
from embdc_cli.embedder.protocol import Frame, Request, Schedule, chosen_streams
from embdc_cli.embedder.resample import resize
from embdc_cli.errors import MissingModel, UsageError
from embdc_cli.values import StreamSpec

_BICUBIC: Final = 3
_UNBOUNDED: Final = 1 << 20  # frames at once


class ExportedEmbedder:
    """A loaded program; frames of every size are resized to its own."""

    notes: Sequence[str] = ()

    def __init__(self, path: Path, request: Request, device: torch.device) -> None:
        check_exported(path)
        try:
            program = torch.export.load(path)
            shape = _input_shape(program)
            self._program = move_to_device_pass(program, device).module()
        except (RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise MissingModel(f"encoder {path}: cannot be loaded, {_first_line(error)}") from error
        if len(shape) != 4 or shape[1] != 3 or not all(isinstance(edge, int) for edge in shape[2:]):
            found = " x ".join(str(size) for size in shape)
            raise MissingModel(f"encoder {path}: expected an input of B x 3 x H x W with fixed H and W, found {found}")
        self._sizes = _batch_sizes(program, shape[0])
        asked = request.batch_size
        if asked is not None and asked not in self._sizes:
            raise UsageError(f"--batch-size: the program was exported for {_range(self._sizes)}, found {asked}")
        self._compute = _dtype(program)
        self._size = (int(shape[2]), int(shape[3]))
        self._request = request
        self._device = device
        self._shown = str(path)
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest()
        least = torch.zeros((self._sizes[0], 3, *self._size), device=device)
        if request.compile:
            compile_in_place(self._program)
        with torch.inference_mode(), uncompiled(request.compile):
            probe = self._run(least)["patch"]
        axes = "t,c" if probe.ndim == 2 else "t,n,c"
        self._specs: Sequence[StreamSpec] = [StreamSpec("patch", STORAGE, axes, tuple(probe.shape[1:]), None)]

    @classmethod
    def open(cls, encoder: str, request: Request) -> ExportedEmbedder:
        """The program in the file `encoder`. Raises: MissingModel, ResourceError, UsageError."""
        if request.layer is not None:
            raise UsageError(f"--layer: an exported program has one output, found {request.layer}")
        if request.dtype != "auto":
            raise UsageError(f"--encoder-dtype: an exported program has its own, found {request.dtype}")
        chosen_streams(request.streams, ("patch",), encoder)
        return cls(Path(encoder), request, chosen_device(request.device))

    def for_size(self, height: int, width: int, schedule: Schedule = ()) -> SizedNetwork:
        del height, width
        batches = in_batches(self._run, self._size, self._device, self._request, schedule, self._sizes)
        return SizedNetwork(self._specs, self._pixels, batches, self._provenance())

    def _provenance(self) -> dict[str, Any]:
        return {
            "name": "exported",
            "kind": "exported",
            "weights_sha256": self._digest,
            **environment(self._device, self._compute, self._request),
            "size": list(self._size),
            "preprocess": {"filter": "bicubic", "antialias": "pillow", "rescale": 1 / 255},
        }

    def _pixels(self, frame: Frame) -> torch.Tensor:
        image = planar_on(frame, self._device)
        return (resize(image, *self._size, _BICUBIC, exact=True) / 255).to(torch.float32)

    def _run(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        out = self._program(pixels)
        out = out[0] if isinstance(out, list | tuple) and len(out) == 1 else out
        if not isinstance(out, torch.Tensor) or out.ndim not in (2, 3, 4):
            found = f"{out.ndim} dimensions" if isinstance(out, torch.Tensor) else type(out).__name__
            raise MissingModel(f"encoder {self._shown}: expected one output tensor of 2 to 4 dimensions, found {found}")
        return {"patch": out.flatten(2).transpose(1, 2) if out.ndim == 4 else out}


def _input_shape(program: torch.export.ExportedProgram) -> tuple[Any, ...]:
    """Shape of the program's one input; a dimension that may vary is symbolic."""
    inputs = program.graph_signature.user_inputs
    shapes = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder"}
    if len(inputs) != 1:
        raise ValueError(f"expected one input, found {len(inputs)}")
    return tuple(shapes[str(inputs[0])])


def _batch_sizes(program: torch.export.ExportedProgram, batch: Any) -> range:
    """How many frames at once the program takes. batch: the first dimension of its input."""
    if isinstance(batch, int):
        return range(batch, batch + 1)
    known = program.range_constraints[batch.node.expr]
    return range(max(1, int(known.lower)), int(min(known.upper, _UNBOUNDED)) + 1)


def _range(sizes: range) -> str:
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _dtype(program: torch.export.ExportedProgram) -> str:
    """The element type of the program's weights: float32, as its input is, where it has none, or `mixed`."""
    found = {str(one.dtype).removeprefix("torch.") for one in program.state_dict.values() if one.is_floating_point()}
    return found.pop() if len(found) == 1 else "mixed" if found else "float32"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
