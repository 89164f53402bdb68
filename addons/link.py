"""Joins the proxies to the link: downstream's requests go to its near end, decrypted ones included.

In: flows of a proxy in upstream mode whose upstream is the near end. Out: the same flows, as plain HTTP/1.1 to the near
end, with their real target in a field. Refuses: connections to anywhere but the near end.

mitmproxy would open a tunnel, and TLS in it, for each https site. Here a request's connection is replaced before it is
made: plain HTTP to the near end, which sends the request over the link as https. WebSockets, and whatever is not
intercepted, stay as they are: mitmproxy asks the near end for a tunnel.
"""

from __future__ import annotations

import itertools
import logging
import sys
from typing import Any

from mitmproxy import connection, ctx, http
from mitmproxy.proxy import server_hooks

from addons.access import PairedOnly, cut
from addons.exchange import KEY
from proxy.link.far import FarEnd, FarSettings
from proxy.link.near import HOST, NearEnd
from proxy.link.peers import PeersUnreadable
from proxy.ports import reachable_host

logger = logging.getLogger("sketchwire.link")

TO = "Sketchwire-Link-To"
BYTES = "sketchwire_link_bytes"  # of a flow's metadata, once it is over: (up, down) as they were on the wire
ORIGIN = "sketchwire_link_origin_bytes"  # of a body that crossed as recoded text: what the site sent
_REAL = "sketchwire_link_target"
_WEIGHED = "Sketchwire-Link-Bytes"


class LinkRoute:
    """Routes requests; the last of all addons, for the others look at a request's address."""

    def __init__(self, near: NearEnd) -> None:
        self._near = near
        self._ports = itertools.cycle(near.ports)

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Fail any connection but those to the near end."""
        address = data.server.address
        if address is None or address[0] != HOST or address[1] not in self._near.ports:
            data.server.error = "Downstream only connects to its upstream proxy."

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Route a request; one that cannot be is not sent at all."""
        if flow.response is not None or is_websocket(flow):
            return
        try:
            self._route(flow)
        except Exception:
            logger.exception("defect in the link's addon; the request is not sent")
            cut(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """What the exchange weighed on the wire, now that it is over."""
        self._weigh(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """What it weighed until it broke off."""
        self._weigh(flow)

    def _weigh(self, flow: http.HTTPFlow) -> None:
        number = flow.metadata.get(_WEIGHED)
        tally = self._near.tally(number) if number else None
        if tally is not None:
            flow.metadata[BYTES] = (tally.up_bytes, tally.down_bytes)
            flow.metadata[ORIGIN] = tally.origin_bytes

    def _route(self, flow: http.HTTPFlow) -> None:
        request, exchange = flow.request, flow.metadata.get(KEY)
        client = getattr(exchange, "client", "")
        host = f"[{request.host}]" if ":" in request.host else request.host
        request.headers[TO] = f"{request.scheme}://{host}:{request.port}" + (f";c={client}" if client else "")
        flow.metadata[_REAL] = (request.data.host, request.data.port, request.data.scheme)
        # an HTTP/1.1 browser connection has one request at a time and keeps its one connection to the near end
        multiplexed = request.is_http2 or request.is_http3
        port = next(self._ports) if multiplexed else self._near.ports[0]
        request.data.host, request.data.port, request.data.scheme = HOST, port, b"http"
        flow.server_conn = connection.Server(address=(HOST, port))


class LinkListener:
    """The far end of the link, beside the upstream proxy; `paired` knows the token that this proxy asks for."""

    def __init__(self, settings: FarSettings, paired: PairedOnly) -> None:
        self.far = FarEnd(settings, lambda: paired.tokens.header if paired.tokens else None)

    async def running(self) -> None:
        """Listen; the proxy itself does already."""
        server: Any = ctx.master.addons
        address = server.get("proxyserver").listen_addrs()[0]
        try:
            await self.far.start(reachable_host(str(address[0])), int(address[1]))
        except (OSError, PeersUnreadable) as error:
            logger.error("the link cannot listen: %s", error)
            sys.exit(1)
        logger.info("the link listens on port %d", self.far.port)

    def told(self) -> dict[str, Any]:
        """For the ready file."""
        return {"link_port": self.far.port}

    async def done(self) -> None:
        """Say goodbye."""
        await self.far.stop()


class LinkReturn:
    """Gives a flow its own address back when its answer comes; the first of all addons, so that none sees another."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """An answer."""
        _restore(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Or none."""
        _restore(flow)


def is_websocket(flow: http.HTTPFlow) -> bool:
    """Whether a request asks for a WebSocket, which crosses the link as a tunnel."""
    return str(flow.request.headers.get("upgrade", "")).lower() == "websocket"


def _restore(flow: http.HTTPFlow) -> None:
    real = flow.metadata.pop(_REAL, None)
    if real is None:
        return
    flow.request.data.host, flow.request.data.port, flow.request.data.scheme = real
    flow.request.headers.pop(TO, None)
    weighed = flow.response.headers.get(_WEIGHED, "") if flow.response is not None else ""
    flow.metadata[_WEIGHED] = weighed.rpartition(";id=")[2]
