"""Leaves TLS connections alone that nobody should look into, or that a client lets nobody look into.

In: ClientHellos, handshakes that worked and that did not. Out: connections that pass untouched, at both ends of the
link. Refuses: to leave alone the proxy's own name, which tests whether its certificate is trusted.

Downstream decides, and tells upstream in the CONNECT; otherwise upstream would open what downstream left closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

from mitmproxy import connection, http, tls
from mitmproxy.proxy import context

from proxy.onboarding.place import is_reserved
from proxy.statefile import read_object, write_object
from proxy.tunnel.hosts import BypassList
from proxy.tunnel.refusals import Refusals

logger = logging.getLogger("sketchwire.bypass")

TUNNEL = "Sketchwire-Tunnel"
# how OpenSSL names the alerts with which clients refuse a certificate (RFC 8446, 6.2)
_ALERTS = ("alert unknown ca", "alert bad certificate", "alert certificate unknown")


class Bypass:
    """At the downstream proxy. `is_off` tells whether a client switched everything off."""

    def __init__(
        self,
        hosts: BypassList,
        refusals: Refusals,
        file: Path | None = None,
        client_of: Callable[[connection.Client], str] = lambda client: str(client.peername),
        is_off: Callable[[str], bool] = lambda client: False,
    ) -> None:
        self.hosts = hosts  # may be replaced while flows pass
        self._refusals = refusals
        self._file = file
        self._client_of = client_of
        self._is_off = is_off
        self._left_alone: WeakSet[connection.Client] = WeakSet()
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        if file is not None:
            refusals.load(read_object(file), time.time())

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Decide about a connection before anything is answered; in doubt it is left alone."""
        try:
            leave = self._leaves(data.context, data.client_hello.sni)
        except Exception:
            logger.exception("a connection could not be judged and is left alone")
            leave = True
        if leave:
            data.ignore_connection = True
            self._left_alone.add(data.context.client)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """Tell upstream to leave a connection alone, too."""
        if flow.client_conn in self._left_alone:
            flow.request.headers[TUNNEL] = "1"

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """Learn from a client that refused our certificate."""
        problem = (data.conn.error or "").lower()
        host = _host(data.context, data.conn.sni)
        if host is None or is_reserved(host) or not any(alert in problem for alert in _ALERTS):
            return
        if self._refusals.refused(self._client_of(data.context.client), host, time.time()):
            logger.info("a client refuses our certificate for a host; that host is left alone for it now")
            self._save()

    def tls_established_client(self, data: tls.TlsData) -> None:
        """Learn from a client that trusts our certificate."""
        host = _host(data.context, data.conn.sni)
        if host is not None and self._refusals.accepted(self._client_of(data.context.client), host):
            logger.info("a client trusts our certificate now; hosts that were left alone for it get another chance")

    async def done(self) -> None:
        """Finish what is being written."""
        if self._saving is not None:
            await self._saving

    def _leaves(self, where: context.Context, sni: str | None) -> bool:
        address = where.server.address
        names = {name for name in (sni, address[0] if address else None) if name}
        if any(is_reserved(name) for name in names):
            return False
        client, now_s = self._client_of(where.client), time.time()
        if self._is_off(client) or any(self.hosts.group(name) is not None for name in names):
            return True
        return any(self._refusals.left_alone(client, name, now_s) for name in names)

    def _save(self) -> None:
        self._unsaved = True
        if self._file is not None and (self._saving is None or self._saving.done()):
            self._saving = asyncio.get_running_loop().create_task(self._write(self._file))

    async def _write(self, file: Path) -> None:
        while self._unsaved:
            self._unsaved = False
            try:
                await asyncio.to_thread(write_object, file, self._refusals.saved(time.time()))
            except OSError as error:
                logger.warning("what clients refuse cannot be kept (%s); it holds until a restart", error.strerror)


class TunnelAsTold:
    """At the upstream proxy: leaves alone what downstream says, which only reaches this addon if it may."""

    def __init__(self) -> None:
        self._left_alone: WeakSet[connection.Client] = WeakSet()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Read the CONNECT of a tunnel."""
        if flow.response is None and flow.request.headers.get(TUNNEL) == "1":
            self._left_alone.add(flow.client_conn)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Leave the connection inside alone."""
        if data.context.client in self._left_alone:
            data.ignore_connection = True


def _host(where: context.Context, sni: str | None) -> str | None:
    return sni or (where.server.address[0] if where.server.address else None)
