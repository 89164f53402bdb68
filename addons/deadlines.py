"""Ends the wait for servers that don't answer: who cannot be reached, and who is silent once reached.

In: connections that are made, requests under way. Out: flows that fail in time, with a 504 page. Refuses: to end what
is merely slow; one byte from the server starts the time anew.

mitmproxy waits as long as the system does (minutes) for a connection, and ten minutes for an answer, and gives addons
no say in it. So `install` puts a time limit on the event loop's connections that follow this addon's `server_connect`,
which runs a moment earlier in the same task, and watches their bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import connection, http, tls
from mitmproxy.proxy import server_hooks

from addons import errorpage

logger = logging.getLogger("sketchwire.deadlines")


class Watch:
    """One connection to a server: when it last said something, and a way to end it."""

    def __init__(self, connect_s: float) -> None:
        self.connect_s = connect_s
        self.heard_s = time.monotonic()
        self._transport: asyncio.BaseTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, transport: asyncio.BaseTransport, protocol: Any) -> None:
        """Watch a connection that was just made."""
        self._transport, self.heard_s = transport, time.monotonic()
        deliver = protocol.data_received

        def heard(data: bytes) -> None:
            self.heard_s = time.monotonic()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            deliver(data)

        protocol.data_received = heard

    def expect(self, within_s: float, late: Callable[[], None]) -> None:
        """Call `late` and end the connection unless a byte comes in time."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(within_s, self._end, late)

    def end(self) -> None:
        """End the connection."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    def _end(self, late: Callable[[], None]) -> None:
        self._timer = None
        late()
        self.end()


_current: ContextVar[Watch | None] = ContextVar("sketchwire_watch", default=None)


class Deadlines:
    """The addon; both limits in seconds."""

    def __init__(self, connect_s: float, answer_s: float) -> None:
        self.connect_s = connect_s  # both may be changed while flows pass
        self.answer_s = answer_s
        self._watches: WeakKeyDictionary[connection.Client, list[Watch]] = WeakKeyDictionary()
        self._by_server: WeakKeyDictionary[connection.Server, Watch] = WeakKeyDictionary()
        self._late: WeakKeyDictionary[connection.Client, str] = WeakKeyDictionary()
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def running(self) -> None:
        """Teach this event loop to give up."""
        install(asyncio.get_running_loop())

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """A connection is about to be made, in this task."""
        if data.server.error:
            return
        watch = Watch(self.connect_s)
        self._by_server[data.server] = watch
        self._watches.setdefault(data.client, []).append(watch)
        _current.set(watch)

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """A connection ended."""
        watch, watches = self._by_server.pop(data.server, None), self._watches.get(data.client, [])
        if watch in watches:
            watches.remove(watch)

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """A connection was not made."""
        self.server_disconnected(data)
        if "no connection within" in (data.server.error or ""):
            self._late[data.client] = data.server.error or ""

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """A CONNECT goes to the next proxy, which answers at once or is not there."""
        self._expect(flow.client_conn, flow.server_conn)

    def tls_start_server(self, data: tls.TlsData) -> None:
        """A TLS handshake begins, where the server has to speak soon."""
        if isinstance(data.conn, connection.Server):
            self._expect(data.context.client, data.conn)

    def request(self, flow: http.HTTPFlow) -> None:
        """A whole request is on its way: its answer is awaited."""
        if flow.response is None:
            self._await(flow, time.monotonic())

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """An answer began."""
        self._forget(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """A flow failed; if we gave it up, its page says so."""
        self._forget(flow)
        why = self._late.pop(flow.client_conn, None)
        if why is not None:
            errorpage.gave_up(why)

    def _expect(self, client: connection.Client, server: connection.Server) -> None:
        watch = self._by_server.get(server)
        if watch is not None:
            watch.expect(self.connect_s, lambda: self._gave_up(client, f"no answer within {self.connect_s:g} s"))

    def _await(self, flow: http.HTTPFlow, since_s: float) -> None:
        wait_s = max(since_s + self.answer_s - time.monotonic(), 0.01)
        timer = asyncio.get_running_loop().call_later(wait_s, self._look, flow, since_s)
        self._waiting[flow.id] = timer

    def _look(self, flow: http.HTTPFlow, since_s: float) -> None:
        """The time for an answer is over: end the client's connections to servers, unless one of them is alive."""
        self._waiting.pop(flow.id, None)
        watches = self._watches.get(flow.client_conn, [])
        heard_s = max((watch.heard_s for watch in watches), default=since_s)
        if heard_s > since_s and time.monotonic() - heard_s < self.answer_s:
            self._await(flow, heard_s)
            return
        self._gave_up(flow.client_conn, f"no answer within {self.answer_s:g} s")
        for watch in watches:
            watch.end()

    def _gave_up(self, client: connection.Client, why: str) -> None:
        logger.info("a server is given up: %s", why)
        self._late[client] = why

    def _forget(self, flow: http.HTTPFlow) -> None:
        timer = self._waiting.pop(flow.id, None)
        if timer is not None:
            timer.cancel()


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop.create_connection` keep to the limit of the task that asks; tasks without one wait as ever."""
    if getattr(loop.create_connection, "sketchwire_limited", False):
        return
    original = loop.create_connection

    async def limited(factory: Any, *arguments: Any, **options: Any) -> Any:
        watch = _current.get()
        if watch is None:
            return await original(factory, *arguments, **options)
        _current.set(None)
        try:
            async with asyncio.timeout(watch.connect_s):
                transport, protocol = await original(factory, *arguments, **options)
        except TimeoutError as error:
            raise TimeoutError(f"no connection within {watch.connect_s:g} s") from error
        watch.attach(transport, protocol)
        return transport, protocol

    limited.sketchwire_limited = True  # type: ignore[attr-defined]
    loop.create_connection = limited  # type: ignore[method-assign, assignment]
