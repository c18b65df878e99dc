"""Python programs in processes forked from one that has loaded everything: for tests that start many, and not of that.

A process of its own forks, since that of the tests has threads.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
LOADED = ("embdc_cli.pipeline", "embdc_cli.embedder.huggingface", "transformers.models.clip.modeling_clip", "typer")
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    with server.makefile("rw") as lines:
        print(json.dumps([{words!r} + sys.argv[1:], os.getcwd(), dict(os.environ)]), file=lines, flush=True)
        sys.exit(int(lines.readline()))
"""


@contextmanager
def programs(folder: Path, **words: Sequence[str]) -> Iterator[None]:
    """Writes programs into `folder`, each of which is `python` with `words` before its own."""
    with TemporaryDirectory() as short:  # the name of a socket has to be
        address = f"{short}/socket"
        for name, own in words.items():
            (folder / name).write_text(CLIENT.format(python=sys.executable, address=address, words=list(own)))
            (folder / name).chmod(0o755)
        command = [sys.executable, "-m", __name__, address]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                server.kill()


def serve(address: str) -> None:
    kernels = (path.relative_to(ROOT) for path in (ROOT / "embdc_cli").rglob("cpu.py"))
    for name in (*LOADED, *(".".join(path.with_suffix("").parts) for path in kernels)):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                answer(client)
            client.close()


def answer(client: socket.socket) -> None:
    """Be the program that `client` asks for."""
    _, streams, _, _ = socket.recv_fds(client, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", 1)  # noqa: SIM115  # as long as it runs
    with client.makefile("rw") as lines:
        arguments, folder, environment = json.loads(lines.readline())
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        code = run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        print(code, file=lines, flush=True)
    os._exit(0)


def run(arguments: list[str]) -> int:
    """The exit code of `python ARGUMENTS`."""
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as the interpreter ends
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
