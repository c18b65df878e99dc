"""Batches on a device before they are asked for: read, pinned and copied while the one before is computed with."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import torch

from embdc_cli.device import check_device

_LOOK_SECONDS: Final = 0.1
"""How often a thread that waits for room looks whether anybody still takes batches."""


def prefetched(batches: Iterable[Any], device: str, depth: int = 2) -> Iterator[Any]:
    """Every one of `batches`, with the tensors in it (of dicts, lists and tuples) on `device`; at most `depth` wait.

    A thread takes batches and copies them, to CUDA through pinned memory on a stream of its own: what uses the current
    stream waits for the copy on the device, not on the host. What the thread raises is raised here. Whoever stops
    before the end waits for the batch that is being read.
    Raises: UsageError, ResourceError for a device that is not here.
    """
    check_device(device)
    place = torch.device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    return _taken(batches, place, depth)


def _taken(batches: Iterable[Any], place: torch.device, depth: int) -> Iterator[Any]:
    stream = torch.cuda.Stream(place) if place.type == "cuda" else None  # type: ignore[no-untyped-call]  # torch has no types for it
    waiting: queue.Queue[tuple[Any, Any, BaseException | None]] = queue.Queue(max(1, depth))
    stop = threading.Event()

    def put(one: tuple[Any, Any, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(one, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put((*_copied(batch, place, stream), None)):
                    return
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that takes the batches
            put((None, None, error))
        else:
            put((None, None, StopIteration()))

    thread = threading.Thread(target=work, name="embdc-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            batch, copied, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            if copied is not None:
                torch.cuda.current_stream(place).wait_event(copied)
                _mapped(batch, lambda tensor: tensor.record_stream(torch.cuda.current_stream(place)))
            yield batch
    finally:
        stop.set()
        thread.join()


def _copied(batch: Any, place: torch.device, stream: torch.cuda.Stream | None) -> tuple[Any, torch.cuda.Event | None]:
    """(`batch` on its way to `place`, the event of its arrival)."""
    if stream is None:
        return _mapped(batch, lambda tensor: tensor.to(place)), None
    stream.wait_stream(torch.cuda.current_stream(place))  # of this thread, in which batches that are there were made
    with torch.cuda.stream(stream):
        moved = _mapped(batch, lambda tensor: _sent(tensor, place))
        return moved, stream.record_event()


def _sent(tensor: torch.Tensor, place: torch.device) -> torch.Tensor:
    pinned = tensor if tensor.is_cuda else tensor.pin_memory()
    return pinned.to(place, non_blocking=True)


def _mapped(batch: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    """`batch` with `function` of every tensor in place of it."""
    if isinstance(batch, torch.Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {name: _mapped(one, function) for name, one in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_mapped(one, function) for one in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(_mapped(one, function) for one in batch)
    return batch
