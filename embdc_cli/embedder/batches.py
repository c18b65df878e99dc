"""How many frames go through a network at once: chosen within free memory, halved where memory runs out all the same.

The network always sees exactly as many frames as are due, the last ones repeated: how it splits its matrix products,
and with it the last bits of a frame's embedding, then depends on that number, which archives record, and not on how
many frames there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import numpy as np
import torch

from embdc_cli.dtypes import from_float32
from embdc_cli.embedder.protocol import Frame, Schedule
from embdc_cli.errors import ResourceError

STORAGE: Final = "float16"
DEFAULT_BATCH: Final = 8
ANY_SIZE: Final = range(1, 1 << 20)
LARGEST_FOUND: Final = 64  # the last batch of every video is filled up: the larger it is, the more is in vain
_NO_MEMORY: Final = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_SHARE: Final = 0.8  # of the free memory; the rest is for what was not measured, such as decoded frames on the device

Network = Callable[[torch.Tensor], dict[str, torch.Tensor]]
"""Pixels (B, 3, H, W) to values (B, ...) per stream."""


class Memory(Protocol):
    """The memory of a device."""

    def free_bytes(self) -> int: ...

    def peak_bytes(self, run: Callable[[], object]) -> int:
        """The most that `run` has allocated at once."""


class CudaMemory:
    """Memory of a CUDA device; what torch keeps for later counts as free."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free_bytes(self) -> int:
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self._device)[0]

    def peak_bytes(self, run: Callable[[], object]) -> int:
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        run()
        return torch.cuda.max_memory_allocated(self._device) - before


def memory_of(device: torch.device) -> Memory | None:
    """The memory to fit a batch into; None for the CPU, whose memory the system lends beyond what there is."""
    return CudaMemory(device) if device.type == "cuda" else None


def found_batch(run: Callable[[int], object], memory: Memory, sizes: range) -> int:
    """The size that `fitting_batch` gives when `run` puts that many frames through the network."""
    if len(sizes) == 1:
        return sizes[0]
    try:
        fewest, more = (memory.peak_bytes(partial(run, count)) for count in sizes[:2])
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return sizes[0]
    return fitting_batch(memory.free_bytes(), fewest, more, sizes)


def fitting_batch(free_bytes: int, fewest_bytes: int, more_bytes: int, sizes: range) -> int:
    """The largest power of two up to 64 that takes at most 80 % of the free memory, held within `sizes`.

    fewest_bytes, more_bytes: what the first two of `sizes` take at their peak; each further frame is as the last one.
    """
    each = max(1, more_bytes - fewest_bytes)
    unchanging = max(0, fewest_bytes - sizes[0] * each)
    fitting = (int(_SHARE * free_bytes) - unchanging) // each
    return max(sizes[0], 1 << (max(1, min(fitting, LARGEST_FOUND, sizes[-1])).bit_length() - 1))


class Batches:
    """Frames through a network on `device`. schedule: as it has come to be so far, or as it was the first time.

    least: the fewest frames at once that the network takes.
    """

    def __init__(self, network: Network, device: torch.device, schedule: Schedule, least: int = 1) -> None:
        self._network, self._device, self._least = network, device, least
        self._schedule = list(schedule)
        self._done = 0

    @property
    def size(self) -> int:
        """Frames at once, now."""
        return [size for first, size in self._schedule if first <= self._done][-1]

    @property
    def schedule(self) -> list[tuple[int, int]]:
        """What was held to until now."""
        return [(first, size) for first, size in self._schedule if first <= self._done]

    def run(self, frames: Sequence[Frame], pixels: Callable[[Frame], torch.Tensor]) -> dict[str, np.ndarray]:
        """Per stream (B, ...) float16 of B frames, each (3, H, W) on the device by `pixels`.

        Where memory runs out the size is halved from there on. Raises: ResourceError when that cannot help.
        """
        parts: dict[str, list[np.ndarray]] = {}
        at = 0
        while at < len(frames):
            some = frames[at : at + self.size]
            found = self._through(some, pixels)
            if found is None:
                self._halve()
                continue
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
            at += len(some)
            self._done += len(some)
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def _through(
        self, frames: Sequence[Frame], pixels: Callable[[Frame], torch.Tensor]
    ) -> dict[str, np.ndarray] | None:
        """None where memory ran out; what the attempt has allocated is free again then."""
        try:
            real = [pixels(frame) for frame in frames]
            batch = torch.stack(real + [real[-1]] * (self.size - len(real)))
            with torch.inference_mode():
                out = self._network(batch)
                kept = {name: values[: len(real)].to(torch.float32).cpu().numpy() for name, values in out.items()}
            return {name: from_float32(values, STORAGE) for name, values in kept.items()}
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _halve(self) -> None:
        size = self.size
        if size <= self._least:
            raise no_room(self._device, size)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        kept = [one for one in self._schedule if one[0] < self._done]
        self._schedule = [*kept, (self._done, max(self._least, size // 2))]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; on the CPU, and within libraries of CUDA, torch has no class for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def no_room(device: torch.device, size: int) -> ResourceError:
    """For a batch that cannot be made smaller."""
    frames = "a single frame" if size == 1 else f"{size} frames, as many as it was exported for,"
    hint = "use a machine with more memory" if device.type == "cpu" else "use a larger device, or --device cpu"
    return ResourceError(f"encoder: not enough memory on {device} for {frames} at once", hint=hint)
