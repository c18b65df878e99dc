"""Batches of clips whose rows, or whose tokens in a row, are not equally many.

DataLoader(clips, batch_size=8, collate_fn=collate)
torch.nested.nested_tensor_from_jagged(batch["values"], batch["token_offsets"])  # (rows, tokens of each, D)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import default_collate

Batch = dict[str, Any]


def collate(samples: Sequence[dict[str, Any]]) -> Batch:
    """One batch in the jagged layout of `torch.nested`: values one after the other, and offsets of where each begins.

    Clips of equal shape are stacked: "values" (B, rows, *row_shape).
    Clips by seconds, with "row_count": "values" (R, *row_shape), the R rows of all clips, and "row_offsets" (B + 1,):
    clip b has rows row_offsets[b] to row_offsets[b + 1].
    Clips of a ragged stream, with "token_counts": "values" (tokens, D), "token_offsets" (R + 1,) of every row, and
    "row_offsets" (B + 1,) of every clip.
    Offsets are int64, beside the values. Everything else becomes as torch makes it, and clips of several streams are
    batches by name.
    """
    if "values" not in samples[0]:
        return {name: _each(name, [sample[name] for sample in samples]) for name in samples[0]}
    rest = {name: default_collate([one[name] for one in samples]) for name in samples[0] if name not in _RAGGED}
    values = [one["values"] for one in samples]
    if "token_counts" in samples[0]:
        counts = [one["token_counts"] for one in samples]
        offsets = {"token_offsets": _offsets(torch.cat(counts)), "row_offsets": _offsets(_lengths(counts))}
    elif "row_count" in samples[0]:
        offsets = {"row_offsets": _offsets(_lengths(values))}
    else:
        return {"values": default_collate(values), **rest}
    device = values[0].device
    return {"values": torch.cat(values), **{name: one.to(device) for name, one in offsets.items()}, **rest}


def collate_padded(samples: Sequence[dict[str, Any]]) -> Batch:
    """One batch of a size that fits all of it: "values" padded with zeros, "mask" True where they are real.

    Of clips by seconds (B, rows, *row_shape) and (B, rows); of a ragged stream (B, rows, tokens, D) and
    (B, rows, tokens). Clips of equal shape have no mask. Everything else as `collate`.
    """
    if "values" not in samples[0]:
        return {name: _each(name, [sample[name] for sample in samples], padded=True) for name in samples[0]}
    batch = collate(samples)
    if "row_offsets" not in batch:
        return batch
    rows = batch.pop("row_offsets").diff()
    values = batch["values"]
    mask = torch.ones(len(values), dtype=torch.bool, device=values.device)
    if "token_offsets" in batch:
        values, mask = _padded((values, mask), batch.pop("token_offsets").diff())
    batch["values"], batch["mask"] = _padded((values, mask), rows)
    return batch


_RAGGED = ("values", "token_counts", "row_count")


def _each(name: str, parts: list[Any], *, padded: bool = False) -> Any:
    if isinstance(parts[0], dict):
        return collate_padded(parts) if padded else collate(parts)
    return default_collate(parts)


def _lengths(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.tensor([len(part) for part in parts], dtype=torch.int64)


def _offsets(counts: torch.Tensor) -> torch.Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _padded(tensors: Sequence[torch.Tensor], counts: torch.Tensor) -> list[torch.Tensor]:
    """Each (sum of counts, ...) as (len(counts), greatest count, ...), zero behind the counts."""
    longest = int(counts.max()) if len(counts) else 0
    there = torch.arange(longest, device=counts.device) < counts[:, None]
    found = []
    for tensor in tensors:
        out = tensor.new_zeros((*there.shape, *tensor.shape[1:]))
        out[there] = tensor
        found.append(out)
    return found
