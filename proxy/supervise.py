"""Keeps a few processes running that need each other.

In: roles, in the order they start; each says its command when it is to start, knowing where the earlier ones listen.
Out: running processes, restarted when they die, and their output line by line. Refuses: to restart for ever; a role
that keeps failing is given up, and with an essential one everything is stopped (`GaveUp`).

A role is ready when its ready file, a JSON object with at least `port`, exists and the port accepts a connection.
Processes stop in reverse order: SIGTERM, and SIGKILL to the whole group after a limit. They also get SIGTERM should
this process vanish.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proxy.ports import reachable_host

USAGE_EXIT = 2
POLL_S = 0.05
LINE_BYTES = 8_192
LAST_WORDS_S = 1.0
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class GaveUp(Exception):
    """An essential role cannot be kept running; the message says which, and its last words."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a role told in its ready file."""

    port: int
    pid: int
    host: str = "127.0.0.1"
    ca: str | None = None
    engine: str | None = None
    link_port: int | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """A process to keep running.

    `command(last, ready_file)` returns its command line; `last` has what each role, this one included, told when it was
    last ready. When a role that is not essential is given up, the others go on.
    """

    name: str
    command: Callable[[Mapping[str, Ready], Path], Sequence[str]]
    essential: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient to be.

    A role is given up after `failures` in a row without `steady_s` of being ready in between.
    """

    ready_s: float = 120.0
    stop_s: float = 15.0
    backoff_s: float = 0.5
    longest_backoff_s: float = 30.0
    failures: int = 5
    steady_s: float = 30.0


@dataclass(slots=True)
class _Running:
    """A role's process, and its task."""

    role: Role
    ready_file: Path
    up: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    pump: asyncio.Task[None] | None = None
    task: asyncio.Task[None] | None = None
    last_words: deque[str] = field(default_factory=lambda: deque(maxlen=3))


