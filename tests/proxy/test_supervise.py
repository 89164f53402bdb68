"""The supervisor, with small real processes: order, restarts, crash loops, graceful and forced stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.supervise import GaveUp, Limits, Ready, Role, Supervisor

FAST = Limits(ready_s=20, stop_s=5, backoff_s=0.01, longest_backoff_s=0.02, failures=3, steady_s=0.0)
LOOPING = Limits(ready_s=20, stop_s=5, backoff_s=0.01, longest_backoff_s=0.02, failures=3, steady_s=60)

# argv: ready file, port (0: any); serves until SIGTERM
SERVER = """
    import json, os, signal, socket, sys
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    def ready():
        facts = {"port": listener.getsockname()[1], "pid": os.getpid(), "ca": "/ca.pem"}
        with open(sys.argv[1] + ".new", "w") as file: json.dump(facts, file)
        os.replace(sys.argv[1] + ".new", sys.argv[1])
    print("hello from", os.getpid(), flush=True)
"""
UNTIL_TERM = "signal.sigwait({signal.SIGTERM}); print('bye', flush=True)"
BLOCK = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"


def python(body: str) -> Callable[[Mapping[str, Ready], Path], Sequence[str]]:
    def command(last: Mapping[str, Ready], ready_file: Path) -> Sequence[str]:
        name = ready_file.name.partition(".")[0]
        port = last[name].port if name in last else 0
        return [sys.executable, "-c", textwrap.dedent(SERVER) + textwrap.dedent(body), str(ready_file), str(port)]

    return command


def server(name: str, **options: Any) -> Role:
    return Role(name, python(BLOCK + "ready()\n" + UNTIL_TERM), **options)


class Harness:
    """A supervisor, what it said, and ways to wait for it."""

    def __init__(self, run_dir: Path, *roles: Role, limits: Limits = FAST) -> None:
        self.said: list[tuple[str, str]] = []
        self.lines: list[tuple[str, str]] = []
        self.states: list[dict[str, Ready]] = []
        self.stop, self.started = asyncio.Event(), asyncio.Event()
        self._change = asyncio.Condition()
        self._moved = asyncio.Event()
        self.supervisor = Supervisor(
            roles,
            run_dir,
            output=self._line,
            say=lambda *what: self.said.append(what),
            changed=self._changed,
            limits=limits,
        )
        self.task: asyncio.Task[None] | None = None

    def _line(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._moved.set()

    def _changed(self, ready: Mapping[str, Ready]) -> None:
        self.states.append(dict(ready))
        self._moved.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    async def run(self) -> None:
        await self.supervisor.run(self.stop, self.started.set)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Harness]:
        self.task = asyncio.create_task(self.run())
        waiting = asyncio.create_task(self.started.wait())
        await asyncio.wait({self.task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        try:
            yield self
        finally:
            self.stop.set()
            await self.task


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while alive(pid):
            await asyncio.sleep(0.02)


async def test_starts_in_order_tells_ready_and_stops_in_reverse(tmp_path: Path) -> None:
    harness = Harness(tmp_path, server("a"), server("b"), server("c"))
    async with harness.running():
        ready = harness.supervisor.ready
        assert list(ready) == ["a", "b", "c"] and ready["a"].ca == "/ca.pem"
        assert [len(state) for state in harness.states] == [1, 2, 3]
        _, writer = await asyncio.open_connection("127.0.0.1", ready["b"].port)
        writer.close()
    assert [name for name, line in harness.lines if line == "bye"] == ["c", "b", "a"]
    assert not any(alive(part.pid) for part in ready.values())
    assert harness.supervisor.ready == {} and list(tmp_path.iterdir()) == []


async def test_a_role_knows_what_the_earlier_ones_told(tmp_path: Path) -> None:
    seen: dict[str, Ready] = {}

    def second(last: Mapping[str, Ready], ready_file: Path) -> Sequence[str]:
        seen.update(last)
        return python(BLOCK + "ready()\n" + UNTIL_TERM)(last, ready_file)

    async with Harness(tmp_path, server("a"), Role("b", second)).running() as harness:
        assert seen == {"a": harness.supervisor.ready["a"]}


async def test_a_dead_process_is_started_again_on_its_port(tmp_path: Path) -> None:
    harness = Harness(tmp_path, server("a"), server("b"))
    async with harness.running():
        before = harness.supervisor.ready["a"]
        os.kill(before.pid, signal.SIGKILL)
        await harness.until(lambda: "a" in (now := harness.supervisor.ready) and now["a"].pid != before.pid)
        assert harness.supervisor.ready["a"].port == before.port
        assert [sorted(state) for state in harness.states[2:]] == [["b"], ["a", "b"]]
    assert ("a", "ended with signal SIGKILL; starting it again in 0.01 s") in harness.said


async def test_an_essential_crash_loop_is_given_up_and_stops_the_rest(tmp_path: Path) -> None:
    role = Role("b", python("print('no such model'); sys.exit(7)"))
    harness = Harness(tmp_path, server("a"), role, limits=LOOPING)
    with pytest.raises(GaveUp, match=r"b failed 3 times in a row.*exit code 7 before it was ready.*no such model"):
        await harness.run()
    assert ("a", "bye") in harness.lines and not harness.started.is_set()


async def test_a_crash_loop_after_being_ready_is_given_up_too(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Role("a", python("ready(); listener.accept(); sys.exit(1)")), limits=LOOPING)
    with pytest.raises(GaveUp, match="3 times"):
        await harness.run()
    assert sum(line.startswith("hello") for _, line in harness.lines) == 3


async def test_a_role_that_was_ready_for_long_may_fail_again_and_again(tmp_path: Path) -> None:
    harness = Harness(tmp_path, server("a"), limits=FAST)  # steady_s = 0: any time is long enough
    async with harness.running():
        for _ in range(4):
            before = harness.supervisor.ready["a"].pid
            os.kill(before, signal.SIGKILL)
            await harness.until(lambda: harness.supervisor.ready.get("a", Ready(0, before)).pid != before)  # noqa: B023


async def test_an_inessential_role_is_given_up_alone(tmp_path: Path) -> None:
    broken = Role("a", python("sys.exit(1)"), essential=False)
    async with Harness(tmp_path, broken, server("b"), limits=LOOPING).running() as harness:
        assert list(harness.supervisor.ready) == ["b"]
        assert any(name == "a" and "go on without it" in message for name, message in harness.said)


async def test_a_usage_error_is_not_tried_again(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Role("a", python("print('unknown key'); sys.exit(2)")), limits=LOOPING)
    with pytest.raises(GaveUp, match=r"a failed and is given up.*exit code 2.*unknown key"):
        await harness.run()
    assert len(harness.lines) == 2


async def test_a_missing_program_is_said(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Role("a", lambda last, file: ["/no/such/program"]))
    with pytest.raises(GaveUp, match="cannot be started"):
        await harness.run()


async def test_never_ready_is_limited(tmp_path: Path) -> None:
    limits = Limits(ready_s=0.5, backoff_s=0.01, failures=2)
    harness = Harness(tmp_path, Role("a", python("signal.pause()")), limits=limits)
    with pytest.raises(GaveUp, match=r"was not ready after 0\.5 s"):
        await harness.run()
    for _, line in harness.lines:
        await gone(int(line.split()[-1]))


async def test_a_ready_file_without_a_listener_is_not_believed(tmp_path: Path) -> None:
    limits = Limits(ready_s=0.7, backoff_s=0.01, failures=1)
    harness = Harness(tmp_path, Role("a", python("ready(); listener.close(); signal.pause()")), limits=limits)
    with pytest.raises(GaveUp, match="was not ready"):
        await harness.run()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": "x"}', '{"port": null}', '{"no": 1}'])
async def test_a_strange_ready_file_is_not_believed(tmp_path: Path, content: str) -> None:
    limits = Limits(ready_s=0.5, failures=1)
    body = f"open(sys.argv[1], 'w').write({content!r}); signal.pause()"
    with pytest.raises(GaveUp, match="was not ready"):
        await Harness(tmp_path, Role("a", python(body)), limits=limits).run()


async def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    body = """
        import subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        print("child", child.pid, flush=True)
        ready()
        while True: signal.pause()
    """
    harness = Harness(tmp_path, Role("a", python(body)), limits=Limits(stop_s=0.3))
    async with harness.running():
        [child] = [int(line.split()[1]) for _, line in harness.lines if line.startswith("child")]
    assert any("was killed" in message for _, message in harness.said)
    await gone(child)


async def test_stopping_while_starting_leaves_nothing(tmp_path: Path) -> None:
    harness = Harness(tmp_path, server("a"), Role("b", python("signal.pause()")))
    task = asyncio.create_task(harness.run())
    await harness.until(lambda: len([1 for name, _ in harness.lines if name == "b"]) == 1)
    harness.stop.set()
    await asyncio.wait_for(task, 10)
    for _, line in harness.lines:
        if line.startswith("hello"):
            assert not alive(int(line.split()[-1]))


async def test_long_and_broken_lines_pass(tmp_path: Path) -> None:
    body = BLOCK + "os.write(1, b'x' * 50_000 + bytes([10, 255, 254, 10]) + b'no end')\nready()\nsignal.sigwait([15])"
    async with Harness(tmp_path, Role("a", python(body))).running() as harness:
        pass
    text = "".join(line for _, line in harness.lines[1:])
    assert text == "x" * 50_000 + "\ufffd\ufffd" + "no end"


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "supervise_one.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from pathlib import Path
            from proxy.supervise import Role, Supervisor
            SERVER = sys.argv[2]
            def command(last, ready_file):
                return [sys.executable, "-c", SERVER, str(ready_file), "0"]
            async def main():
                supervisor = Supervisor([Role("a", command)], Path(sys.argv[1]), output=print, say=print)
                await supervisor.run(asyncio.Event(), lambda: print("pid", supervisor.ready["a"].pid, flush=True))
            asyncio.run(main())
            """
        )
    )
    body = textwrap.dedent(SERVER) + BLOCK + "ready()\n" + UNTIL_TERM
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), body],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        pid = int(next(line for line in process.stdout if line.startswith("pid")).split()[1])
        process.kill()
    asyncio.run(gone(pid))
