"""A Hugging Face hub on loopback with one dataset repository, `o/r`: what listing, reading and one commit need."""

from __future__ import annotations

import base64
import json
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.remote.web_server import Handler

URL = "hf://datasets/o/r"
_API, _FILES = "api/datasets/o/r", "datasets/o/r/resolve/main/"


class Hub(Handler):
    """GET and POST of `web.bodies` as files of the repository; nothing is compressed on the way."""

    _encoded = False

    def do_GET(self) -> None:  # noqa: N802  # as below
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith(_FILES):
            self.path = path.removeprefix(_FILES)
            super().do_GET()
        elif path in (_API, f"{_API}/revision/main"):
            self._json({"id": "o/r", "sha": "1" * 40, "private": False, "siblings": []})
        elif path.startswith(f"{_API}/tree/main"):
            recursive = "recursive=true" in self.path
            listed = self._listed(path.removeprefix(f"{_API}/tree/main").strip("/"), recursive=recursive)
            self._json(listed) if listed else self._missing("EntryNotFound")
        else:
            self._missing("RepoNotFound")

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server looks for
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path.startswith(f"/{_API}/preupload/main"):
            names = [one["path"] for one in json.loads(body)["files"]]
            self._json({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif self.path.startswith(f"/{_API}/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.web.bodies[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._json({"commitUrl": f"{self.web.address}/datasets/o/r/commit/1", "commitOid": "1" * 40})
        else:
            self._missing("RepoNotFound")

    def _listed(self, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        """The files in a folder, and the folders; or those in the folders too."""
        inside = {
            PurePosixPath(name) for name in self.web.bodies if PurePosixPath(folder) in PurePosixPath(name).parents
        }
        inside |= {parent for name in inside for parent in name.parents if PurePosixPath(folder) in parent.parents}
        return [
            {"type": "file", "path": str(name), "size": len(self.web.bodies[str(name)]), "oid": "0" * 40}
            if str(name) in self.web.bodies
            else {"type": "directory", "path": str(name), "oid": "0" * 40}
            for name in sorted(inside)
            if recursive or name.parent == PurePosixPath(folder)
        ]

    def _json(self, document: Any) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"}, "")

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
