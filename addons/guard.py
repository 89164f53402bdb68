"""Keeps clients of the upstream proxy out of its own network: every connection to an origin is judged, then pinned.

In: mitmproxy's connection hooks. Out: connections to exactly the addresses that were judged. Refuses: with 403 what is
forbidden by its name or port alone, with 502 what turns out to be private once it is resolved.

A name may resolve to a public address when it is judged and to a private one when it is connected to (DNS rebinding).
So the name is resolved once, in `server_connect`; the verdict travels in a context variable to the event loop's
`getaddrinfo`, which mitmproxy calls a moment later in the same task, and which then answers from it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import server_hooks

from addons.adapt import refuse
from proxy.targets import Refused, Targets

logger = logging.getLogger("sketchwire.guard")

RESOLVE_TIMEOUT_S = 10.0
ADVICE = "If this address is meant to be reached, add it to allow_private_targets in the upstream configuration."

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class _Pin:
    host: str
    port: int
    addresses: tuple[str, ...]


_pin: ContextVar[_Pin | None] = ContextVar("sketchwire_pin", default=None)


class TargetGuard:
    """Judges targets early (request, CONNECT) by name and port, and for good when a connection is about to be made."""

    def __init__(self, targets: Targets, resolve: Resolve | None = None) -> None:
        self.targets = targets  # may be replaced while flows pass
        self._resolve = resolve or resolve_with_dns

    def running(self) -> None:
        """Teach this event loop to connect to judged addresses only."""
        install(asyncio.get_running_loop())

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Refuse a request whose target is forbidden by its name or port."""
        self._judge_early(flow)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """The same for a tunnel."""
        self._judge_early(flow)

    def _judge_early(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None:
            return
        try:
            refused = self._early_verdict(flow.request.host, flow.request.port)
        except Exception:
            logger.exception("a target could not be judged and is refused")
            refused = Refused("the address could not be judged")
        if refused is not None:
            refuse(flow, 403, f"Sketchwire does not connect there: {refused.why}.", ADVICE)

    def _early_verdict(self, host: str, port: int) -> Refused | None:
        known = self.targets.known_address(host)
        if known is None:
            return self.targets.judge_port(host, port)
        verdict = self.targets.judge(host, port, (known,))
        return verdict if isinstance(verdict, Refused) else None

    async def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Resolve, judge and pin the address of a connection that is about to be made."""
        try:
            refused = await self._pin_address(data)
        except Exception:
            logger.exception("a target could not be judged and is refused")
            refused = Refused("the address could not be judged")
        if refused is not None:
            data.server.error = f"Sketchwire does not connect there: {refused.why}."

    async def _pin_address(self, data: server_hooks.ServerConnectionHookData) -> Refused | None:
        if data.server.address is None or data.server.transport_protocol != "tcp":
            return Refused("only TCP connections are made")
        host, port = str(data.server.address[0]), int(data.server.address[1])
        known = self.targets.known_address(host)
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                resolved = [known] if known is not None else await self._resolve(host, port)
        except (OSError, UnicodeError, TimeoutError):
            return Refused("the name cannot be resolved")
        verdict = self.targets.judge(host, port, resolved)
        if isinstance(verdict, Refused):
            return verdict
        _pin.set(_Pin(host, port, verdict))
        return None


_resolving = ThreadPoolExecutor(max_workers=32, thread_name_prefix="resolve")  # a slow name delays no picture


async def resolve_with_dns(host: str, port: int) -> list[str]:
    """The addresses of a name, from the system's resolver, in a thread. Raises OSError."""
    loop = asyncio.get_running_loop()
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(_resolving, ask)
    return [str(entry[4][0]) for entry in found]


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop.getaddrinfo` answer from the pin of the task that asks; tasks without one resolve as ever."""
    if getattr(loop.getaddrinfo, "sketchwire_pinned", False):
        return
    original = loop.getaddrinfo

    async def pinned(host: Any, port: Any, **options: Any) -> Any:
        pin = _pin.get()
        if pin is None or (host, port) != (pin.host, pin.port):
            return await original(host, port, **options)
        return [entry for address in pin.addresses for entry in await original(address, port, **options)]

    pinned.sketchwire_pinned = True  # type: ignore[attr-defined]
    loop.getaddrinfo = pinned  # type: ignore[method-assign]
