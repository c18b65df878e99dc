"""An S3 server on loopback that notes what it is asked for, and fails where a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass(frozen=True)
class Request:
    """method, path and query as sent; range: of bytes, "" for none."""

    method: str
    path: str
    query: str
    range: str


Fault = Callable[[Request, Callable[[], list[bytes]], Callable[..., Any]], Iterable[bytes] | None]
"""(request, what the server would answer with, start_response) -> the answer, or None for the right one."""


@dataclass
class Store:
    """A bucket. requests: those since the last `forget`. faults: asked for every request until one answers."""

    endpoint: str
    bucket: str = ""
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def forget(self) -> None:
        with self.lock:
            self.requests.clear()

    def asked(self, method: str | None = None) -> int:
        """How many requests of `method`, or of any, came."""
        with self.lock:
            return sum(method in (None, one.method) for one in self.requests)


class Application:
    """moto's application behind the notes and faults of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inner = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_RANGE", ""),
        )
        with self._store.lock:
            self._store.requests.append(request)
            faults = list(self._store.faults)
        for fault in faults:
            answer = fault(request, lambda: list(self._inner(environ, lambda *_: None)), start_response)
            if answer is not None:
                return answer
        return self._inner(environ, start_response)


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        del type, message, args


@contextmanager
def running() -> Iterator[Store]:
    """A server of this process on a free port."""
    store = Store("")
    server = make_server("127.0.0.1", 0, Application(store), threaded=True, request_handler=Quiet)
    store.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def times(count: int, fault: Fault, matches: Callable[[Request], bool] = lambda request: True) -> Fault:
    """`fault` for the first `count` requests that match."""
    lock, left = threading.Lock(), [count]

    def limited(request: Request, answer: Callable[[], list[bytes]], start: Callable[..., Any]) -> Any:
        if not matches(request):
            return None
        with lock:
            left[0] -= 1
            if left[0] < 0:
                return None
        return fault(request, answer, start)

    return limited


def slow_down(request: Request, answer: Callable[[], list[bytes]], start: Callable[..., Any]) -> Iterable[bytes]:
    """503, as S3 says it."""
    del answer
    start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
    return [] if request.method == "HEAD" else [SLOW_DOWN]


def denied(request: Request, answer: Callable[[], list[bytes]], start: Callable[..., Any]) -> Iterable[bytes]:
    """403."""
    del answer
    start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(DENIED)))])
    return [] if request.method == "HEAD" else [DENIED]


def broken_off(request: Request, answer: Callable[[], list[bytes]], start: Callable[..., Any]) -> Iterable[bytes]:
    """Half of a body, and no more of the connection."""
    del request
    body = b"".join(answer())
    start("206 Partial Content", [("Content-Length", str(len(body)))])
    return [body[: len(body) // 2]]
