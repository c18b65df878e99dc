"""One request for one range that also tells how large the object is: what opening from the end needs.

fsspec has no call for it: `cat_file` gives the bytes and drops the header Content-Range. So this module goes one step
behind the interface of two file systems, s3fs (`_call_s3`, through which all its requests go, with its retries) and
fsspec's own for HTTP (`set_session`, `encode_url` and `kwargs`, which its subclasses use). Others, such as gcsfs and
Hugging Face's, are asked for the size first, through fsspec's interface: one request more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from embdc_cli.remote.errors import ShortRead, is_beyond_end

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@dataclass(frozen=True)
class Answer:
    """data: the bytes from `start` on, None where the server sends the whole object or nothing.

    total: size of the object, None where the server does not tell. tag: what changes with the content, None likewise.
    """

    data: bytes | None
    start: int
    total: int | None
    tag: str | None


Ask = Callable[[Any, str, str], Awaitable[Answer]]
"""(file system, path, range as of HTTP) -> answer."""


def asking(system: Any) -> Ask | None:
    """How `system` is asked for a range and the size at once; None where it cannot be."""
    protocols = (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)
    if "s3" in protocols and hasattr(system, "_call_s3"):
        return _ask_s3
    return _ask_http if "http" in protocols and hasattr(system, "set_session") else None


def ask_all(system: Any, ask: Ask, path: str, wanted: Sequence[str]) -> list[Answer | Exception]:
    """The answer for each of the `wanted` ranges, or why there is none; all are sent at once."""
    from fsspec.asyn import sync

    async def all_of_them() -> list[Answer | Exception]:
        found = await asyncio.gather(*(ask(system, path, one) for one in wanted), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, Exception):
                raise one
        return found  # type: ignore[return-value]  # checked above

    answers: list[Answer | Exception] = sync(system.loop, all_of_them)
    return answers


async def _ask_s3(system: Any, path: str, wanted: str) -> Answer:
    bucket, key, version = system.split_path(path)
    place = {"Bucket": bucket, "Key": key, "Range": wanted}
    if version:
        place["VersionId"] = version
    try:
        answer = await system._call_s3("get_object", **place)
    except OSError as error:
        if is_beyond_end(error):
            return Answer(b"", 0, 0, None)
        raise
    try:
        data = await answer["Body"].read()
    finally:
        answer["Body"].close()
    told = answer.get("ContentRange")
    if told is None:  # a store without ranges, of which there is hardly any
        return Answer(data, 0, len(data), answer.get("ETag"))
    return _partial(data, told, answer.get("ETag"))


async def _ask_http(system: Any, path: str, wanted: str) -> Answer:
    session = await system.set_session()
    settings = dict(system.kwargs)
    # compressed on the way, ranges would be of something else
    headers = {**settings.pop("headers", {}), "Range": wanted, "Accept-Encoding": "identity"}
    async with session.get(system.encode_url(path), headers=headers, **settings) as answer:
        tag = answer.headers.get("ETag")
        if tag is not None and tag.startswith("W/"):  # may differ from one copy of a server to the next
            tag = None
        if answer.status == 404:
            raise FileNotFoundError(path)
        if answer.status == 416:
            return Answer(b"", 0, 0, tag)
        answer.raise_for_status()
        if answer.status != 206:
            return Answer(None, 0, answer.content_length, tag)
        return _partial(await answer.read(), answer.headers.get("Content-Range", ""), tag)


def _partial(data: bytes, told: str, tag: str | None) -> Answer:
    found = _CONTENT_RANGE.fullmatch(told.strip())
    if found is None or found[1] is None:
        raise ValueError(f"the server does not tell the size, its Content-Range is {told!r}")
    start, last, total = (int(found[group]) for group in (1, 2, 3))
    if len(data) != last - start + 1:
        raise ShortRead(f"expected {last - start + 1} bytes at offset {start}, found {len(data)}")
    return Answer(data, start, total, tag)
