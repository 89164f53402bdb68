"""A real Redis for tests, on a socket of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
import redis

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
PATIENCE_S = 20.0

needs_server = pytest.mark.skipif(PROGRAM is None, reason="needs redis-server or valkey-server")


class RedisServer:
    """A server that can be killed and started again; it forgets everything then."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        self.start()

    def start(self) -> None:
        """Raises AssertionError if it does not answer in time."""
        command = [str(PROGRAM), "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            try:
                if self.client.ping():
                    return
            except redis.RedisError:
                time.sleep(0.02)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        """At once, as by a power failure."""
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def entries(self) -> list[bytes]:
        """The keys of all that is kept, locks aside."""
        return [key for key in self.client.keys("*") if b"lock:" not in key]
