"""Ray nodes on this machine, in a process of their own that ends them when its standard input does.

So nothing is left behind when a test fails or is killed. Everything of Ray lies in one short folder: socket names are
limited to 107 bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OBJECT_STORE_BYTES = 80 * 2**20
NODE = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}
SYSTEM = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}


class Nodes:
    """A cluster of nodes of one CPU each."""

    def __init__(self, process: subprocess.Popen[str], folder: str) -> None:
        self._process = process
        self.environment = {**os.environ, "RAY_TMPDIR": folder}
        self.address = str(self._reply())

    def add(self) -> None:
        """One more node."""
        self._ask("add")

    def kill(self) -> None:
        """SIGKILL all processes of the node that was added last."""
        self._ask("kill")

    def _ask(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._reply() == command

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the cluster is gone"
        return json.loads(line)


@contextmanager
def ray_nodes(count: int) -> Iterator[Nodes]:
    """`count` nodes until the block ends."""
    folder = tempfile.mkdtemp(prefix="ray-")
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "RAY_TMPDIR": folder, "PYTHONPATH": root, "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, __file__, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
    ) as process:  # fmt: skip
        yield Nodes(process, folder)
        process.communicate()


def main() -> None:
    from ray.cluster_utils import Cluster

    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints are no replies

    def reply(word: str) -> None:
        print(json.dumps(word), file=replies, flush=True)

    folder = os.environ["RAY_TMPDIR"]
    os.mkdir(os.path.join(folder, "ray"))  # where Ray notes the address, before it makes the folder
    cluster = Cluster()
    head = {**NODE, "include_dashboard": False, "_system_config": SYSTEM}
    try:
        cluster.add_node(**head)
        nodes = [cluster.add_node(**NODE) for _ in range(int(sys.argv[1]) - 1)]
        reply(cluster.address)
        for line in sys.stdin:
            command = line.strip()
            if command == "add":
                nodes.append(cluster.add_node(**NODE))
            else:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
            reply(command)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
