"""Uploads that nobody has completed: `ls --incomplete` tells them, and where it cannot, that it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.remote import multipart
from embdc_cli.remote.multipart import unfinished_uploads
from tests.remote.s3_server import Request, Store, denied


def begin(store: Store, *keys: str) -> None:
    system = fsspec.filesystem("s3")
    for key in keys:
        system.call_s3("create_multipart_upload", Bucket=store.bucket, Key=key)


def put(store: Store, archive: Path, *keys: str) -> None:
    system = fsspec.filesystem("s3")
    for key in keys:
        system.put_file(str(archive), f"{store.bucket}/{key}")
    system.invalidate_cache()


def listed(store: Store, key: str, **options: Any) -> list[tuple[str, str]]:
    rows = embdc.ls(store.url(key), **{"incomplete": True, **options})["items"]
    return [(row["path"].removeprefix(store.url("")), row["status"]) for row in rows]


def test_what_was_begun_is_listed(store: Store, archive: Path) -> None:
    put(store, archive, "set/a.embdc", "b.embdc", "set/deep/c.embdc")
    begin(store, "set/d.embdc", "set/d.embdc", "set/deep/e.embdc", "set/list.txt", "settle/f.embdc", "g.embdc")
    assert listed(store, "set") == [("set/d.embdc", "uploading")]
    assert listed(store, "set/") == [("set/d.embdc", "uploading")]
    assert listed(store, "set", recursive=True) == [("set/d.embdc", "uploading"), ("set/deep/e.embdc", "uploading")]
    assert listed(store, "") == [("g.embdc", "uploading")]
    assert listed(store, "set/*.embdc") == listed(store, "set/a.embdc") == []
    assert listed(store, "set", incomplete=False) == [("set/a.embdc", "complete")]
    document = embdc.ls(store.url("set"), incomplete=True)
    assert (document["totals"]["uploading"], document["exit"]) == (1, 0)


def test_a_folder_of_nothing_but_uploads(store: Store) -> None:
    begin(store, "new/a.embdc")
    assert listed(store, "new") == [("new/a.embdc", "uploading")]


def test_an_upload_of_an_input_that_is_expected_is_not_missing(
    store: Store, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, archive, "set/a.embdc")
    begin(store, "set/b.embdc", "set/x.embdc")
    (tmp_path / "list").write_text("a.npy\nb.npy\nc.npy\n")
    ls = ["ls", "--incomplete", store.url("set"), "--expect", str(tmp_path / "list")]
    assert main([*ls, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["items"]
    assert [(row["input"], row["status"]) for row in rows] == [
        ("b.npy", "uploading"),
        (None, "uploading"),
        ("c.npy", "missing"),
    ]
    assert main(ls) == 0
    out, err = capsys.readouterr()
    assert out == "b.npy\nc.npy\n"
    assert f"{store.url('set/x.embdc')}: uploading, not known what it is made of" in err


def uploads_denied(request: Request, answer: Any, start: Any) -> Iterable[bytes] | None:
    return denied(request, answer, start) if "uploads" in request.query.split("&")[0] else None


def test_uploads_that_may_not_be_listed_cost_no_other_row(
    store: Store, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, archive, "set/a.embdc")
    fsspec.filesystem("s3").pipe_file(f"{store.bucket}/set/z.embdc", archive.read_bytes()[:-1])
    store.faults.append(uploads_denied)
    document = embdc.ls(store.url("set"), incomplete=True)
    assert [(row["status"], row["path"]) for row in document["items"]] == [
        ("incomplete", store.url("set/z.embdc")),
        ("failed", store.url("set")),
    ]
    assert "list of unfinished uploads: cannot be read, access is denied" in document["items"][1]["error"]
    main(["ls", "--incomplete", store.url("set")])
    note, error = capsys.readouterr().err.splitlines()
    assert "list of unfinished uploads" in error
    assert note.startswith(f"embdc: note: {store.url('set/z.embdc')}: incomplete, not known what it is made of")
    assert embdc.ls(store.url("set"))["exit"] == 0  # nor are they asked for


def test_a_list_of_several_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Long:
        """S3 with as many uploads as take three answers."""

        def call_s3(self, name: str, **asked: Any) -> dict[str, Any]:
            assert (name, asked["Bucket"], asked["Prefix"]) == ("list_multipart_uploads", "b", "x/")
            at = int(asked.get("KeyMarker", "0"))
            assert asked.get("UploadIdMarker", "id0") == f"id{at}"
            more = {"IsTruncated": at < 2, "NextKeyMarker": str(at + 1), "NextUploadIdMarker": f"id{at + 1}"}
            return {"Uploads": [{"Key": f"x/{at}.embdc"}], **more}

    monkeypatch.setattr(multipart, "filesystem", lambda url: (Long(), "b/x"))
    assert unfinished_uploads("s3://b/x") == [f"s3://b/x/{at}.embdc" for at in range(3)]
