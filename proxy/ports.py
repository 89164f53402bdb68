"""Who listens where on this machine.

In: a host and a port. Out: whether it is free, and which process has it. Refuses: nothing; what the system does not
tell is None.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"  # the state in /proc/net/tcp, see proc_net_tcp.txt in the Linux documentation
OURS = ("proxy upstream", "proxy downstream", "proxy runtime", "sketchwire upstream", "sketchwire downstream")
OURS_TOO = ("sketchwire runtime", "sketchwire up", "proxy up", "proxy demo", "sketchwire demo")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens on a port."""

    pid: int
    command: str

    @property
    def ours(self) -> bool:
        """Whether it is a part of Sketchwire."""
        return any(part in self.command for part in OURS + OURS_TOO)

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command[:80]})"


def why_not_bindable(host: str, port: int) -> str | None:
    """None when a server could listen there now; else why not. Port 0 always can, if the host is an address of ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)  # on Linux two sockets may share an address until one of them listens
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"in use by {holder(port) or 'another process'}"
        return error.strerror or str(error)
    return None


def holder(port: int) -> Holder | None:
    """The process that listens on `port` (TCP, any address), as far as this user may know; Linux only."""
    sockets = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net", table), port)}
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to somebody else
            if any(os.readlink(handle) in sockets for handle in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                return Holder(int(process.name), b" ".join(words).decode("utf-8", "replace"))
    return None


def connectable(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((reachable_host(host), port), timeout=timeout_s):
            return True
    except OSError:
        return False


def reachable_host(listen_host: str) -> str:
    """The address at which a server on this machine that listens on `listen_host` can be reached."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(listen_host, listen_host)


def url(host: str, port: int) -> str:
    """The http URL of a server on this machine."""
    host = reachable_host(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listening(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port]
