"""Batches fetched ahead: all of them, in order, once; and nothing left behind."""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Iterator

import pytest
import torch

import embdc_cli as embdc
from embdc_cli.data import prefetched

Pair = namedtuple("Pair", "x y")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "embdc-prefetch"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("depth", [1, 3])
def test_all_batches_in_order(device: str, depth: int) -> None:
    batches = [{"x": torch.full((4, 5), i), "more": [Pair(torch.tensor(i), (f"{i}",))]} for i in range(9)]
    found = list(prefetched(batches, device, depth))
    assert [one["x"][0, 0].item() for one in found] == list(range(9))
    assert [one["more"][0].x.item() for one in found] == list(range(9))
    assert [one["more"][0].y for one in found] == [(f"{i}",) for i in range(9)]
    assert {one["x"].device.type for one in found} == {device}
    assert not threads()


def test_no_more_than_depth_wait() -> None:
    read: list[int] = []
    asked = threading.Event()

    def source() -> Iterator[torch.Tensor]:
        for i in range(20):
            if i == 3:
                asked.set()
            read.append(i)
            yield torch.tensor(i)

    batches = prefetched(source(), "cpu", 2)
    assert next(batches).item() == 0
    assert asked.wait(5)
    assert not threading.Event().wait(0.05)
    assert read == [0, 1, 2, 3]  # one given, two waiting, one in the hand of the thread
    batches.close()  # type: ignore[attr-defined]
    assert not threads()


def test_an_error_reaches_who_takes_batches() -> None:
    def source() -> Iterator[torch.Tensor]:
        yield torch.tensor(0)
        raise embdc.CorruptArchive("chunk 3")

    batches = prefetched(source(), "cpu")
    assert next(batches).item() == 0
    with pytest.raises(embdc.CorruptArchive, match="chunk 3"):
        next(batches)
    assert not threads()


def test_a_device_that_is_none() -> None:
    with pytest.raises(embdc.UsageError):
        prefetched([], "tpu")
