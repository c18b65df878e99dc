"""Options of commands that can spread their work over a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from embdc_cli.cli import quantities
from embdc_cli.cli.parameters import choice, option
from embdc_cli.errors import UsageError
from embdc_cli.options import flag_of

if TYPE_CHECKING:
    from embdc_cli.distributed.cluster import Workers


def _address(text: str) -> str:
    if not re.fullmatch(r"auto|local|[^/]+:[0-9]+", text):  # ray:// would have the driver outside of the file system
        raise ValueError(f"expected HOST:PORT, auto or local, found {text!r}")
    return text


@dataclass(frozen=True)
class Cluster:
    """Where the work is done."""

    TITLE: ClassVar = "Cluster"

    engine: Annotated[
        str, choice("--engine", choices=("local", "ray"), help="Work here, or on a Ray cluster (default local).")
    ] = "local"
    address: Annotated[
        str | None,
        option(
            "--address",
            metavar="HOST:PORT",
            read=_address,
            help="The cluster (default: $RAY_ADDRESS, or one on this machine).",
        ),
    ] = None
    workers: Annotated[
        int | None,
        option("--workers", metavar="N", read=quantities.whole(1), help="Workers (default: as many as have room)."),
    ] = None
    worker_cpus: Annotated[
        float | None,
        option("--worker-cpus", metavar="X", read=quantities.amount, help="CPUs of each (default: --jobs)."),
    ] = None
    worker_gpus: Annotated[
        float | None,
        option(
            "--worker-gpus",
            metavar="X",
            read=quantities.amount,
            help="GPUs of each, such as 0.25 (default: 1 with --device cuda, else 0).",
        ),
    ] = None

    @property
    def used(self) -> bool:
        """Whether the work goes to a cluster. Raises: UsageError for options that say nothing without one."""
        given = [
            name for name in ("address", "workers", "worker_cpus", "worker_gpus") if getattr(self, name) is not None
        ]
        if self.engine == "local" and given:
            raise UsageError(f"{flag_of(given[0])}: only with --engine ray")
        return self.engine == "ray"

    def asked(self, *, device: str, jobs: int) -> Workers:
        """What each worker takes, for the options --device and --jobs of the work."""
        from embdc_cli.distributed.cluster import Workers

        cpus = self.worker_cpus if self.worker_cpus is not None else jobs
        gpus = self.worker_gpus if self.worker_gpus is not None else float(device.startswith("cuda"))
        if not cpus and not gpus:
            raise UsageError("--worker-cpus: expected more than 0 without GPUs")
        return Workers(cpus, gpus, self.workers)
