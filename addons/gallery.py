"""Keeps small pictures, before and after, for the report's examples; only where the operator asked for them.

In: flows of the upstream proxy whose images were made smaller, and their ledger rows. Out: pairs on a `Shelf`. Refuses:
pictures that may be one person's own (asked for with a cookie or credentials, or answered as private, not to be stored
or with a cookie), and to delay or fail a flow: pairs are made one at a time, afterwards.

`record` stands between Upstream and `ledgerrows.draft`; the addon comes after Upstream and before LedgerRows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar

from mitmproxy import connection, http

from addons.accounts import Record
from addons.exchange import KEY, UpstreamExchange
from proxy import bare
from proxy.gallery.shelf import Facts, Pair, Shelf
from proxy.gallery.shrink import shrunk
from proxy.headers import Headers
from proxy.ledger import Row
from proxy.spool import Spool

logger = logging.getLogger("sketchwire.gallery")

TIDY_EVERY_S = 600.0
Name = Callable[[connection.Client, http.HTTPFlow], str]

_seen: ContextVar[Row | None] = ContextVar("sketchwire_gallery_row", default=None)


class Gallery:
    """The addon. `name` gives a client's pseudonym."""

    def __init__(self, shelf: Shelf, spool: Spool, record: Record, name: Name) -> None:
        self._shelf = shelf
        self._spool = spool
        self._record = record
        self._name = name
        self._making: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None

    def record(self, row: Row) -> None:
        """Look at a row on its way to the ledger."""
        _seen.set(row)
        self._record(row)

    # hooks

    async def running(self) -> None:
        """Pairs get too old while nobody browses, too."""
        self._tidying = asyncio.create_task(self._tidy())

    async def done(self) -> None:
        """The process ends."""
        for task in (self._tidying, self._making):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def response(self, flow: http.HTTPFlow) -> None:
        """An image was answered with less."""
        row = _seen.get()
        _seen.set(None)
        exchange = flow.metadata.get(KEY)
        if row is None or flow.response is None or not isinstance(exchange, UpstreamExchange):
            return
        try:
            self._look(flow, flow.response, exchange, row)
        except Exception:
            logger.exception("defect in the gallery; the flow goes on")

    # what they do

    def _look(self, flow: http.HTTPFlow, response: http.Response, exchange: UpstreamExchange, row: Row) -> None:
        sent = response.raw_content
        if row.quality is None or row.decision not in ("reconstructed", "recoded") or not sent:
            return
        if exchange.origin is None or is_private(exchange.request.headers, exchange.origin.headers):
            return
        if self._making is not None and not self._making.done():
            return
        if not self._shelf.wants(row.quality, sent):
            return
        original = self._spool.get(exchange.key, time.monotonic())
        if original is None or original.headers.get("content-encoding"):
            return
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        shown, media_type = bare.arrived(sent, media_type)
        facts = Facts(
            time_s=row.time_s,
            quality=row.quality,
            media_type=media_type,
            mode=row.mode,
            kind=row.kind,
            width_px=row.width_px,
            height_px=row.height_px,
            origin_bytes=row.origin_bytes,
            sent_bytes=len(sent),
        )
        work = self._keep(facts, original.body, shown, self._name(flow.client_conn, flow))
        self._making = asyncio.get_running_loop().create_task(work)

    async def _keep(self, facts: Facts, original: bytes, sent: bytes, subscriber: str) -> None:
        try:
            self._shelf.put(Pair(facts, await shrunk(original), sent), subscriber)
        except (OSError, ValueError) as error:
            logger.warning("a pair of pictures is not kept: %s", error)

    async def _tidy(self) -> None:
        while True:
            try:
                self._shelf.tidy(time.time())
            except OSError as error:
                logger.warning("old pairs of pictures cannot be deleted: %s", error)
            await asyncio.sleep(TIDY_EVERY_S)


def is_private(request: Headers, origin: Headers) -> bool:
    """Whether a picture may be one person's own, as far as the heads tell."""
    if any(name in request for name in ("cookie", "authorization")) or "set-cookie" in origin:
        return True
    told = {token.partition("=")[0].strip().lower() for token in origin.tokens("cache-control")}
    varies = {token.strip().lower() for token in origin.tokens("vary")}
    return bool(told & {"private", "no-store", "no-cache"} or varies & {"cookie", "authorization", "*"})
