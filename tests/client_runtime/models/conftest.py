"""A hub of our own on a local port: enough of the real one's API for the real library, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

BASE_REPO = "someone/base"


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def commit_of(repo: str) -> str:
    """Every repository has one commit."""
    return hashlib.sha1(repo.encode()).hexdigest()


@dataclass
class FakeHub:
    """`repos` maps a repository to its files; `cut` ends a file's next answers after so many bytes each."""

    url: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    cut: dict[str, list[int]] = field(default_factory=dict)
    damage: set[str] = field(default_factory=set)
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    sent_bytes: int = 0


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *about: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.hub.asked.append(f"api {parts[2]}/{parts[3]}")
            return self._info("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        repo, revision, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        self.hub.asked.append(f"{self.command} {name} {self.headers.get('Range', '')}".strip())
        files = self.hub.repos.get(repo)
        if files is None:
            return self._refuse(404, "RepoNotFound")
        if repo in self.hub.gated:
            return self._refuse(403, "GatedRepo")
        if revision not in ("main", commit_of(repo)):
            return self._refuse(404, "RevisionNotFound")
        if name not in files:
            return self._refuse(404, "EntryNotFound")
        self._file(repo, name, files[name])

    def _info(self, repo: str, revision: str) -> None:
        files = self.hub.repos.get(repo)
        if files is None:
            return self._refuse(404, "RepoNotFound")
        if revision not in ("main", commit_of(repo)):
            return self._refuse(404, "RevisionNotFound")
        siblings = []
        for name, data in files.items():
            about: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git_blob(data)}
            if name.endswith((".safetensors", ".bin")):
                about["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(about)
        body = {
            "id": repo,
            "sha": commit_of(repo),
            "siblings": siblings,
            "gated": "auto" if repo in self.hub.gated else False,
        }
        if repo in self.hub.licences:
            body["cardData"] = {"license": self.hub.licences[repo]}
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: str, name: str, data: bytes) -> None:
        etag = hashlib.sha256(data).hexdigest() if name.endswith((".safetensors", ".bin")) else git_blob(data)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit_of(repo)}
        start = 0
        wanted = self.headers.get("Range")
        if wanted and self.hub.ranges:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        if name in self.hub.damage:
            body = bytes(byte ^ 1 for byte in body[:4]) + body[4:]
        cuts = self.hub.cut.get(name) if self.command == "GET" else None
        self._send(206 if "Content-Range" in headers else 200, body, headers, cuts.pop(0) if cuts else None)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            part = body if cut is None else body[:cut]
            self.hub.sent_bytes += len(part)
            self.wfile.write(part)
        if cut is not None:
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A running hub; the library's endpoint, its cache and our records point into the test's folder."""
    import huggingface_hub.constants as constants

    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
