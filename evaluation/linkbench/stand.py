"""A test stand: origin, upstream proxy, thin link and downstream proxy, each a process, as a chain or with the link.

In: a folder, how to join them, the link's delay and rate. Out: `Stand`: where to browse, what crossed the link, how
much processor time the proxies took. Refuses: to wait for ever; what does not start ends with its last words
(`StandFailed`).
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from evaluation.linkbench.site import DOMAIN
from proxy.link.pairing import pair_here

ROOT = Path(__file__).parents[2]
START_S = 240.0  # on a busy machine
HOSTS = 16
JOINTS = ("chain", "link", "bare")


class StandFailed(RuntimeError):
    """A process did not start; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What crossed the thin link until a moment."""

    up_bytes: int
    down_bytes: int
    connections: int

    @property
    def total_bytes(self) -> int:
        """Both ways."""
        return self.up_bytes + self.down_bytes


@dataclass
class Stand:
    """Everything runs."""

    proxy: str
    ca: Path
    http_port: int
    https_port: int
    control: int
    proxies: list[psutil.Process]
    ledger: Path | None = None  # downstream's

    def url(self, host: int | str, path: str, scheme: str = "https") -> str:
        """The address of a path at one of the hosts."""
        name = f"h{host}.{DOMAIN}" if isinstance(host, int) else host
        return f"{scheme}://{name}:{self.https_port if scheme == 'https' else self.http_port}{path}"

    def wire(self, command: str = "stats") -> Wire:
        """What crossed the link; with `cut`, after cutting its connections."""
        told = self._tell(command)
        return Wire(told["up"], told["down"], told["connections"])

    def busy(self) -> list[tuple[float, float]]:
        """When the link carried bytes down since this was last asked, by the monotonic clock; with a rate only."""
        return [(begins_s, ends_s) for begins_s, ends_s in self._tell("busy")]

    def _tell(self, command: str) -> Any:
        with socket.create_connection(("127.0.0.1", self.control), 5) as control:
            control.sendall(command.encode() + b"\n")
            return json.loads(control.makefile().readline())

    def cpu_s(self) -> float:
        """Processor time of both proxies until now."""
        return sum(sum(each.cpu_times()[:2]) for each in self.proxies)


@contextlib.contextmanager
def stand(
    folder: Path,
    joint: str,
    delay_ms: float,
    kbit_s: float = 0.0,
    runtime: str = "",
    encode_deadline_s: float = 5.0,
    loss: float = 0.0,
) -> Iterator[Stand]:
    """Start all of it, stop it at the end; `joint` is chain, link, or bare (mitmproxy without our addons)."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        site = start(
            stack, folder, "site", [sys.executable, "-m", "evaluation.linkbench.site", str(folder)], "site.json"
        )
        names = [f"{DOMAIN}", *(f"h{number}.{DOMAIN}" for number in range(HOSTS))]
        targets = [f"{name}:{site[scheme]}" for name in names for scheme in ("http", "https")]
        upstream: dict[str, Any] = {
            "hosts": [f"{name}=127.0.0.1" for name in names],
            "allow_private_targets": targets,
            "origin_ca": str(folder / "ca.pem"),
            "mode": "auto",
            "encode_deadline_s": encode_deadline_s,
            "link": "h2" if joint == "link" else "chain",
            "link_port": 0,
        }
        if joint == "bare":
            return (yield from _bare(stack, folder, site, delay_ms, kbit_s, loss))
        if joint == "link":
            places = folder / "upstream" / "link", folder / "downstream" / "link"
            pair_here(*places)
        far = _proxy(stack, folder, "upstream", upstream)
        shaped = shaper(stack, folder, far["link_port"] if joint == "link" else far["port"], delay_ms, kbit_s, loss)
        downstream: dict[str, Any] = {"upstream_ca": far["ca"], "runtime": runtime, "page_text": False}
        if joint == "link":
            downstream |= {"link": "h2", "link_upstream": f"127.0.0.1:{shaped['port']}", "link_repeat_bytes": 0}
        else:
            downstream |= {"upstream": f"http://127.0.0.1:{shaped['port']}"}
        near = _proxy(stack, folder, "downstream", downstream)
        proxies = [psutil.Process(each["pid"]) for each in (far, near)]
        proxy = f"http://127.0.0.1:{near['port']}"
        ledger = folder / "downstream" / "ledger.sqlite"
        yield Stand(proxy, Path(near["ca"]), site["http"], site["https"], shaped["control"], proxies, ledger)


