"""The fsspec file system of a URL, set up so that no server is waited for without end."""

from __future__ import annotations

import os
from typing import Any, Final

from embdc_cli.errors import SourceError

_PACKAGES: Final = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "hf": "huggingface_hub",
}
_CONNECT_SECONDS: Final = 10
_SILENCE_SECONDS: Final = 30


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is for fsspec: `s3://`, `https://`, `memory://`, ..."""
    return "://" in os.fspath(path)


def protocol_of(url: str) -> str:
    """`s3` of `s3://bucket/key`."""
    return url.split("://", 1)[0].rsplit("::", 1)[-1].lower()


def filesystem(url: str, **options: Any) -> tuple[Any, str]:
    """(fsspec file system, path on it) of `url`; `options` go to the file system.

    Raises: SourceError for a protocol that is none, or whose package is not installed.
    """
    import fsspec  # here, because local files do not need it

    protocol = protocol_of(url)
    try:
        system, path = fsspec.core.url_to_fs(url, **{**_timeouts(protocol, fsspec.config.conf), **options})
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        hint = None if package is None else f"pip install {package}"
        raise SourceError(f"{url}: {protocol}:// needs a package that is not installed, {error}", hint=hint) from error
    except ValueError as error:
        raise SourceError(f"{url}: cannot be opened, {error}") from error
    return system, path


def _timeouts(protocol: str, configured: dict[str, Any]) -> dict[str, Any]:
    """aiohttp's own limit is on the whole answer, however well it comes; s3fs and gcsfs have limits that fit."""
    if protocol not in ("http", "https") or "client_kwargs" in configured.get(protocol, {}):
        return {}
    try:
        from aiohttp import ClientTimeout
    except ImportError:  # fsspec says so
        return {}
    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
    return {"client_kwargs": {"timeout": timeout}}
