"""Vision towers of transformers behind one call: pixels in, tokens in raster order out.

Three ways in which towers take pixels:
  pixel_values (B, 3, H, W)             CLIP, SigLIP, DINO, ViT, InternViT and most others
  patches + mask + spatial shapes       SigLIP 2 NaFlex
  a flat list of patches + grid (t,h,w) Qwen-VL
The last one takes frames in pairs (temporal_patch_size 2). Here every frame is repeated to fill its own pair, as the
model's own image processor does for a picture: one row per frame, independent of its neighbours.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from embdc_cli.errors import UsageError


@dataclass(frozen=True)
class TowerOutput:
    """tokens: (B, N, D), leading special tokens first. pooled: (B, D), None where the tower has none."""

    tokens: torch.Tensor
    pooled: torch.Tensor | None


class PixelTower:
    """Takes pixel_values."""

    def __init__(self, model: Any, config: Any) -> None:
        self._model = model
        self._config = config
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters

    def grid(self, height: int, width: int) -> tuple[int, int] | None:
        """Patches down and across, None where the tower has no fixed patch size."""
        patch = _pair(getattr(self._config, "patch_size", None))
        return None if patch is None else (height // patch[0], width // patch[1])

    def run(self, pixels: torch.Tensor, layer: int | None) -> TowerOutput:
        """pixels: (B, 3, H, W). layer: index into hidden_states, None for the last hidden state."""
        extra: dict[str, Any] = {}
        if self._interpolates and _pair(getattr(self._config, "image_size", None)) != tuple(pixels.shape[-2:]):
            extra["interpolate_pos_encoding"] = True
        out = self._model(pixel_values=pixels, output_hidden_states=layer is not None, **extra)
        tokens = out.last_hidden_state if layer is None else _layer_of(out, layer)
        pooled = getattr(out, "pooler_output", None)
        return TowerOutput(_as_tokens(tokens), None if pooled is None else pooled.flatten(1))


class NaflexTower:
    """Takes patches with a mask; all frames of a batch have the same size, so no patch is padding."""

    def __init__(self, model: Any, config: Any) -> None:
        self._model = model
        self._patch = int(config.patch_size)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // self._patch, width // self._patch

    def run(self, pixels: torch.Tensor, layer: int | None) -> TowerOutput:
        batch, channels, height, width = pixels.shape
        rows, columns = self.grid(height, width)
        patches = pixels.reshape(batch, channels, rows, self._patch, columns, self._patch)
        patches = patches.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)
        out = self._model(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.int32, device=pixels.device),
            spatial_shapes=torch.tensor([[rows, columns]] * batch, device=pixels.device),
            output_hidden_states=layer is not None,
        )
        return TowerOutput(out.last_hidden_state if layer is None else _layer_of(out, layer), out.pooler_output)


class GridTower:
    """Qwen-VL's visual part. Without a layer its tokens are the merged ones that the language model takes.

    With a layer they are that layer's patch tokens, put back from window order into raster order.
    """

    def __init__(self, model: Any, config: Any) -> None:
        self._model = model
        self._patch = int(config.patch_size)
        self._merge = int(config.spatial_merge_size)
        self._frames = int(config.temporal_patch_size)
        self._window = getattr(config, "window_size", None)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // self._patch, width // self._patch

    def run(self, pixels: torch.Tensor, layer: int | None) -> TowerOutput:
        batch, channels, height, width = pixels.shape
        rows, columns = self.grid(height, width)
        merge, patch = self._merge, self._patch
        blocks = pixels.reshape(batch, channels, rows // merge, merge, patch, columns // merge, merge, patch)
        # (B, block row, block column, row, column, channel, y, x), each patch repeated for every frame of a pair
        patches = blocks.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
        patches = patches.expand(-1, -1, -1, -1, -1, -1, self._frames, -1, -1)
        grid = torch.tensor([[1, rows, columns]] * batch, device=pixels.device)
        flat = patches.reshape(batch * rows * columns, -1)
        out = self._model(flat, grid_thw=grid, output_hidden_states=layer is not None)
        if layer is None:
            merged = getattr(out, "pooler_output", out)  # a bare tensor before transformers 5
            return TowerOutput(merged.reshape(batch, rows * columns // merge**2, -1), None)
        return TowerOutput(self._raster(_layer_of(out, layer), batch, rows, columns), None)

    def _raster(self, hidden: torch.Tensor, batch: int, rows: int, columns: int) -> torch.Tensor:
        """hidden (B * rows * columns, D), windows of merge blocks one after the other, to (B, rows * columns, D)."""
        merge = self._merge
        down, across = rows // merge, columns // merge
        blocks = hidden.reshape(batch, down * across, merge, merge, -1)
        if self._window is not None:
            order = _window_order(down, across, int(self._window) // merge // self._patch)
            blocks = blocks[:, torch.argsort(order).to(hidden.device)]
        raster = blocks.reshape(batch, down, across, merge, merge, -1).transpose(2, 3)
        return raster.reshape(batch, rows * columns, -1)


Tower = PixelTower | NaflexTower | GridTower


def tower_of(model: Any, config: Any) -> Tower:
    """The tower that `model` with its vision `config` is."""
    if config.model_type == "siglip2_vision_model":
        return NaflexTower(model, config)
    if hasattr(config, "spatial_merge_size") and hasattr(config, "temporal_patch_size"):
        return GridTower(model, config)
    return PixelTower(model, config)


def _window_order(down: int, across: int, edge: int) -> torch.Tensor:
    """Raster indices of `down` x `across` cells, window by window of `edge` x `edge` (smaller at the borders)."""
    cells = torch.arange(down * across).reshape(down, across)
    windows = [
        cells[top : top + edge, left : left + edge].reshape(-1)
        for top in range(0, down, edge)
        for left in range(0, across, edge)
    ]
    return torch.cat(windows)


def _layer_of(out: Any, layer: int) -> torch.Tensor:
    states = getattr(out, "hidden_states", None)
    if not states:
        raise UsageError(f"--layer {layer}: this encoder does not give its hidden states")
    if not -len(states) <= layer < len(states):
        raise UsageError(f"--layer: expected {-len(states)} to {len(states) - 1}, found {layer}")
    state: torch.Tensor = states[layer]
    return _as_tokens(state) if state.ndim == 4 else state


def _as_tokens(x: torch.Tensor) -> torch.Tensor:
    """(B, D, h, w) maps of convolutional towers as (B, h * w, D)."""
    return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x


def _pair(size: object) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None
