"""`--compile`: torch.compile of a network. The compiler takes seconds to load, so that it is only when asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch

from embdc_cli.embedder.batches import Network
from embdc_cli.errors import ResourceError

COMPILER: Final = "inductor"


def compile_in_place(model: torch.nn.Module) -> None:
    """Let `model` be compiled when it is first called with each shape."""
    model.compile(backend=COMPILER)


def uncompiled(asked: bool) -> AbstractContextManager[object]:
    """A context in which no network is compiled, whether or not `--compile` was `asked` for: for runs of odd shapes."""
    return torch.compiler.set_stance("force_eager") if asked else nullcontext()


def explained(network: Network) -> Network:
    """`network`, which raises ResourceError where it cannot be compiled."""
    from torch._dynamo.exc import TorchDynamoException

    def run(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        try:
            return network(pixels)
        except TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = " ".join(lines[: 2 if lines[0].endswith("raised:") else 1])
            raise ResourceError(f"--compile: the network cannot be compiled, {reason}", hint="leave it out") from error

    return run
