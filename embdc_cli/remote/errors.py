"""What reading or writing an object behind a URL can raise, and what that means to a user."""

from __future__ import annotations

import sys
from typing import Final

from embdc_cli.errors import EmbdcError, ResourceError, SourceError, UsageError

_CLIENTS: Final = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_FORBIDDEN: Final = (401, 403)
_GONE: Final = (404, 410)
_BUSY: Final = (408, 429, 500, 502, 503, 504)
_NO_BUCKET: Final = ("NoSuchBucket", "InvalidBucketName")
_NO_REPOSITORY: Final = ("BucketNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError")
_CREDENTIALS: Final = "credentials come from the environment, as of the object store's own tools: embdc(1)"


class MissingObject(SourceError):
    """There is no object of this name."""


class ShortRead(OSError):
    """Fewer bytes came than were asked for."""


def read_errors() -> tuple[type[Exception], ...]:
    """What a failing read raises; errors of HTTP and S3 clients are no OSErrors, and the clients may not be there.

    NotImplementedError is what file systems of fsspec say of URLs that name no object, such as `hf://`.
    """
    clients = [
        getattr(sys.modules[module], name) for module, name in _CLIENTS if hasattr(sys.modules.get(module), name)
    ]
    return (OSError, ValueError, NotImplementedError, *clients)


def unreadable(url: str, error: Exception) -> SourceError:
    """The failure to read `url` in one line.

    fsspec tells a server that does not answer, or that refuses, as a file that is not found, with the truth as cause.
    """
    if isinstance(error, FileNotFoundError) and not _is_another_failure(error.__cause__):
        return MissingObject(f"{url}: no such object")
    if is_forbidden(error):
        return SourceError(f"{url}: cannot be read, access is denied: {_words(error)}", hint=_CREDENTIALS)
    return SourceError(f"{url}: cannot be read, {_words(error)}")


def unwritable(url: str, error: Exception) -> EmbdcError:
    """The failure to write `url` in one line."""
    if isinstance(error, EmbdcError):
        return error
    if is_forbidden(error):
        return SourceError(f"output: {url}: cannot be written, access is denied: {_words(error)}", hint=_CREDENTIALS)
    hint = "create the bucket or repository first"
    if is_missing_bucket(error):
        return UsageError(f"output: {url}: cannot be written, {_words(error)}", hint=hint)
    if isinstance(error, FileNotFoundError) and not _is_another_failure(error.__cause__):  # so does gcsfs
        return UsageError(f"output: {url}: cannot be written, no such bucket", hint=hint)
    return ResourceError(f"output: {url}: cannot be written, {_words(error)}")


def is_forbidden(error: BaseException) -> bool:
    """Whether credentials are missing, or do not allow it."""
    return any(
        isinstance(one, PermissionError)
        or _status(one) in _FORBIDDEN
        or type(one).__name__ in ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
        for one in (error, error.__cause__)
    )


def is_missing_bucket(error: BaseException) -> bool:
    """Whether not only the object, but what it would lie in, is not there."""
    return _code(error) in _NO_BUCKET or type(error.__cause__ or error).__name__ in _NO_REPOSITORY


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed a moment later, and nobody has tried it again so far.

    What s3fs or the client of the hub has given up is none of these, except bodies that break off.
    """
    if isinstance(error, ShortRead | TimeoutError | ConnectionResetError | BrokenPipeError):
        return True
    if getattr(error, "status", None) in _BUSY:
        return True
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is None or isinstance(error, aiohttp.ClientConnectorError):  # nobody is there
        return False
    return isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError)


def _status(error: BaseException | None) -> int | None:
    """That of HTTP, which aiohttp gives in the error and httpx in its answer."""
    status: int | None = getattr(error, "status", None)
    return getattr(getattr(error, "response", None), "status_code", None) if status is None else status


def _code(error: BaseException) -> str | None:
    """The code of S3 for a failure."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code")
            return None if code is None else str(code)
    return None


def is_beyond_end(error: BaseException) -> bool:
    """Whether a range begins behind the last byte, as every range of an empty object does."""
    return _code(error) in ("InvalidRange", "416")


def _words(error: Exception) -> str:
    cause = error.__cause__
    hides = isinstance(error, FileNotFoundError) and cause is not None and _code(cause) is None
    told = cause if hides else error
    words = (str(told).splitlines() or [""])[0]
    return type(told).__name__ if not words or getattr(told, "status", None) == 0 else words  # 0: not an answer's


def _is_another_failure(cause: BaseException | None) -> bool:
    if cause is None or isinstance(cause, FileNotFoundError) or _status(cause) in _GONE:
        return False
    if _code(cause) is not None:  # S3 has answered, and s3fs has understood
        return False
    return isinstance(cause, read_errors())
