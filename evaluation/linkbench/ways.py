"""The ways to a site: directly, by ziproxy, by chained proxies, by the link, by the link without bundles.

In: a folder with pages, a way's name, the thin link's shape. Out: `Way`, with everything started. Refuses: ziproxy
where it is not installed (StandFailed).
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.linkbench import stand as stands
from evaluation.linkbench.site import DOMAIN
from evaluation.linkbench.stand import Stand, StandFailed

JOINTS = ("direct", "ziproxy", "chain", "plain", "link")


@dataclass(frozen=True, slots=True)
class Shape:
    """The thin link: rate, round trip, share of packets lost each way."""

    kbit_s: float
    rtt_ms: float
    loss: float = 0.0

    def __str__(self) -> str:
        lost = f", {self.loss:.0%} lost" if self.loss else ""
        return f"{self.kbit_s:g} kbit/s, {self.rtt_ms:g} ms{lost}"


@dataclass
class Way:
    """A way to the site: `base` of its addresses, the proxy to use, if any, and the thin link's control port."""

    base: str
    proxy: str | None
    wire: Stand


@contextlib.contextmanager
def way_to(folder: Path, joint: str, shape: Shape, encode_deadline_s: float = 60.0) -> Iterator[Way]:
    """Start what a joint needs, stop it at the end."""
    with contextlib.ExitStack() as stack:
        if joint in ("direct", "ziproxy"):
            yield _plain_way(stack, folder, joint, shape)
            return
        runtime = "" if joint == "plain" else _runtime(stack, folder)
        kind = "chain" if joint == "chain" else "link"
        at = stack.enter_context(
            stands.stand(folder, kind, shape.rtt_ms / 2, shape.kbit_s, runtime, encode_deadline_s, shape.loss)
        )
        yield Way(f"http://h0.{DOMAIN}:{at.http_port}", at.proxy, at)


def _plain_way(stack: contextlib.ExitStack, folder: Path, joint: str, shape: Shape) -> Way:
    command = [sys.executable, "-m", "evaluation.linkbench.site", str(folder)]
    site = stands.start(stack, folder, "site", command, "site.json")
    port = int(site["http"])
    if joint == "ziproxy":
        port = _ziproxy(stack, folder)
    shaped = stands.shaper(stack, folder, port, shape.rtt_ms / 2, shape.kbit_s, shape.loss)
    at = Stand("", folder / "ca.pem", site["http"], site["https"], shaped["control"], [])
    if joint == "ziproxy":
        return Way(f"http://127.0.0.1:{site['http']}", f"http://127.0.0.1:{shaped['port']}", at)
    return Way(f"http://127.0.0.1:{shaped['port']}", None, at)


def _ziproxy(stack: contextlib.ExitStack, folder: Path) -> int:
    binary = shutil.which("ziproxy")
    if binary is None:
        raise StandFailed("ziproxy is not installed")
    port = stands.free_port()
    config = folder / "ziproxy.conf"
    # as Debian ships it, but for the port
    config.write_text(
        f'Port = {port}\nAddress = "127.0.0.1"\nUseContentLength = false\nImageQuality = {{30,25,25,20}}\n'
    )
    pid = folder / "ziproxy.pid"
    subprocess.run([binary, "-d", "-c", str(config), "-p", str(pid)], check=True, capture_output=True)
    stack.callback(lambda: subprocess.run([binary, "-k", "-p", str(pid)], check=False, capture_output=True))
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port
        time.sleep(0.1)
    raise StandFailed("ziproxy does not listen")


def _runtime(stack: contextlib.ExitStack, folder: Path) -> str:
    ready = "runtime.json"
    (folder / "runtime.toml").write_text("[runtime]\nlisten_port = 0\n", encoding="utf-8")
    command = [sys.executable, "-m", "proxy", "runtime", "--config", str(folder / "runtime.toml")]
    command += ["--state-dir", str(folder / "runtime")]
    told = stands.start(stack, folder, "runtime", [*command, "--ready-file", str(folder / ready)], ready)
    return f"http://127.0.0.1:{told['port']}"
