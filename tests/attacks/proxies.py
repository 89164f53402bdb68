"""Proxies and servers for attacks: real processes, real sockets, and a server nobody may reach.

In: tables of configuration. Out: running processes, raw exchanges with them. Refuses: to wait for ever.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A proxy process, and what it said."""

    popen: subprocess.Popen[bytes]
    port: int
    ca: Path
    log: Path
    config: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        self.popen.terminate()
        return self.popen.wait(20)


def start(role: str, folder: Path, **tables: dict[str, object]) -> Process:
    """Start a proxy with these tables and wait until it is ready; it ends with `stop`.

    Its HTTP cache is off unless a table says otherwise: what is tried is to reach servers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "cache": {"enabled": False},
        **tables,
        role: {"listen_port": 0, "state_dir": str(folder / role), **tables.get(role, {})},
    }
    config, ready, log = folder / f"{role}.toml", folder / f"{role}.json", folder / f"{role}.log"
    write_config(config, **tables)
    command = [sys.executable, "-m", "proxy", role, "--config", str(config), "--ready-file", str(ready)]
    with log.open("wb") as out:
        popen = subprocess.Popen([*command, "--drain-s", "2"], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    until = time.monotonic() + 120
    while not ready.exists():
        if popen.poll() is not None or time.monotonic() > until:
            popen.kill()
            raise AssertionError(log.read_text())
        time.sleep(0.02)
    told = json.loads(ready.read_text())
    return Process(popen, told["port"], Path(told["ca"]), log, config)


def write_config(file: Path, **tables: dict[str, object]) -> None:
    """Write a configuration file."""
    lines = [f"[{n}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()) for n, table in tables.items()]
    file.write_text("\n".join(lines))


class Server:
    """Answers every request on a loopback port with its name, and keeps what came."""

    def __init__(self, name: str) -> None:
        self.seen: list[bytes] = []
        self.answer_after_s = 0.0
        seen, server = self.seen, self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(30)
                body = f"reached {name}".encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
                came = b""
                with contextlib.suppress(OSError):
                    while chunk := self.request.recv(65536):
                        came += chunk
                        if came.endswith(b"\r\n\r\n"):
                            seen.append(came)
                            came = b""
                            time.sleep(server.answer_after_s)
                            self.request.sendall(head + body)
                if came:
                    seen.append(came)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def exchange(port: int, *sent: bytes, timeout_s: float = 8.0) -> bytes:
    """Send bytes to a proxy, each piece once the one before is answered; everything that came back."""
    answers = []
    with (
        socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection,
        contextlib.suppress(TimeoutError, ConnectionError),
    ):
        for piece in sent:
            connection.sendall(piece)
            answers.append(b"")
            while not _complete(answers[-1]) and (chunk := connection.recv(65536)):
                answers[-1] += chunk
    return b"".join(answers)


def status(answer: bytes) -> int:
    """The status of the last head in an answer; 0 when the connection just ended."""
    found = re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[-1]) if found else 0


def _complete(came: bytes) -> bool:
    """Whether an answer is all there; one that opens a tunnel has no length and no body."""
    head, found, body = came.partition(b"\r\n\r\n")
    if not found:
        return False
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0]) if lengths else b" 200 connection established" in head.lower()