def _bare(
    stack: contextlib.ExitStack, folder: Path, site: dict[str, Any], delay_ms: float, kbit_s: float, loss: float
) -> Iterator[Stand]:
    """Two mitmproxies as they come, chained, with the one addon that resolves the stand's names."""
    resolver = folder / "resolve.py"
    resolver.write_text(
        "def server_connect(data):\n"
        f"    if data.server.address[0].endswith({DOMAIN!r}):\n"
        "        data.server.address = ('127.0.0.1', data.server.address[1])\n"
    )
    dump = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()", "-q"]
    common = ["--set", "connection_strategy=lazy", "--set", "stream_large_bodies=1k", "--listen-host", "127.0.0.1"]
    ports = [free_port(), free_port()]
    far_options = ["--listen-port", str(ports[0]), "--set", f"confdir={folder / 'bare-up'}", "-s", str(resolver)]
    trust = ["--set", f"ssl_verify_upstream_trusted_ca={folder / 'ca.pem'}"]
    far = _spawn(stack, folder, "bare-upstream", [*dump, *common, *far_options, *trust])
    _await_port(ports[0], far, folder / "bare-upstream.log")
    shaped = shaper(stack, folder, ports[0], delay_ms, kbit_s, loss)
    mode = ["--mode", f"upstream:http://127.0.0.1:{shaped['port']}", "--listen-port", str(ports[1])]
    trust = ["--set", f"ssl_verify_upstream_trusted_ca={folder / 'bare-up' / 'mitmproxy-ca-cert.pem'}"]
    near = _spawn(
        stack, folder, "bare-downstream", [*dump, *common, *mode, *trust, "--set", f"confdir={folder / 'bare-down'}"]
    )
    _await_port(ports[1], near, folder / "bare-downstream.log")
    ca = folder / "bare-down" / "mitmproxy-ca-cert.pem"
    proxies = [psutil.Process(each.pid) for each in (far, near)]
    yield Stand(f"http://127.0.0.1:{ports[1]}", ca, site["http"], site["https"], shaped["control"], proxies)


def _proxy(stack: contextlib.ExitStack, folder: Path, role: str, settings: dict[str, Any]) -> dict[str, Any]:
    settings = {"listen_port": 0, "state_dir": str(folder / role)} | settings
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    config = folder / f"{role}.toml"
    # what a proxy kept would be measured instead of the link
    config.write_text(f"[{role}]\n" + "\n".join(lines) + "\n[cache]\nenabled = false\n", encoding="utf-8")
    ready = f"{role}.json"
    command = [sys.executable, "-m", "proxy", role, "--config", str(config), "--ready-file", str(folder / ready)]
    return start(stack, folder, role, command, ready)


def shaper(
    stack: contextlib.ExitStack, folder: Path, port: int, delay_ms: float, kbit_s: float, loss: float = 0.0
) -> dict[str, Any]:
    """Start the thin link in front of a port."""
    command = [sys.executable, "-m", "evaluation.linkbench.shaper", "127.0.0.1", str(port), "--loss", str(loss)]
    options = ["--delay-ms", str(delay_ms), "--kbit-s", str(kbit_s), "--ready-file", str(folder / "shaper.json")]
    return start(stack, folder, "shaper", [*command, *options], "shaper.json")


def _spawn(stack: contextlib.ExitStack, folder: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
    stack.callback(_stop, process)
    return process


def start(stack: contextlib.ExitStack, folder: Path, name: str, command: list[str], ready: str) -> dict[str, Any]:
    """Start a process and wait until it wrote its ready file; returns what that says. Raises StandFailed."""
    (folder / ready).unlink(missing_ok=True)
    process = _spawn(stack, folder, name, command)
    until = time.monotonic() + START_S
    while not (folder / ready).exists():
        if process.poll() is not None or time.monotonic() > until:
            raise StandFailed(f"{name}:\n{(folder / f'{name}.log').read_text()[-3000:]}")
        time.sleep(0.05)
    told: dict[str, Any] = json.loads((folder / ready).read_text())
    return {"pid": process.pid} | told


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise StandFailed(log.read_text()[-3000:])
        time.sleep(0.1)


def end_on_sigterm() -> None:
    """Let SIGTERM stop what was started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
