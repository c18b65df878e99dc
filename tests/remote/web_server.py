"""A web server on loopback with byte ranges, or without, that notes what it is asked for and can fail."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass
class Web:
    """bodies: by name. faults: one for each request to come, "" for none."""

    address: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET out of `web`."""

    web: ClassVar[Web]

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
        with self.web.lock:
            self.web.asked.append(wanted)
            fault = self.web.faults.pop(0) if self.web.faults else ""
        body = self.web.bodies.get(name)
        if body is not None and self._encoded:  # then ranges are of what is encoded
            body = gzip.compress(body)
        if fault == "hang":
            self.web.released.wait(60)
            self.close_connection = True
        elif fault == "drop":
            self.close_connection = True
        elif fault == "loop":
            self._send(302, b"", {"Location": self.path}, fault)
        elif fault.isdigit():
            self.send_error(int(fault))
        elif body is None:
            self.send_error(404)
        elif wanted and self.web.ranges:
            self._range(name, body, wanted, fault)
        else:
            self._send(200, body, {}, fault)

    @property
    def _encoded(self) -> bool:
        return "gzip" in self.headers.get("Accept-Encoding", "")

    def _range(self, name: str, body: bytes, wanted: str, fault: str) -> None:
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(body) - int(last))
        stop = min(int(last) + 1, len(body)) if first else len(body)
        if start >= len(body):
            self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"}, fault)
            return
        if fault == "less":  # which a server may send, and says
            stop -= 1
        if fault == "elsewhere":
            start, stop = start + 1, stop + 1
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
        if name in self.web.tags:
            headers["ETag"] = self.web.tags[name]
        self._send(206, body[start:stop], headers, fault)

    def _send(self, status: int, body: bytes, headers: dict[str, str], fault: str) -> None:
        if self._encoded:
            headers = {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        sent = body[: len(body) // 2] if fault in ("half", "short") else body
        # "short" is the server that believes its half is all
        self.send_header("Content-Length", str(len(sent if fault == "short" else body)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        del args


@contextmanager
def running(kind: type[Handler] = Handler) -> Iterator[Web]:
    """A server on a free port."""
    web = Web()
    handler = type("OneHandler", (kind,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    web.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        web.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
