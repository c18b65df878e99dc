"""Any vision tower that transformers can load, by local folder or hub name.

Streams, where the tower has them: `patch` (the patch grid in raster order), `cls` (leading class tokens), `reg`
(register tokens), `pooled` (the tower's own pooled output, always of its last layer). `--layer k` takes
hidden_states[k], counted as transformers does: 0 is the input of the first block, -1 the output of the last block
before any final norm, -2 what LLaVA-like models use. Without it, the last hidden state as the tower gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from embdc_cli.device import network_dtype
from embdc_cli.embedder.batches import STORAGE
from embdc_cli.embedder.compiling import compile_in_place, uncompiled
from embdc_cli.embedder.device import chosen_device
from embdc_cli.embedder.hub_folder import HubFolder, open_folder
from embdc_cli.embedder.network import SizedNetwork, environment, in_batches
from embdc_cli.embedder.preprocess import Preprocess
from embdc_cli.embedder.protocol import Request, Schedule, chosen_streams
from embdc_cli.embedder.tower_loading import LoadedModel, load_tower
from embdc_cli.embedder.towers import TowerOutput, tower_of
from embdc_cli.values import StreamSpec

_MOST_SPECIAL_TOKENS = 16  # beside a grid; more than that is a tower that pools its patches


class HuggingFaceEmbedder:
    """A loaded tower with its preprocessing."""

    notes: Sequence[str] = ()

    def __init__(self, folder: HubFolder, loaded: LoadedModel, request: Request, device: torch.device) -> None:
        self._loaded = loaded
        self._request = request
        self._device = device
        self._dtype: torch.dtype = loaded.model.dtype
        if request.compile:
            compile_in_place(loaded.model)
        self._tower = tower_of(loaded.model, loaded.config)
        self._preprocess = Preprocess.from_config(folder.preprocessor(), folder.shown)
        self._shown = folder.shown
        self._identity = {
            "name": folder.hub_name or loaded.config.model_type,
            "kind": "huggingface",
            "revision": folder.revision,
            "architecture": type(loaded.model).__name__,
            "weights_sha256": folder.weights_digest(),
        }

    @classmethod
    def open(cls, encoder: str, request: Request) -> HuggingFaceEmbedder:
        """The tower that `encoder` names. Raises: MissingModel, ResourceError, UsageError."""
        target = chosen_device(request.device)
        dtype: torch.dtype = getattr(torch, network_dtype(request.dtype, request.device))
        folder = open_folder(encoder)
        return cls(folder, load_tower(folder, target, dtype), request, target)

    def for_size(self, height: int, width: int, schedule: Schedule = ()) -> SizedNetwork:
        """Runs the tower once on a black frame to see what comes out, and again to see what it takes."""
        size = self._preprocess.final_size(height, width)
        with torch.inference_mode(), uncompiled(self._request.compile):
            probe = self._run(torch.zeros((1, 3, *size), device=self._device))
        layout = self._layout(probe, size)
        streams = chosen_streams(self._request.streams, layout.available(), self._shown)

        def network(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            out = self._run(pixels)
            return {stream: layout.take(stream, out) for stream in streams}

        return SizedNetwork(
            [layout.spec(stream) for stream in streams],
            lambda frame: self._preprocess.pixels(frame, size, self._device),
            in_batches(network, size, self._device, self._request, schedule),
            self._provenance(layout),
        )

    def _run(self, pixels: torch.Tensor) -> TowerOutput:
        return self._tower.run(pixels.to(self._dtype), self._request.layer)

    def _layout(self, probe: TowerOutput, size: tuple[int, int]) -> Layout:
        """Where in the tower's output each stream is."""
        tokens = probe.tokens.shape[1]
        grid = self._tower.grid(*size)
        special = tokens - grid[0] * grid[1] if grid is not None else 0
        if not 0 <= special <= _MOST_SPECIAL_TOKENS:
            grid, special = self._merged_grid(grid, tokens), 0  # merged or pooled patches: no special tokens left
        registers = min(special, int(getattr(self._loaded.config, "num_register_tokens", 0) or 0))
        pooled = probe.pooled.shape[1] if probe.pooled is not None and self._loaded.has_pooler else None
        return Layout(size, grid, tokens, probe.tokens.shape[2], special - registers, registers, pooled)

    def _merged_grid(self, grid: tuple[int, int] | None, tokens: int) -> tuple[int, int] | None:
        merge = int(getattr(self._loaded.config, "spatial_merge_size", 1))
        if grid is None or grid[0] // merge * (grid[1] // merge) != tokens:
            return None
        return grid[0] // merge, grid[1] // merge

    def _provenance(self, layout: Layout) -> dict[str, Any]:
        import transformers

        compute = str(self._dtype).removeprefix("torch.")
        facts = environment(self._device, compute, self._request)
        facts["libraries"]["transformers"] = transformers.__version__
        attention = getattr(self._loaded.model.config, "_attn_implementation", None)
        return {
            **self._identity,
            **facts,
            "attention": attention,
            "layer": self._request.layer,
            "size": list(layout.size),
            "grid": list(layout.grid) if layout.grid else None,
            "preprocess": self._preprocess.provenance(),
        }


@dataclass(frozen=True)
class Layout:
    """A tower's output for frames resized to `size`: `classes`, then `registers`, then patch tokens, `dim` channels."""

    size: tuple[int, int]
    grid: tuple[int, int] | None
    tokens: int
    dim: int
    classes: int
    registers: int
    pooled_dim: int | None

    def available(self) -> list[str]:
        return ["patch", *["cls"] * bool(self.classes), *["reg"] * bool(self.registers), *self._pooled()]

    def _pooled(self) -> list[str]:
        return [] if self.pooled_dim is None else ["pooled"]

    def spec(self, stream: str) -> StreamSpec:
        """The stream's spec; a single class token is a vector per row."""
        if stream == "pooled" and self.pooled_dim is not None:
            return StreamSpec(stream, STORAGE, "t,c", (self.pooled_dim,), None)
        first, last = self._range(stream)
        if stream == "cls" and last - first == 1:
            return StreamSpec(stream, STORAGE, "t,c", (self.dim,), None)
        return StreamSpec(stream, STORAGE, "t,n,c", (last - first, self.dim), None)

    def take(self, stream: str, out: TowerOutput) -> torch.Tensor:
        """The values of `stream`, (B, *row_shape)."""
        if stream == "pooled" and out.pooled is not None:
            return out.pooled
        first, last = self._range(stream)
        return out.tokens[:, first:last].reshape(len(out.tokens), *self.spec(stream).row_shape)

    def _range(self, stream: str) -> tuple[int, int]:
        special = self.classes + self.registers
        return {"cls": (0, self.classes), "reg": (self.classes, special), "patch": (special, self.tokens)}[stream]
