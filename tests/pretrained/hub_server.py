"""A Hub on this machine: the part of its HTTP interface that huggingface_hub uses to write and read models."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"
NOT_FOUND = {"repository": "RepoNotFound", "revision": "RevisionNotFound", "file": "EntryNotFound"}


class Hub:
    """Models by USER/NAME: revisions by name, each a commit with its files."""

    def __init__(self) -> None:
        self.address = ""
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        """Files by repository and commit."""
        self.revisions: dict[str, dict[str, str]] = {}
        """Commits by repository and branch or tag."""
        self.lfs: dict[str, bytes] = {}
        self.checked: list[str] = []
        """Cards that were sent to be checked."""

    def commit(self, repository: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Adds files to a branch, which is made where it is not there, and returns the commit."""
        before = self.commits[repository].get(self.revisions[repository].get(revision, ""), {})
        after = {**before, **files}
        said = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in sorted(after.items())})
        sha = hashlib.sha1(said.encode()).hexdigest()
        self.commits[repository][sha], self.revisions[repository][revision] = after, sha
        return sha

    def find(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if repository not in self.commits:
            return None
        sha = self.revisions[repository].get(revision, revision)
        return (sha, self.commits[repository][sha]) if sha in self.commits[repository] else None


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/?]+))?", self._path()):
            repository, revision = match[1], match[2] or "main"
            if found := self._found(repository, revision):
                sha, files = found
                siblings = [{"rfilename": name} for name in files]
                self._json({"id": repository, "sha": sha, "siblings": siblings, "tags": [], "private": False})
            return
        self._file(with_body=True)

    def do_HEAD(self) -> None:
        self._file(with_body=False)

    def do_POST(self) -> None:
        body, path = self.rfile.read(int(self.headers.get("content-length") or 0)), self._path()
        if path == "/api/validate-yaml":
            self.hub.checked.append(json.loads(body)["content"])
            self._json({"errors": [], "warnings": []})
            return
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid credentials in Authorization header"}, 401)
        elif path == "/api/repos/create":
            said = json.loads(body)
            repository = f"{said['organization']}/{said['name']}"
            if repository in self.hub.commits:
                self._json(
                    {"error": "You already created this model repo", "url": f"{self.hub.address}/{repository}"}, 409
                )
                return
            self.hub.commits[repository], self.hub.revisions[repository] = {}, {}
            self.hub.commit(repository, {".gitattributes": b""})
            self._json({"url": f"{self.hub.address}/{repository}"})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", path):
            files = [
                {"path": file["path"], "shouldIgnore": False, "uploadMode": _mode(file["path"])}
                for file in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", path):
            files = {}
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    files[line["value"]["path"]] = self.hub.lfs[line["value"]["oid"]]
            sha = self.hub.commit(match[1], files, match[2])
            self._json({"commitUrl": f"{self.hub.address}/{match[1]}/commit/{sha}", "commitOid": sha})
        else:
            self._json({"error": path}, 404)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(data).hexdigest() == oid
        self.hub.lfs[oid] = data
        self._json({})

    def _path(self) -> str:
        return self.path.partition("?")[0].replace("%2F", "/")

    def _found(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        found = self.hub.find(repository, revision)
        if found is None:
            self._missing("revision" if repository in self.hub.commits else "repository")
        return found

    def _file(self, *, with_body: bool) -> None:
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._path())
        if match is None:
            self._missing("repository")
        elif found := self._found(match[1], match[2]):
            sha, files = found
            if match[3] not in files:
                self._missing("file")
                return
            data = files[match[3]]
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", sha)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if with_body:
                self.wfile.write(data)

    def _missing(self, what: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", NOT_FOUND[what])
        self.send_header("X-Error-Message", f"{what} not found")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, document: Any, status: int = 200) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serves a Hub, which is empty, on a port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
