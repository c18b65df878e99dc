"""Batches of clips of unequal length, in the jagged layout of torch and padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import embdc_cli as embdc
from embdc_cli.data import Clips, collate, collate_padded
from tests.synthetic import embeddings

COUNTS = [3, 1, 0, 4, 2, 5, 1, 1]


def ragged(*counts: int) -> dict[str, Any]:
    values = torch.arange(2 * sum(counts), dtype=torch.float32).reshape(-1, 2) + 1
    return {"values": values, "token_counts": torch.tensor(counts), "archive": len(counts)}


def test_equal_clips_are_stacked() -> None:
    samples = [{"values": torch.full((3, 2), i), "archive": i, "seconds": i / 2} for i in range(4)]
    for function in (collate, collate_padded):
        batch = function(samples)
        assert batch["values"].shape == (4, 3, 2)
        assert batch["archive"].tolist() == [0, 1, 2, 3]
        assert batch["seconds"].tolist() == [0, 0.5, 1, 1.5]
        assert set(batch) == {"values", "archive", "seconds"}


def test_ragged_rows_are_a_nested_tensor() -> None:
    samples = [ragged(2, 0), ragged(1, 3), ragged(4)]
    batch = collate(samples)
    assert batch["token_offsets"].tolist() == [0, 2, 2, 3, 6, 10]
    assert batch["row_offsets"].tolist() == [0, 2, 4, 5]
    nested = torch.nested.nested_tensor_from_jagged(batch["values"], batch["token_offsets"])
    rows = [row for one in samples for row in one["values"].split(one["token_counts"].tolist())]
    assert len(rows) == nested.shape[0] == 5
    for found, wanted in zip(nested.unbind(), rows, strict=True):
        assert torch.equal(found, wanted)


def test_padded_values_are_where_the_mask_is() -> None:
    samples = [ragged(2, 0), ragged(1, 3), ragged(4)]
    batch = collate_padded(samples)
    assert batch["values"].shape == (3, 2, 4, 2)
    assert batch["mask"].shape == (3, 2, 4)
    assert batch["mask"].sum(-1).tolist() == [[2, 0], [1, 3], [4, 0]]
    assert torch.equal(batch["values"][batch["mask"]], torch.cat([one["values"] for one in samples]))
    assert not batch["values"][~batch["mask"]].any()


def test_clips_of_unequal_rows() -> None:
    samples = [{"values": torch.ones(n, 2, 3) * n, "row_count": n} for n in (2, 0, 3)]
    batch = collate(samples)
    assert (batch["values"].shape, batch["row_offsets"].tolist()) == ((5, 2, 3), [0, 2, 2, 5])
    assert set(batch) == {"values", "row_offsets"}
    padded = collate_padded(samples)
    assert padded["mask"].tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert torch.equal(padded["values"][padded["mask"]], batch["values"])
    assert collate_padded(samples[1:2])["values"].shape == (1, 0, 2, 3)
    equal = [{"values": torch.ones(2, 3), "row_count": 2}] * 2  # by chance: the batch keeps its form
    assert collate(equal)["row_offsets"].tolist() == [0, 2, 4]


def test_several_streams_are_batches_by_name() -> None:
    samples = [{"a": {"values": torch.ones(2, 3)}, "b": ragged(i, 1), "seconds": 0.5} for i in range(2)]
    assert collate(samples)["a"]["values"].shape == (2, 2, 3)
    assert collate(samples)["b"]["row_offsets"].tolist() == [0, 2, 4]
    assert collate_padded(samples)["b"]["mask"].tolist() == [[[False], [True]], [[True], [True]]]
    assert collate(samples)["seconds"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("workers", [0, 1])
def test_from_an_archive_through_a_loader(tmp_path: Path, workers: int) -> None:
    rows = [embeddings(1, count, 4, seed=count)[0] for count in COUNTS]
    embdc.encode(rows, tmp_path / "a.embdc", lossless=True, chunk_frames=3)
    loader = DataLoader(Clips([tmp_path / "a.embdc"], 2), batch_size=4, num_workers=workers, collate_fn=collate)
    (batch,) = loader
    assert batch["token_offsets"].diff().tolist() == COUNTS
    assert batch["row_offsets"].tolist() == [0, 2, 4, 6, 8]
    np.testing.assert_array_equal(batch["values"].numpy(), np.concatenate(rows))
