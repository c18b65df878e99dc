"""Uploads to S3 that were begun and neither completed nor aborted: what a killed process leaves, and what is paid for.

S3 lists them apart from objects; other stores forget them by themselves, or do not tell.
"""

from __future__ import annotations

from typing import Any

from embdc_cli.remote.errors import read_errors, unreadable
from embdc_cli.remote.filesystem import filesystem, protocol_of


def unfinished_uploads(folder: str) -> list[str]:
    """URLs of what is being uploaded into the folder at a URL, or into folders in it; none outside S3.

    Raises: SourceError (MissingObject where there is no such bucket).
    """
    if protocol_of(folder) not in ("s3", "s3a"):
        return []
    system, path = filesystem(folder)
    bucket, _, within = path.strip("/").partition("/")
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{within}/" if within else ""}
    root = folder.rstrip("/").removesuffix(path.strip("/"))
    found: set[str] = set()
    try:
        while True:
            answer = system.call_s3("list_multipart_uploads", **asked)
            found.update(f"{root}{bucket}/{one['Key']}" for one in answer.get("Uploads") or ())
            if not answer.get("IsTruncated"):
                return sorted(found)
            asked |= {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}
    except read_errors() as error:
        raise unreadable(f"{folder}: list of unfinished uploads", error) from error
