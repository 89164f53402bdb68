"""The proxies and the runtime, started as a user would: through the public command line.

In: an origin and a folder for state. Out: `Pair`: where to browse, whom to trust, which ledger to read. Refuses: to
wait for ever; a pair that does not come up ends with its last words (`PairFailed`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.demo.origin import Origin
from proxy.ledger.read import LedgerUnreadable, rows_since
from proxy.ledger.row import Row

START_LIMIT_S = 240.0  # the first start compiles and loads models
STOP_LIMIT_S = 20.0
_POLL_S = 0.1
_LAST_WORDS = 15  # lines
_ENCODE_DEADLINE_S = 30.0  # a demonstration shows what is saved, also on a slow machine
_RECONSTRUCT_DEADLINE_S = 30.0


class PairFailed(RuntimeError):
    """The proxies did not start or went away; the message ends with what they said last."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A running pair."""

    port: int
    ca: Path
    ledger: Path
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        """The downstream proxy's URL: what a browser is set to."""
        return f"http://127.0.0.1:{self.port}"

    def rows(self, after_id: int = 0) -> list[tuple[int, Row]]:
        """Downstream's ledger rows with ids above `after_id`; none before the first was written."""
        try:
            return rows_since(self.ledger, after_id)
        except LedgerUnreadable:
            return []


@contextlib.asynccontextmanager
async def running_pair(origin: Origin, state: Path, port: int = 0, mode: str = "auto") -> AsyncIterator[Pair]:
    """Start `sketchwire up` for this origin, and stop it when the context ends. Raises PairFailed.

    `port` is downstream's (0: any free one); `mode` is upstream's bundle mode.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    config, ready_file, log = state / "demo.toml", state / "ready.json", state / "up.log"
    config.write_text(configuration(origin, port, mode), encoding="utf-8")
    command = (sys.executable, "-m", "proxy", "up", "--config", str(config), "--state-dir", str(state))
    with log.open("wb") as output:  # in a process group of its own, so that Ctrl-C in a terminal comes to us alone
        process = await asyncio.create_subprocess_exec(
            *command,
            "--ready-file",
            str(ready_file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        ready = await _ready(process, ready_file, log)
        downstream = ready["downstream"]
        yield Pair(int(downstream["port"]), Path(downstream["ca"]), state / "downstream" / "ledger.sqlite", process)
    finally:
        await _stop(process)


def configuration(origin: Origin, port: int, mode: str) -> str:
    """The pair's configuration: a name that resolves to this machine, an origin CA, and free ports."""
    targets = [f"{name}:{p}" for name in (origin.address, origin.host) for p in (origin.http_port, origin.https_port)]
    tables: dict[str, dict[str, object]] = {
        "upstream": {
            "listen_port": 0,
            "mode": mode,
            "encode_deadline_s": _ENCODE_DEADLINE_S,
            "allow_private_targets": targets,
            "hosts": [f"{origin.host}={origin.address}"],
            "origin_ca": str(origin.ca),
        },
        "downstream": {"listen_port": port, "reconstruct_deadline_s": _RECONSTRUCT_DEADLINE_S},
        "runtime": {"listen_port": 0},
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


async def _ready(process: asyncio.subprocess.Process, ready_file: Path, log: Path) -> Mapping[str, Mapping[str, Any]]:
    deadline = asyncio.get_running_loop().time() + START_LIMIT_S
    while asyncio.get_running_loop().time() < deadline:
        if process.returncode is not None:
            raise PairFailed(f"`sketchwire up` ended with status {process.returncode}:\n{_last_words(log)}")
        with contextlib.suppress(OSError, ValueError):  # not there yet
            told = json.loads(ready_file.read_text(encoding="utf-8"))
            if isinstance(told, dict) and told.get("downstream"):
                return told
        await asyncio.sleep(_POLL_S)
    raise PairFailed(f"the proxies were not ready within {START_LIMIT_S:.0f} s:\n{_last_words(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LAST_WORDS:]) or "(it said nothing)"
