"""All parts of a deployment on one machine, as processes that can be killed and started again.

In: a folder for state and logs, a site, a number of clients, an engine. Out: running proxies, runtimes, Redis and
HAProxy; what their books say. Refuses: to run without redis-server (or valkey-server), haproxy and Ray.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from client_runtime import serve_ray
from proxy.access.htpasswd import set_password
from proxy.config import RuntimeConfig, ScaleConfig
from proxy.ledger.pseudonym import load_key, pseudonym
from proxy.ledger.read import opened
from proxy.subscribers.account import Subscriber
from proxy.subscribers.store import Store
from tests.client_runtime.ray_here import start_ray
from tests.deploy.load import PASSWORD, Wire, origin
from tests.e2e.conftest import HOST, Loop, Process, start_proxy

ROOT = Path(__file__).parents[2]
PLANS = ("balanced", "economy", "faithful", "off")  # the clients' tiers, in turn


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Part:
    """A part that can be killed: how, and how it comes back."""

    name: str
    kill: Callable[[], None]
    restart: Callable[[], None]


def program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"))), None)
    if found is None:
        raise SystemExit(f"needs {names[0]}")
    return found


def haproxy_file(folder: Path, ports: dict[str, int]) -> Path:
    """The shipped file with this machine's ports instead of names."""
    text = (ROOT / "configs" / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    for name in ("downstream-1", "downstream-2", "upstream-1", "upstream-2"):
        text = re.sub(rf" {name}:\d+", f" 127.0.0.1:{ports[name]}", text)
    text = text.replace("bind :3128", f"bind 127.0.0.1:{ports['subscribers']}")
    text = text.replace("bind :8081", f"bind 127.0.0.1:{ports['edges']}")
    text = text.replace("127.0.0.1:8405", f"127.0.0.1:{ports['metrics']}")
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return file


class Deployment:
    """All parts, running."""

    def __init__(self, folder: Path, site: dict[str, tuple[str, bytes]], clients: int, engine: str) -> None:
        self.folder, self.engine = folder, engine
        self.accounts = folder / "subscribers.sqlite"  # both downstream proxies', as on one host
        self.loop = Loop()
        self.origin_port = self.loop.serve(origin(site))
        names = ("downstream-1", "downstream-2", "upstream-1", "upstream-2", "subscribers", "edges", "metrics", "ray")
        self.ports = {name: free_port() for name in names}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.proxies: dict[str, Process] = {}
        self.wires: dict[int, Wire] = {}
        for number in range(clients):
            set_password(folder / "users", f"subscriber-{number}", PASSWORD)
        accounts = Store(self.accounts)
        for number in range(clients):
            accounts.add(Subscriber(f"subscriber-{number}", PLANS[number % len(PLANS)]), time.time())
        accounts.close()
        self.redis = folder / "redis.sock"

    def start(self) -> None:
        """Start all of it; `stop` ends whatever was started."""
        self.start_redis()
        self.start_runtimes()
        for name in ("upstream-1", "upstream-2"):
            self.start_upstream(name)
        self.start_haproxy()
        self.wires |= {n: Wire(self.ports["edges"], f"127.0.9.{n}") for n in (1, 2)}
        for wire in self.wires.values():
            self.loop.run(wire.start())
        for name in ("downstream-1", "downstream-2"):
            self.start_downstream(name)

    def _spawn(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def start_redis(self) -> None:
        conf = self.folder / "redis.conf"
        shipped = (ROOT / "configs" / "deploy" / "redis" / "redis.conf").read_text()
        conf.write_text(shipped.replace("port 6379", f"port 0\nunixsocket {self.redis}").replace("bind * -::*\n", ""))
        self._spawn("redis", program("redis-server", "valkey-server"), str(conf))

    def start_haproxy(self) -> None:
        self._spawn("haproxy", program("haproxy"), "-W", "-db", "-f", str(haproxy_file(self.folder, self.ports)))
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s and self.processes["haproxy"].poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["subscribers"]), 1):
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "haproxy.log").read_text()[-500:])

    def start_runtimes(self) -> None:
        config = RuntimeConfig(
            listen_port=self.ports["ray"],
            engine=self.engine,
            threads=1,
            state_dir=str(self.folder / "runtime"),
            shared_cache=f"unix://{self.redis}?db=0",
        )
        start_ray(cpus=2)
        self.runtimes = [
            serve_ray.start(config, ScaleConfig(route=route, application=route[1:], cpus=0.5), cpus=2)
            for route in ("/one", "/two")
        ]

    def kill_replica(self) -> None:
        replicas = [p for p in psutil.Process().children(recursive=True) if "ServeReplica:one" in " ".join(_words(p))]
        if not replicas:
            raise RuntimeError("no replica found to kill")
        replicas[0].kill()

    def _settled(self, role: str, name: str, settings: dict[str, object], tables: dict[str, Any]) -> None:
        folder = self.folder / name
        first = self.folder / f"{role}-1" / role
        if name.endswith("-2"):  # one authority for all proxies of a role
            (folder / role).mkdir(parents=True, exist_ok=True, mode=0o700)
            for file in first.glob("mitmproxy-ca*.pem"):
                shutil.copy(file, folder / role)
        (folder / f"{role}.json").unlink(missing_ok=True)
        self.proxies[name] = start_proxy(role, folder, {"listen_port": self.ports[name], **settings}, 5.0, tables)

    def start_upstream(self, name: str) -> None:
        settings: dict[str, object] = {
            "hosts": [f"{HOST}=127.0.0.1"],
            "allow_private_targets": [f"{HOST}:{self.origin_port}"],
            "encode_workers": 1,
            "encode_deadline_s": 30.0,
            "shared_cache": f"unix://{self.redis}?db=1",
        }
        self._settled("upstream", name, settings, {})

    def start_downstream(self, name: str) -> None:
        settings: dict[str, object] = {
            "upstream": f"http://127.0.0.1:{self.wires[int(name[-1])].port}",
            "upstream_ca": str(self.proxies["upstream-1"].ca),
            "runtime": self.runtimes[0],
            "runtimes": self.runtimes[1:],
        }
        tables = {
            "access": {"proxyauth": str(self.folder / "users")},
            "ledger": {"key_file": str(self.folder / "ledger.key")},
            "subscribers": {"enabled": True, "file": str(self.accounts)},
        }
        self._settled("downstream", name, settings, tables)

    def parts(self, gentle: bool) -> list[Part]:
        """What is killed, in this order; `gentle`: downstream proxies, which keep the books, are told to leave."""

        def kill_process(name: str) -> Callable[[], None]:
            def kill() -> None:
                victim = psutil.Process(self.processes[name].pid)
                for child in victim.children(recursive=True):
                    child.kill()
                self.processes[name].kill()
                self.processes[name].wait()

            return kill

        def kill_proxy(name: str) -> Callable[[], None]:
            def kill() -> None:
                gently = gentle and name.startswith("downstream")
                self.proxies[name].popen.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
                self.proxies[name].popen.wait()

            return kill

        return [
            Part("runtime", self.kill_replica, lambda: None),  # Ray starts another by itself
            Part("redis", kill_process("redis"), self.start_redis),
            Part("upstream-1", kill_proxy("upstream-1"), functools.partial(self.start_upstream, "upstream-1")),
            Part("downstream-1", kill_proxy("downstream-1"), functools.partial(self.start_downstream, "downstream-1")),
            Part("haproxy", kill_process("haproxy"), self.start_haproxy),
            Part("upstream-2", kill_proxy("upstream-2"), functools.partial(self.start_upstream, "upstream-2")),
            Part("downstream-2", kill_proxy("downstream-2"), functools.partial(self.start_downstream, "downstream-2")),
        ]

    def stop(self) -> None:
        for name in ("downstream-1", "downstream-2", "upstream-1", "upstream-2"):
            if name in self.proxies:
                with contextlib.suppress(Exception):
                    self.proxies[name].stop()
        for process in self.processes.values():
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)

    def ledger_bytes(self) -> dict[str, int]:
        """Bytes over the link for each subscriber's pseudonym, from both downstream ledgers."""
        found: dict[str, int] = defaultdict(int)
        for number in (1, 2):
            place = self.folder / f"downstream-{number}" / "downstream" / "ledger.sqlite"
            with opened(place) as reader:
                for _, row in reader.each_row():
                    found[row.subscriber] += row.link_bytes + row.refetch_bytes
        return dict(found)

    def used_bytes(self) -> dict[str, int]:
        """What each client's quota was charged with."""
        accounts = Store(self.accounts)
        try:
            return {name.rpartition("-")[2]: sum(days.values()) for name, days in accounts.use().items()}
        finally:
            accounts.close()

    def shared_entries(self) -> dict[str, int]:
        """What is in Redis: reconstructions and the encoder's results."""
        counts = {}
        for number, name in enumerate(("reconstructions", "encoded")):
            with contextlib.closing(redis.Redis(unix_socket_path=str(self.redis), db=number)) as server:
                counts[name] = sum(b":lock:" not in key for key in server.keys("*"))
        return counts

    def pseudonyms(self, clients: int) -> dict[str, str]:
        """Each client's number and its subscriber's pseudonym."""
        key = load_key(self.folder / "ledger.key")
        return {str(number): pseudonym(key, f"user subscriber-{number}") for number in range(clients)}


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
