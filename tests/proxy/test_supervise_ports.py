"""Who listens where: with real sockets of this process and of another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from proxy import ports

LISTEN = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_a_free_port_is_bindable_and_a_taken_one_names_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        problem = ports.why_not_bindable("127.0.0.1", port)
        assert problem is not None and f"process {os.getpid()} (" in problem
        assert ports.connectable("127.0.0.1", port) and ports.connectable("0.0.0.0", port)
    assert ports.why_not_bindable("127.0.0.1", port) is None
    assert ports.holder(port) is None and not ports.connectable("127.0.0.1", port)


def test_port_0_and_foreign_addresses() -> None:
    assert ports.why_not_bindable("127.0.0.1", 0) is None
    assert ports.why_not_bindable("203.0.113.9", 0)  # reserved for documentation: nobody's address
    assert ports.why_not_bindable("no-such-host.invalid", 1)


@pytest.mark.parametrize(("words", "ours"), [(["proxy", "upstream"], True), (["something", "else"], False)])
def test_another_process_is_recognised_as_ours(words: list[str], ours: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        holder = ports.holder(int(process.stdout.readline()))
        assert holder is not None and holder.pid == process.pid and holder.ours is ours
        process.kill()


def test_urls() -> None:
    assert ports.url("0.0.0.0", 81) == "http://127.0.0.1:81"
    assert ports.url("::", 81) == "http://[::1]:81"
    assert ports.url("192.0.2.1", 81) == "http://192.0.2.1:81"
