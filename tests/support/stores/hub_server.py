"""A hub on loopback: as much of its interface as uploads and downloads of a repository need."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_a_token_that_nobody_may_see"

#: Endings of files that are stored outside of git.
_LARGE = (".tar", ".parquet")


class HubServer(http.server.ThreadingHTTPServer):
    """One account with its dataset repositories."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        """Files of each repository, as of its last commit."""
        self.visibility: dict[str, str] = {}
        self.commits: list[list[str]] = []
        """Paths of each commit; those that it deletes begin with `-`."""
        self.large: dict[str, bytes] = {}
        """Contents of large files by SHA-256, committed or not."""
        self.puts: list[str] = []
        """SHA-256 of each large file that was sent."""
        self.commits_left = 1_000
        """After so many more commits, the server fails."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the hub."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - names that http.server looks for

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        if not path.startswith("/lfs/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._reply(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._reply(200, {"errors": [], "warnings": []})
        elif path.startswith("/lfs/"):
            digest = hashlib.sha256(body).hexdigest()
            self.server.large[digest] = body
            self.server.puts.append(digest)
            self._reply(200 if path == f"/lfs/{digest}" else 400, {})
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif "/preupload/" in path:
            self._preupload(path, json.loads(body))
        elif "/tree/" in path:
            self._tree(path)
        elif "/commit/" in path:
            self._commit(path, body)
        elif "/resolve/" in path:
            self._resolve(path)
        else:
            self._reply(404, {"error": f"no {path}"})

    def _files(self, path: str) -> dict[str, bytes]:
        return self.server.repos[_repo(path)]

    def _create(self, values: dict[str, Any]) -> None:
        repo = f"{values['organization']}/{values['name']}"
        if repo in self.server.repos:
            self._reply(409, {"error": "exists", "url": f"{self.server.url}/datasets/{repo}"})
            return
        self.server.repos[repo] = {".gitattributes": b"*.tar filter=lfs\n"}
        is_private = values.get("private") or values.get("visibility") == "private"
        self.server.visibility[repo] = "private" if is_private else "public"
        self._reply(200, {"url": f"{self.server.url}/datasets/{repo}"})

    def _preupload(self, path: str, values: dict[str, Any]) -> None:
        files = self._files(path)
        answers = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
                "oid": _blob_id(files[file["path"]]) if file["path"] in files else None,
            }
            for file in values["files"]
        ]
        self._reply(200, {"files": answers})

    def _batch(self, values: dict[str, Any]) -> None:
        answers = []
        for item in values["objects"]:
            actions = {"upload": {"href": f"{self.server.url}/lfs/{item['oid']}"}}
            more = {} if item["oid"] in self.server.large else {"actions": actions}
            answers.append({"oid": item["oid"], "size": item["size"], **more})
        self._reply(200, {"transfer": "basic", "objects": answers})

    def _tree(self, path: str) -> None:
        entries: list[dict[str, Any]] = [{"type": "directory", "path": "shards", "oid": "0" * 40}]
        for name, data in self._files(path).items():
            large = {"size": len(data), "oid": hashlib.sha256(data).hexdigest(), "pointerSize": 1}
            more = {"lfs": large} if name.endswith(_LARGE) else {}
            entries.append(
                {"type": "file", "path": name, "size": len(data), "oid": _blob_id(data), **more}
            )
        self._reply(200, entries)

    def _commit(self, path: str, body: bytes) -> None:
        if self.server.commits_left == 0:
            self._reply(500, {"error": f"out of order, {self.headers['Authorization']}"})
            return
        self.server.commits_left -= 1
        files = self._files(path)
        paths = []
        for line in body.splitlines():
            kind, value = (json.loads(line)[name] for name in ("key", "value"))
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
            if kind != "header":
                paths.append(f"{'-' * (kind == 'deletedFile')}{value['path']}")
        self.server.commits.append(paths)
        oid = f"{len(self.server.commits):040x}"
        url = f"{self.server.url}/datasets/{_repo(path)}/commit/{oid}"
        self._reply(200, {"commitUrl": url, "commitOid": oid})

    def _resolve(self, path: str) -> None:
        data = self._files(path)[path.split("/resolve/")[1].split("/", 1)[1]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{_blob_id(data)}"')
        self.send_header("X-Repo-Commit", f"{len(self.server.commits):040x}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reply(self, status: int, values: Any) -> None:
        data = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _repo(path: str) -> str:
    """The repository that an address names."""
    return "/".join(path.removeprefix("/api").removeprefix("/datasets/").split("/")[:2])


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
