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

import numpy as np
import torch

from embdc_cli.embedder.device import chosen_device
from embdc_cli.embedder.hub_folder import HubFolder, open_folder
from embdc_cli.embedder.network import DEFAULT_BATCH, STORAGE, environment, run_in_batches
from embdc_cli.embedder.preprocess import Preprocess
from embdc_cli.embedder.protocol import Frame, chosen_streams
from embdc_cli.embedder.tower_loading import LoadedModel, load_tower
from embdc_cli.embedder.towers import Tower, TowerOutput, tower_of
from embdc_cli.values import StreamSpec

_MOST_SPECIAL_TOKENS = 16  # beside a grid; more than that is a tower that pools its patches


@dataclass(frozen=True)
class Request:
    """What the user asked of the encoder."""

    layer: int | None
    streams: tuple[str, ...]
    batch_size: int


class HuggingFaceEmbedder:
    """A loaded tower with its preprocessing."""

    notes: Sequence[str] = ()

    def __init__(self, folder: HubFolder, loaded: LoadedModel, request: Request, device: torch.device) -> None:
        self._loaded = loaded
        self._request = request
        self._device = device
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
    def open(
        cls, encoder: str, *, layer: int | None, streams: tuple[str, ...], batch_size: int | None, device: str
    ) -> HuggingFaceEmbedder:
        """The tower that `encoder` names. Raises: MissingModel, ResourceError, UsageError."""
        target = chosen_device(device)
        folder = open_folder(encoder)
        return cls(folder, load_tower(folder, target), Request(layer, streams, batch_size or DEFAULT_BATCH), target)

    def for_size(self, height: int, width: int) -> SizedTower:
        """Runs the tower once on a black frame to see what comes out. UsageError for --layer and --streams."""
        size = self._preprocess.final_size(height, width)
        with torch.inference_mode():
            probe = self._tower.run(torch.zeros((1, 3, *size), device=self._device), self._request.layer)
        layout = self._layout(probe, size)
        chosen_streams(self._request.streams, layout.available(), self._shown)
        return SizedTower(self._tower, self._preprocess, layout, self._request, self._device, self._provenance(layout))

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

        facts = environment(self._device)
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


@dataclass(frozen=True)
class SizedTower:
    """A tower made ready for frames of one size."""

    tower: Tower
    preprocess: Preprocess
    layout: Layout
    request: Request
    device: torch.device
    facts: dict[str, Any]

    @property
    def specs(self) -> list[StreamSpec]:
        return [self.layout.spec(stream) for stream in dict.fromkeys(self.request.streams)]

    @property
    def batch_size(self) -> int:
        return self.request.batch_size

    def embed(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        pixels = [self.preprocess.pixels(frame, self.layout.size, self.device) for frame in frames]
        return run_in_batches(self._network, pixels, self.request.batch_size)

    def _network(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        out = self.tower.run(pixels, self.request.layer)
        return {stream: self.layout.take(stream, out) for stream in self.request.streams}

    def provenance(self) -> dict[str, Any]:
        return dict(self.facts)
