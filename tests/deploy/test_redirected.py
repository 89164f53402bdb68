"""What a gateway sends that redirects connections (redsocks and the like): tunnels to addresses, names only inside."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.access.htpasswd import set_password
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import BROWSER_ACCEPT, HOST, Loop, Process, start_proxy
from tests.e2e.origin import Origin, photo
from tests.e2e.runtime import FakeRuntime

pytestmark = pytest.mark.timeout(400)  # two proxies start, which takes a while on a busy machine
GATEWAY = base64.b64encode(b"gateway:correct horse battery").decode()


@dataclass
class Gateway:
    """A downstream proxy whose only user is a gateway, and the ports of an origin."""

    downstream: Process
    http_port: int
    https_port: int

    def tunnel(self, port: int) -> socket.socket:
        """A connection as redsocks makes it of one that it was handed: to the address that the client had."""
        made = socket.create_connection(("127.0.0.1", self.downstream.port), 30)
        made.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.0\r\nProxy-Authorization: Basic {GATEWAY}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += made.recv(1)
        assert head.split()[1] == b"200", head
        return made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with contextlib.ExitStack() as stack:
        loop, origin = Loop(), Origin()
        stack.callback(loop.close)
        authority = make_authority(folder / "origin-ca.pem")
        ports = loop.serve(origin.app()), loop.serve(origin.app(), make_leaf(authority, HOST, folder / "origin.pem"))
        names = [f"{host}:{port}" for host in ("127.0.0.1", HOST) for port in ports]
        settings = {"allow_private_targets": names, "hosts": [f"{HOST}=127.0.0.1"], "encode_deadline_s": 60.0}
        upstream = start_proxy("upstream", folder, {**settings, "origin_ca": str(folder / "origin-ca.pem")})
        stack.callback(upstream.stop)
        set_password(folder / "users", "gateway", "correct horse battery")
        drawing = f"http://127.0.0.1:{loop.serve(FakeRuntime().app())}"
        near = {"upstream": upstream.url, "upstream_ca": str(upstream.ca), "runtime": drawing}
        downstream = start_proxy("downstream", folder, near, tables={"access": {"proxyauth": str(folder / "users")}})
        stack.callback(downstream.stop)
        yield Gateway(downstream, *ports)


def get(stream: socket.socket, path: str) -> tuple[int, bytes]:
    """One request as a browser that knows of no proxy writes it."""
    fields = f"Host: {HOST}\r\nAccept: {BROWSER_ACCEPT}\r\nConnection: close\r\n"
    stream.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
    data = b""
    with contextlib.suppress(ssl.SSLEOFError):
        while chunk := stream.recv(65_536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_plain_pages(gateway: Gateway) -> None:
    with gateway.tunnel(gateway.http_port) as stream:
        status, body = get(stream, "/photo.jpg")
    assert status == 200 and body and body != photo(), "drawn or coded anew"


def test_tls_by_the_name_that_the_client_says(gateway: Gateway, tmp_path: Path) -> None:
    trust = ssl.create_default_context(cafile=str(gateway.downstream.ca))
    with trust.wrap_socket(gateway.tunnel(gateway.https_port), server_hostname=HOST) as stream:
        assert ("DNS", HOST) in stream.getpeercert()["subjectAltName"]  # type: ignore[index,operator]
        status, body = get(stream, "/photo.jpg")
    assert status == 200 and body and body != photo()