class _Failed(Exception):
    """One start or run of a role went wrong; `final` when another try cannot help."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Supervisor:
    """Starts the roles and keeps them running until told to stop.

    `output(role, line)` gets what the processes print, `say(role, message)` what happens to them, and `changed(ready)`
    the roles that are ready, whenever that changes.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        run_dir: Path,
        *,
        output: Callable[[str, str], None],
        say: Callable[[str, str], None],
        changed: Callable[[Mapping[str, Ready]], None] = lambda ready: None,
        limits: Limits = Limits(),
    ) -> None:
        self._limits = limits
        self._output, self._say, self._changed = output, say, changed
        self._parts = [_Running(role, run_dir / f"{role.name}.ready.json") for role in roles]
        self._last: dict[str, Ready] = {}

    @property
    def ready(self) -> dict[str, Ready]:
        """The roles that are ready now."""
        return {part.role.name: self._last[part.role.name] for part in self._parts if part.up.is_set()}

    @property
    def last(self) -> dict[str, Ready]:
        """What each role told when it was last ready."""
        return dict(self._last)

    async def run(self, stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Start all, call `started` when all is ready, return when `stop` is set and all is stopped. Raises GaveUp."""
        stopping = asyncio.create_task(stop.wait())
        try:
            for part in self._parts:
                part.task = asyncio.create_task(self._keep(part))
                up = asyncio.create_task(part.up.wait())
                await asyncio.wait({up, *self._watched(), stopping, part.task}, return_when=asyncio.FIRST_COMPLETED)
                up.cancel()
                self._raise_given_up()
                if stop.is_set():
                    return
            started()
            await asyncio.wait({*self._watched(), stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._raise_given_up()
        finally:
            stopping.cancel()
            for part in reversed(self._parts):
                await self._stop(part)

    def hang_up(self, names: Collection[str]) -> None:
        """Send SIGHUP to those of the roles that are ready."""
        for part in self._parts:
            if part.role.name in names and part.up.is_set() and part.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    part.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End every process at once."""
        for part in self._parts:
            _signal_group(part.process, signal.SIGKILL)

    def _watched(self) -> set[asyncio.Task[None]]:
        return {part.task for part in self._parts if part.task is not None and part.role.essential}

    def _raise_given_up(self) -> None:
        for task in self._watched():
            if task.done():
                task.result()

    async def _keep(self, part: _Running) -> None:
        """Run a role again and again. Returns when one that is not essential is given up; else raises GaveUp."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            ready_at = None
            try:
                await self._start(part)
                ready_at = loop.time()
                assert part.process is not None
                raise _Failed(f"ended with {_ending(await part.process.wait())}")
            except _Failed as error:
                failure = error
            await self._finish(part)
            steady = ready_at is not None and loop.time() - ready_at >= self._limits.steady_s
            failures = 1 if steady else failures + 1
            if failure.final or failures >= self._limits.failures:
                return self._give_up(part, failure, failures)
            pause_s = min(self._limits.backoff_s * 2 ** (failures - 1), self._limits.longest_backoff_s)
            self._say(part.role.name, f"{failure}; starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)

    def _give_up(self, part: _Running, failure: _Failed, failures: int) -> None:
        times = f"failed {failures} times in a row" if failures > 1 else "failed"
        words = f"; it said: {' / '.join(part.last_words)}" if part.last_words else ""
        message = f"{part.role.name} {times} and is given up: {failure}{words}"
        if part.role.essential:
            raise GaveUp(message)
        self._say(part.role.name, f"{message}; the others go on without it")

    async def _start(self, part: _Running) -> None:
        """Start the process and wait until it is ready. Raises _Failed."""
        part.ready_file.unlink(missing_ok=True)
        part.last_words.clear()
        part.process = part.pump = None
        try:
            command = part.role.command(dict(self._last), part.ready_file)
            part.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # the terminal's Ctrl-C is for us; we stop them in order
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as error:
            raise _Failed(f"cannot be started: {error}", final=True) from error
        part.pump = asyncio.create_task(self._pump(part, part.process))
        ended = asyncio.create_task(part.process.wait())
        waiting = asyncio.create_task(_wait_ready(part.ready_file, part.process.pid))
        try:
            async with asyncio.timeout(self._limits.ready_s):
                await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise _Failed(f"was not ready after {self._limits.ready_s:g} s") from None
        finally:
            waiting.cancel()
        if not (waiting.done() and not waiting.cancelled()):
            await asyncio.wait({part.pump}, timeout=LAST_WORDS_S)
            code = ended.result()
            raise _Failed(f"ended with {_ending(code)} before it was ready", final=code == USAGE_EXIT)
        ended.cancel()
        self._last[part.role.name] = waiting.result()
        part.up.set()
        self._changed(self.ready)

    async def _finish(self, part: _Running) -> None:
        """A role is down: end what is left of its process group, and tell."""
        _signal_group(part.process, signal.SIGKILL)
        if part.process is not None:
            await part.process.wait()
        if part.pump is not None:
            await asyncio.wait({part.pump}, timeout=LAST_WORDS_S)
        part.ready_file.unlink(missing_ok=True)
        if part.up.is_set():
            part.up.clear()
            self._changed(self.ready)

    async def _stop(self, part: _Running) -> None:
        if part.task is not None:
            part.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # `run` has told
                await part.task
        if part.process is not None and part.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                part.process.terminate()
            try:
                async with asyncio.timeout(self._limits.stop_s):
                    await part.process.wait()
            except TimeoutError:
                self._say(part.role.name, f"did not stop within {self._limits.stop_s:g} s and was killed")
        await self._finish(part)

    async def _pump(self, part: _Running, process: asyncio.subprocess.Process) -> None:
        """Pass the process's output on, line by line; a very long line comes in pieces."""
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._line(part, line)
        if rest:
            self._line(part, rest)

    def _line(self, part: _Running, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            part.last_words.append(text[:300])
            self._output(part.role.name, text)


async def _wait_ready(file: Path, pid: int) -> Ready:
    """Wait for the ready file, then for its port to accept a connection."""
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(file.read_text(encoding="utf-8"))
            ready = Ready(
                port=int(told["port"]),
                pid=int(told.get("pid", pid)),
                host=told.get("host") or "127.0.0.1",
                ca=told.get("ca"),
                engine=told.get("engine"),
                link_port=told.get("link_port"),
            )
            _, writer = await asyncio.open_connection(reachable_host(ready.host), ready.port)
            writer.close()
            return ready
        await asyncio.sleep(POLL_S)


def _signal_group(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)  # its session has the same number, see start_new_session


def _die_with(parent_pid: int) -> Callable[[], None] | None:
    """What a child does before it starts: ask Linux for SIGTERM when its parent ends, however that happens."""
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent_pid:  # the parent ended in between
            os._exit(1)

    return prepare


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
