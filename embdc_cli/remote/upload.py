"""Objects that appear when they are complete, or not at all, and leave no unfinished upload behind.

Bytes go out in parts while more are made, by a thread of its own: a signal that interrupts this process between two of
its lines cannot fall between a request and its answer, so whatever the store has begun is known here and ended.
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from embdc_cli.errors import OutputExists, UsageError
from embdc_cli.remote.errors import is_forbidden, is_missing_bucket, read_errors, unwritable
from embdc_cli.remote.filesystem import filesystem, protocol_of

PART_BYTES: Final = 16 << 20
"""Of the first parts, of which S3 takes 10,000 in all; an object of one part is a single request."""
_GROWS_AFTER: Final = 1000  # parts, so that 859 GiB fit into 10,000
_LOOK_SECONDS: Final = 0.2
_READ_ONLY: Final = ("http", "https")


def check_object(url: str, *, force: bool) -> None:
    """Nothing, where `url` can be written.

    Raises: UsageError for a protocol that cannot, a folder or a missing bucket; OutputExists unless `force`;
    SourceError where access is denied, ResourceError where the store does not answer.
    """
    if protocol_of(url) in _READ_ONLY:
        raise UsageError(
            f"output: {url}: web servers cannot be written to", hint="write to a file, or to s3://, gs:// or hf://"
        )
    system, path = filesystem(url)
    try:
        found = system.info(path)
    except read_errors() as error:
        write_only = force and is_forbidden(error)
        free = isinstance(error, FileNotFoundError) and not is_missing_bucket(error)
        if not (write_only or free):
            raise unwritable(url, error) from error
        found = None
    if url.endswith("/") or (found is not None and found.get("type") == "directory"):
        raise UsageError(f"output: {url} is a folder, expected an object's name", hint="use --out-dir for a folder")
    if found is not None and not force:
        raise OutputExists(f"output: {url} exists", hint="use -f to overwrite it")


class Upload(io.RawIOBase):
    """What is written becomes the object `url` when a `with` block ends without an exception; else nothing is there.

    At most three parts are in memory. complete: the object is there, which a signal that comes last cannot undo.
    Raises: SourceError where access is denied, UsageError for a missing bucket, ResourceError for other failures.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._system, self._path = filesystem(url)
        self._buffer = bytearray()
        self._parts: queue.Queue[bytes | None] = queue.Queue(1)
        self._begun = 0
        self.complete = False
        self._failure: Exception | None = None
        self._abandoned = threading.Event()
        self._ended = threading.Event()
        self._thread = self._thread_of(self._send_all)

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if not self.complete:
                self._abandon()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._buffer += data
        while len(self._buffer) >= (size := PART_BYTES * (1 + self._begun // _GROWS_AFTER)):
            self._put(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return memoryview(data).nbytes

    def _finish(self) -> None:
        """Send the rest and make the object appear."""
        if self._begun == 0:
            self._thread = self._thread_of(self._send_small)
            self._thread.start()
        else:
            if self._buffer:
                self._put(bytes(self._buffer))
            self._put(None)
        self._ended.wait()  # a join that a signal interrupts takes the thread for dead in CPython 3.11
        if self._failure is not None:
            raise unwritable(self._url, self._failure) from self._failure

    def _abandon(self) -> None:
        """End what was begun; waits for the request that is on its way."""
        self._abandoned.set()
        if self._thread.ident is not None:
            self._ended.wait()

    def _put(self, part: bytes | None) -> None:
        if self._begun == 0:
            self._thread.start()
        self._begun += 1
        while True:
            if self._failure is not None:
                raise unwritable(self._url, self._failure) from self._failure
            with suppress(queue.Full):
                self._parts.put(part, timeout=_LOOK_SECONDS)
                return

    def _next(self) -> bytes | None:
        while not self._abandoned.is_set():
            with suppress(queue.Empty):
                return self._parts.get(timeout=_LOOK_SECONDS)
        return None

    def _thread_of(self, send: Callable[[], None]) -> threading.Thread:
        def work() -> None:
            try:
                send()
            finally:
                self._ended.set()

        return threading.Thread(target=work, name="embdc-upload", daemon=True)

    def _send_small(self) -> None:
        try:
            self._system.pipe_file(self._path, bytes(self._buffer))
            self.complete = True
        except Exception as error:  # noqa: BLE001  # raised by the thread that writes
            self._failure = error

    def _send_all(self) -> None:
        """A file of fsspec that does not commit by itself: multipart in S3, a resumable upload in GCS."""
        file = None
        try:
            file = self._system.open(self._path, "wb", autocommit=False, block_size=PART_BYTES)
            while (part := self._next()) is not None:
                file.write(part)
            if not self._abandoned.is_set():
                file.close()
                if not self._abandoned.is_set():
                    file.commit()
                    self.complete = True
                    return
        except Exception as error:  # noqa: BLE001  # raised by the thread that writes
            self._failure = error
        if file is not None:
            with suppress(Exception):
                file.discard()
            file.closed = True  # or its destructor would upload the rest
