"""What reading an object behind a URL can raise, and what that means to a user."""

from __future__ import annotations

import sys

from embdc_cli.errors import SourceError

_CLIENTS = (("aiohttp", "ClientError"), ("botocore.exceptions", "BotoCoreError"))
_GONE = (404, 410)


def read_errors() -> tuple[type[Exception], ...]:
    """What a failing read raises; errors of HTTP and S3 clients are no OSErrors, and the clients may not be there."""
    clients = [getattr(sys.modules[module], name) for module, name in _CLIENTS if module in sys.modules]
    return (OSError, ValueError, *clients)


def unreadable(url: str, error: Exception) -> SourceError:
    """The failure to read `url` in one line.

    fsspec tells a server that does not answer, or that refuses, as a file that is not found, with the truth as cause.
    """
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and not _is_another_failure(cause):
        return SourceError(f"{url}: no such object")
    words = (str(cause or error).splitlines() or [""])[0] or type(cause or error).__name__
    return SourceError(f"{url}: cannot be read, {words}")


def _is_another_failure(cause: BaseException | None) -> bool:
    if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in _GONE:
        return False
    return isinstance(cause, read_errors())
