"""Completes the ledger's rows: what crossed the wire, who asked, which domain; one row for every response.

In: rows that the other addons drafted while a flow's hook ran, and the flows themselves. Out: rows to `record`.
Refuses: to let a defect reach a flow. It must be the last addon but the drain, for the others' accounts close before.

A draft is what Accounts hands over while it has no flow at hand; a hook's addons run one after another in one task, so
a context variable carries it here. A response without a draft (a page, a script) gets its row here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from mitmproxy import connection, http

from addons import adapt
from addons.accounts import from_cache
from addons.exchange import KEY, DownstreamExchange, UpstreamExchange
from addons.link import BYTES as LINK_BYTES
from addons.link import ORIGIN as LINK_ORIGIN
from addons.sockets import LeftOver, SocketMeter
from proxy.ledger.registrable import registrable_domain
from proxy.ledger.row import Role, Row
from proxy.underway import Left

logger = logging.getLogger("sketchwire.ledger")

Record = Callable[[Row], None]
Who = Callable[[connection.Client, http.HTTPFlow | None], str]

_draft: ContextVar[Row | None] = ContextVar("sketchwire_draft", default=None)


def draft(row: Row) -> None:
    """Hand over a row of the flow whose hook is running; what `record` is for Upstream and Downstream."""
    _draft.set(row)


def address_of(client: connection.Client, flow: http.HTTPFlow | None = None) -> str:
    """Whose connection it is, by its address."""
    return f"address {client.peername[0] if client.peername else 'unknown'}"


@dataclass(frozen=True, slots=True)
class Naming:
    """How clients and hosts are named in the ledger; without `pseudonym` clients are not."""

    pseudonym: Callable[[str], str] | None = None
    who: Who = address_of
    domains: bool = False


class LedgerRows:
    """The addon of one role. `meter` counts the sockets to upstream, where there are any of its own."""

    def __init__(
        self, role: Role, record: Record, naming: Naming | None = None, meter: SocketMeter | None = None
    ) -> None:
        self._role = role
        self._record = record
        self._naming = naming or Naming()
        self._meter = meter
        if meter is not None:
            meter.left_over, meter.name = self._left_over, self._subscriber

    # hooks

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A request goes on, or was answered here at once."""
        exchange = flow.metadata.get(KEY)
        if self._meter is not None and isinstance(exchange, DownstreamExchange) and flow.response is None:
            self._meter.begin(flow, lambda: _progress(exchange))
        row = _draft.get()
        if row is not None:
            self._finish(flow, row)

    def response(self, flow: http.HTTPFlow) -> None:
        """A response is over."""
        self._close(flow, _draft.get() or self._plain(flow))

    def error(self, flow: http.HTTPFlow) -> None:
        """A flow ended early: what it moved until then was for nothing, but it was moved."""
        exchange = flow.metadata.get(KEY)
        row = _draft.get()
        if row is None and isinstance(exchange, DownstreamExchange):
            image = exchange.came is not None and exchange.came.headers.media_type().startswith("image/")
            row = Row(time_s=time.time(), role=self._role, decision="error", reason="aborted", image=image)
        self._close(flow, row)

    # what they do

    def _close(self, flow: http.HTTPFlow, row: Row | None) -> None:
        moved = self._meter.charge(flow) if self._meter is not None else None
        moved = flow.metadata.get(LINK_BYTES) or moved
        if row is None:
            if moved is not None and any(moved):
                row = Row(time_s=time.time(), role=self._role, decision="overhead", image=False)
            else:
                return
        if moved is not None:
            row = replace(row, link_bytes=sum(moved), link_up_bytes=moved[0])
        if row.decision == "passed" and flow.metadata.get(LINK_ORIGIN) is not None:
            row = replace(row, origin_bytes=flow.metadata[LINK_ORIGIN])
        self._finish(flow, row)

    def _finish(self, flow: http.HTTPFlow, row: Row) -> None:
        _draft.set(None)
        try:
            host = flow.request.pretty_host if self._naming.domains else ""
            named = replace(row, subscriber=self._subscriber(flow.client_conn, flow), domain=registrable_domain(host))
            self._record(named)
        except Exception:
            logger.exception("a response has no row")

    def _subscriber(self, client: connection.Client, flow: http.HTTPFlow | None) -> str:
        return self._naming.pseudonym(self._naming.who(client, flow)) if self._naming.pseudonym else ""

    def _plain(self, flow: http.HTTPFlow) -> Row | None:
        exchange = flow.metadata.get(KEY)
        if flow.response is None or exchange is None or flow.request.method == "CONNECT":
            return None
        try:
            row = _passed(exchange, flow, flow.response)
        except Exception:
            logger.exception("a response has no row")
            return None
        return row if row is None else replace(row, total_ms=(time.monotonic() - exchange.started_s) * 1000)

    def _left_over(self, rest: LeftOver) -> None:
        """Bytes of a client that belong to no response; without any response it was a tunnel."""
        try:
            row = Row(
                time_s=time.time(),
                role=self._role,
                decision="overhead" if rest.flows else "tunnelled",
                image=False,
                link_bytes=rest.up_bytes + rest.down_bytes,
                link_up_bytes=rest.up_bytes,
                origin_bytes=0 if rest.flows else rest.down_bytes,
                delivered_bytes=0 if rest.flows else rest.down_bytes,
                subscriber=self._subscriber(rest.client, None),
            )
            self._record(row)
        except Exception:
            logger.exception("bytes of a connection have no row")


def killed(role: Role, left: Iterable[Left]) -> Iterator[Row]:
    """Rows for what an earlier process, which was killed, had moved and not written down."""
    for each in left:
        yield Row(
            time_s=time.time(),
            role=role,
            decision="overhead",
            reason="killed",
            image=False,
            link_bytes=each.up_bytes + each.down_bytes,
            link_up_bytes=each.up_bytes,
            subscriber=each.subscriber,
        )


def _progress(exchange: DownstreamExchange) -> tuple[int, int]:
    return exchange.request_bytes, exchange.response_bytes + (exchange.tally.size_bytes if exchange.tally else 0)


def _passed(exchange: Any, flow: http.HTTPFlow, response: http.Response) -> Row | None:
    """The row of a response that is no image."""
    body_bytes = exchange.tally.size_bytes if exchange.tally else len(response.raw_content or b"")
    now_s = time.time()
    if isinstance(exchange, DownstreamExchange):
        if exchange.came is None:
            return None
        row = Row(
            time_s=now_s,
            role="downstream",
            decision="passed",
            image=False,
            content_type=exchange.came.headers.media_type(),
            origin_bytes=body_bytes,
            link_bytes=exchange.request_bytes + exchange.response_bytes + body_bytes,
            link_up_bytes=exchange.request_bytes,
            delivered_bytes=body_bytes,
            link_ms=(time.monotonic() - exchange.started_s) * 1000,
        )
        return from_cache(row, exchange.from_cache)
    if not isinstance(exchange, UpstreamExchange) or exchange.origin is None:
        return None
    stored = exchange.from_cache in ("hit", "stale")
    asked_s, came_s = None if stored else flow.request.timestamp_end, response.timestamp_end
    return Row(
        time_s=now_s,
        role="upstream",
        decision="passed",
        image=False,
        content_type=exchange.origin.headers.media_type(),
        origin_bytes=body_bytes,
        link_bytes=exchange.request_bytes + adapt.response_head_bytes(response) + body_bytes,
        link_up_bytes=exchange.request_bytes,
        delivered_bytes=body_bytes,
        origin_ms=(came_s - asked_s) * 1000 if asked_s and came_s else None,
        cache_hit=bool(exchange.from_cache),
    )
