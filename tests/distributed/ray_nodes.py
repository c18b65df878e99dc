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

OBJECT_STORE_BYTES = 80 * 2**20
STARTS = 3
"""Attempts: Ray gives a node half a minute, which a machine at its limits may not keep."""
NODE = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}


class Nodes:
    """A cluster of nodes of one CPU each; the first one says that it has a GPU."""

    def __init__(self, process: subprocess.Popen[str], folder: str, address: str) -> None:
        self._process = process
        self.environment = {**os.environ, "RAY_TMPDIR": folder}
        self.address = address

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
        assert _reply(self._process) == command


@contextmanager
def ray_nodes(count: int) -> Iterator[Nodes]:
    """`count` nodes until the block ends."""
    for _ in range(STARTS):
        folder = tempfile.mkdtemp(prefix="ray-")
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "RAY_TMPDIR": folder, "PYTHONPATH": root, "RAY_USAGE_STATS_ENABLED": "0"}
        with subprocess.Popen(
            [sys.executable, __file__, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
        ) as process:  # fmt: skip
            address = _reply(process)
            if address is not None:
                yield Nodes(process, folder, address)
                process.communicate()
                return
    raise TimeoutError(f"no Ray cluster in {STARTS} attempts")


def _reply(process: subprocess.Popen[str]) -> str | None:
    """The next word of the process; None when it has ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    return json.loads(line) if line else None


def main() -> None:
    from ray.cluster_utils import Cluster

    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints are no replies

    def reply(word: str) -> None:
        print(json.dumps(word), file=replies, flush=True)

    folder = os.environ["RAY_TMPDIR"]
    os.mkdir(os.path.join(folder, "ray"))  # where Ray notes the address, before it makes the folder
    cluster = Cluster()
    head = {**NODE, "num_gpus": 1, "include_dashboard": False}
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
